"""The steps from a checkpoint, or from somebody else's ONNX file, to a bundle, in plain sight."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import bundle, pixels
from ..runtime.dataset import SYNTHETIC, open_dataset
from ..runtime.engines import parse_engine
from ..runtime.errors import ConfigError, DataError, ExportError, near
from ..runtime.manifest import Fit, Variant
from ..train.checkpoint import load_trained
from .budget import Budget, Step
from .calibration import check_calibration, training_data
from .candidate import FRAME, Candidate, from_trained
from .engines import engines_of
from .extractor import export_extractor
from .foreign.described import Foreign
from .foreign.opening import from_onnx, is_foreign
from .foreign.targets import lacking
from .kernels import UNVERIFIED, shows_int8
from .quantize import check_engine
from .schemes import SCHEMES
from .variants import FAILED, UNMEASURED, WRITTEN, Made, Maker

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
        lacking: for somebody else's model, backend that works here but does not take the float graph -> why.
    """

    bundle: Path | None
    rows: tuple[Row, ...]
    seconds: float
    lacking: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The object that `epee export --json` prints."""
        return {"bundle": None if self.bundle is None else str(self.bundle),
                "variants": [asdict(row) for row in self.rows], "seconds": round(self.seconds, 2),
                "lacking": dict(self.lacking)}


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
                  engine: str | None = None, foreign: Foreign | None = None,
                  say: Say = lambda line: None) -> ExportReport:
    """Turns a training, or somebody else's ONNX file, into a bundle, which appears whole or not at all.

    Args:
        source: a run folder, a checkpoint file, or an `.onnx` file.
        out: the bundle's folder, `NAME.epee`.
        size_wh: width and height of the network's frames; None takes those of the training or of the ONNX graph.
        precisions: of PRECISIONS; fp32 is always written.
        data: a dataset whose validation pictures parity and INT8's drop are measured on; None takes the training's
            where it is still at hand, else synthetic scenes for parity, and for INT8 frames of `calibration`.
        calibration: what INT8's ranges come from, see `calibration.read_calibration`; None takes the training's data.
        budget: what INT8 may cost.
        engine: engines for GPUs that are not here, `LIBRARY:SM[,SM…]`.
        foreign: what is said of an `.onnx` file.
        say: is told each step in a few words.

    Raises:
        TrainingError: no such checkpoint, or a broken one.
        ConfigError: an `.onnx` file without `foreign`, or a checkpoint with it.
        ExportError: an option that does not fit, no calibration data, or a network that cannot be exported.
        DataError, SourceError: data or calibration that was named cannot be read.
        ParityError: the exported graph answers differently.
        BundleError: `out` cannot be written.
    """
    started_s = time.monotonic()
    names = variant_names(precisions)
    if foreign is None and not is_foreign(source) and (trained := load_trained(source)).task == "features":
        check_plain(names, size_wh in (None, trained.size_wh), calibration, engine)
        return extractor_report(*export_extractor(trained, out, say), Path(out))
    if engine:
        parse_engine(engine)
    budget = budget or Budget()
    trained_on, opener = _opener(source, bundle_name(out), size_wh, foreign, say)
    if any(name in SCHEMES for name in names):
        say("calibration")
        check_engine(budget.quantizer)
        check_calibration(training_data(trained_on, calibration), budget.frames)
    with bundle.writing(out) as folder:
        candidate = opener()
        say("pictures")
        scenes = pictures(SYNTHETIC, candidate.size_hw, candidate.fit, SCENES)
        frames, where = parity_frames(candidate, data) or (scenes, SYNTHETIC)
        goldens = make_goldens(candidate, scenes)
        maker = Maker(folder, candidate, frames, goldens, budget, say, data=data,
                      calibration=training_data(candidate.data, calibration))

        say("parity")
        made: list[Made] = [maker.full()]
        if made[0].variant is None:
            raise ParityError(ExportReport(None, (row_of(made[0]),), time.monotonic() - started_s))
        missing = lacking(folder, candidate, made[0].variant, frames[0]) if foreign else {}
        made += [maker.half() if name == "fp16" else maker.int8(SCHEMES[name]) for name in names[1:]]
        if engine:
            made += engines_of(folder, made, engine, say)

        say("goldens")
        variants = [m.variant for m in made if m.variant is not None]
        records = {**maker.records(made), **({"lacking": missing} if missing else {})}
        manifest = candidate.manifest(variants, {"parity_frames": where, **maker.facts()}, records)
        bundle.save(folder, manifest, goldens)
        rows = tuple(_verified(bundle.Bundle(folder, manifest), row_of(m)) for m in made)
    return ExportReport(Path(out), rows, time.monotonic() - started_s, missing)


def check_plain(names: Sequence[str], own_size: bool, calibration: str | None, engine: str | None) -> None:
    """Raises ExportError where an extractor is to be anything but what was trained."""
    if names != ["fp32"] or not own_size or calibration or engine:
        raise ExportError("options for a feature extractor", got="a size, a precision, a calibration or an engine",
                          expected="fp32 at the size of its training", do="leave them out: its scores must not vary")


def extractor_report(variant: Variant, seconds: float, out: Path) -> ExportReport:
    """The report of a feature extractor's export."""
    row = Row(variant.precision, variant.name, variant.file, variant.bytes, variant.parity, WRITTEN)
    return ExportReport(out, (row,), seconds)


def _opener(source: str | os.PathLike[str], name: str, size_wh: tuple[int, int] | None, foreign: Foreign | None,
            say: Say) -> tuple[str, Callable[[], Candidate]]:
    """The training's data, and what gives the candidate; a wrong checkpoint is told before all else."""
    if is_foreign(source):
        if foreign is None:
            raise ConfigError("--task of somebody else's model", got="none", expected="segment",
                              do="say what the model does: --task segment --classes road,car,…")
        return "", lambda: from_onnx(source, name, foreign, size_wh, say)
    if foreign is not None:
        raise ConfigError("options of somebody else's model", got=f"source '{source}'", expected="an .onnx file",
                          do="leave them out: a checkpoint knows its task and classes")
    trained = load_trained(source)
    say("trace")
    return trained.data, lambda: from_trained(trained, name, size_wh)


def _verified(written: bundle.Bundle, row: Row) -> Row:
    """The row, which says so where nothing shows that INT8 is computed in INT8."""
    if row.precision != "int8" or not row.file:
        return row
    if row.status != UNMEASURED and shows_int8(written, written.manifest.variant(row.variant)):
        return row
    return replace(row, reason=f"{row.reason}; {UNVERIFIED}" if row.reason else UNVERIFIED)


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


def make_goldens(candidate: Candidate, scenes: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Inputs and the reference's answers, batch first. The pictures are synthetic, so that anyone may have them."""
    answers = [candidate.answer(scene)[0] for scene in scenes]
    return {FRAME: np.stack(scenes), candidate.output: np.concatenate(answers)}


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
