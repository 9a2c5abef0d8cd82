"""The steps from a checkpoint to a bundle, in plain sight."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import bundle, pixels
from ..runtime.dataset import SYNTHETIC, open_dataset
from ..runtime.engines import parse_engine
from ..runtime.errors import DataError, ExportError, near
from ..runtime.manifest import Fit
from ..train.checkpoint import load_trained
from .budget import Budget, Step
from .calibration import training_data
from .candidate import FRAME, MASK, Answer, Candidate, from_trained
from .engines import engines_of
from .quantize import SCHEMES
from .variants import FAILED, Made, Maker

PRECISIONS: dict[str, tuple[str, ...]] = {
    "fp32": ("fp32",), "fp16": ("fp16",), "int8": ("int8-u8s8", "int8-s8s8"), **{name: (name,) for name in SCHEMES}}
"""What `--precision` takes -> the variants it means."""
SCENES, PICTURES, SCENE_WH = 4, 8, (480, 360)
"""Synthetic stills for goldens (and parity), pictures of a data set for parity, and the size scenes are drawn at."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """What became of one variant.

    Attributes:
        precision, variant, file, bytes: as in the manifest; no file where it was refused.
        parity: what was measured: see `parity.Parity`, and for INT8 `drop` and `equal`.
        status: `written`, `unmeasured` (written, its speed is for the device to say), `refused` or `failed`.
        reason: why.
        search: the steps that led here, for INT8.
    """

    precision: str
    variant: str
    file: str
    bytes: int
    parity: Mapping[str, float | None]
    status: str
    reason: str = ""
    search: tuple[Step, ...] = ()


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        bundle: the bundle's folder, or None where nothing was written.
        rows: one a variant.
        seconds: wall time.
    """

    bundle: Path | None
    rows: tuple[Row, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The object that `epee export --json` prints."""
        return {"bundle": None if self.bundle is None else str(self.bundle),
                "variants": [asdict(row) for row in self.rows], "seconds": round(self.seconds, 2)}


class ParityError(ExportError):
    """The exported graph does not answer as the trained network; nothing was written.

    Attributes:
        report: with the row that failed.
    """

    def __init__(self, report: ExportReport) -> None:
        self.report = report
        row = next(row for row in report.rows if row.status == FAILED)
        super().__init__(f"parity of variant '{row.variant}' does not hold", got=row.reason,
                         do="nothing was written; please report it with the checkpoint")


def export_bundle(source: str | os.PathLike[str], out: str | os.PathLike[str], *,
                  size_wh: tuple[int, int] | None = None, precisions: Sequence[str] = ("fp32",),
                  data: str | None = None, calibration: str | None = None, budget: Budget | None = None,
                  engine: str | None = None, say: Say = lambda line: None) -> ExportReport:
    """Turns a training into a bundle, which appears whole or not at all.

    Args:
        source: a run folder or a checkpoint file.
        out: the bundle's folder, `NAME.epee`.
        size_wh: width and height of the network's frames; None takes those of the training.
        precisions: of PRECISIONS; fp32 is always written.
        data: a dataset whose validation pictures parity and INT8's drop are measured on; None takes the training's
            where it is still at hand, else synthetic scenes for parity, and for INT8 frames of `calibration`.
        calibration: what INT8's ranges come from, see `calibration.read_calibration`; None takes the training's data.
        budget: what INT8 may cost.
        engine: engines for GPUs that are not here, `LIBRARY:SM[,SM…]`.
        say: is told each step in a few words.

    Raises:
        TrainingError: no such checkpoint, or a broken one.
        ExportError: an option that does not fit, no calibration data, or a network that cannot be exported.
        DataError, SourceError: data or calibration that was named cannot be read.
        ParityError: the exported graph answers differently.
        BundleError: `out` cannot be written.
    """
    started_s = time.monotonic()
    names = variant_names(precisions)
    if engine:
        parse_engine(engine)
    trained = load_trained(source)
    with bundle.writing(out) as folder:
        say("trace")
        candidate = from_trained(trained, bundle_name(out), size_wh)
        say("pictures")
        scenes = pictures(SYNTHETIC, candidate.size_hw, candidate.fit, SCENES)
        frames, where = parity_frames(candidate, data) or (scenes, SYNTHETIC)
        goldens = make_goldens(candidate.answer, scenes)
        maker = Maker(folder, candidate, frames, goldens, budget or Budget(), say, data=data,
                      calibration=training_data(candidate.data, calibration))

        say("parity")
        made: list[Made] = [maker.full()]
        if made[0].status == FAILED:
            raise ParityError(ExportReport(None, (row_of(made[0]),), time.monotonic() - started_s))
        made += [maker.half() if name == "fp16" else maker.int8(SCHEMES[name]) for name in names[1:]]
        if engine:
            made += engines_of(folder, made, engine, say)

        say("goldens")
        variants = [m.variant for m in made if m.variant is not None]
        manifest = candidate.manifest(variants, {"parity_frames": where, **maker.facts()}, maker.records(made))
        bundle.save(folder, manifest, goldens)
    return ExportReport(Path(out), tuple(row_of(m) for m in made), time.monotonic() - started_s)


def variant_names(precisions: Sequence[str]) -> list[str]:
    """Names of the variants that precisions mean, fp32 first and always.

    Raises:
        ExportError: nothing, or what this version does not write.
    """
    for precision in precisions or ("nothing",):
        if precision not in PRECISIONS:
            raise ExportError("precision", got=precision, expected=", ".join(PRECISIONS),
                              do=near(precision, list(PRECISIONS)) if precisions else "name some")
    asked = {name for precision in precisions for name in PRECISIONS[precision]}
    return ["fp32", *(name for name in ("fp16", *SCHEMES) if name in asked)]


def parity_frames(candidate: Candidate, data: str | None) -> tuple[list[NDArray[Any]], str] | None:
    """Gives validation pictures, (H, W, 3) uint8 BGR, and the name of their data set; None where none is at hand.

    Raises:
        DataError: `data` was named and cannot be read.
    """
    text = data or candidate.data
    if text in ("", SYNTHETIC):
        return None
    try:
        return pictures(text, candidate.size_hw, candidate.fit, PICTURES), Path(text).name
    except DataError:
        if data is not None:
            raise
        return None


def make_goldens(answer: Answer, scenes: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Inputs and the reference's answers, batch first. The pictures are synthetic, so that anyone may have them."""
    return {FRAME: np.stack(scenes), MASK: np.concatenate([answer(scene)[0] for scene in scenes])}


def row_of(made: Made) -> Row:
    """The report's line of a variant."""
    file, size = (made.variant.file, made.variant.bytes) if made.variant else ("", 0)
    return Row(made.precision, made.name, file, size, made.parity, made.status, made.reason, made.steps)


def bundle_name(out: str | os.PathLike[str]) -> str:
    """`runs/street-nano.epee` -> `street-nano`."""
    return Path(out).resolve().name.removesuffix(".epee")


def pictures(text: str, size_hw: tuple[int, int], fit: Fit, count: int) -> list[NDArray[Any]]:
    """Pictures spread over a validation split, fitted to (H, W, 3) uint8 BGR as the runtime will fit frames."""
    split = open_dataset(text, "val", size_wh=SCENE_WH, count=count if text == SYNTHETIC else None)
    chosen = np.linspace(0, len(split) - 1, min(count, len(split))).round().astype(int)
    return [np.ascontiguousarray(pixels.fit(split[int(i)][0], size_hw, fit)) for i in chosen]
