"""The steps from a checkpoint, or from somebody else's ONNX file, to a bundle, in plain sight."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import bundle
from ..runtime.engines import parse_engine
from ..runtime.errors import ConfigError, ExportError, near
from ..train.checkpoint import load_trained
from . import frames
from .budget import Budget
from .calibration import training_data
from .candidate import Candidate
from .engines import engines_of
from .extractor import export_extractor
from .foreign.described import Foreign
from .foreign.opening import from_onnx, is_foreign
from .foreign.targets import lacking
from .kernels import UNVERIFIED, shows_int8
from .quantize import check_engine
from .report import ExportReport, ParityError, Row, extractor_report, row_of
from .samples import Asked, Sample, stacked
from .schemes import SCHEMES
from .tasks import task_of
from .variants import UNMEASURED, Made, Maker

PRECISIONS: dict[str, tuple[str, ...]] = {
    "fp32": ("fp32",), "fp16": ("fp16",), "int8": ("int8-u8s8", "int8-s8s8"), **{name: (name,) for name in SCHEMES}}
"""What `--precision` takes -> the variants it means."""
Say = Callable[[str], None]


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
            where it is still at hand, else synthetic scenes for parity, and for INT8 frames of `calibration`. A
            generator takes drawn latents instead, and neither `data` nor `calibration`.
        calibration: what INT8's ranges come from, see `calibration.read_calibration`; None takes the training's data.
        budget: what INT8, and fp16 of pictures, may cost.
        engine: engines for GPUs that are not here, `LIBRARY:SM[,SM…]`.
        foreign: what is said of an `.onnx` file.
        say: is told each step in a few words.

    Raises:
        TrainingError: no such checkpoint, or a broken one.
        ConfigError: an `.onnx` file without `foreign`, a checkpoint with it, or pictures for what takes none.
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
    int8 = any(name in SCHEMES for name in names)
    if int8:
        check_engine(budget.quantizer)
    trained_on, check, opener = _opener(source, bundle_name(out), size_wh, foreign, say)
    check(Asked(trained_on, data, calibration, budget.frames if int8 else 0))
    with bundle.writing(out) as folder:
        candidate = opener()
        say("samples")
        goldens = candidate.supply.goldens()
        samples, where = candidate.supply.parity(data)
        maker = Maker(folder, candidate, samples, goldens, answers_to(candidate, goldens), budget, say, data=data,
                      calibration=training_data(candidate.data, calibration))

        say("parity")
        made: list[Made] = [maker.full()]
        if made[0].variant is None:
            raise ParityError(ExportReport(None, (row_of(made[0]),), time.monotonic() - started_s))
        missing = lacking(folder, candidate, made[0].variant, samples[0]) if foreign else {}
        made += [maker.half() if name == "fp16" else maker.int8(SCHEMES[name]) for name in names[1:]]
        if engine:
            made += engines_of(folder, made, engine, say)

        say("goldens")
        variants = [m.variant for m in made if m.variant is not None]
        records = {**maker.records(made), **({"lacking": missing} if missing else {})}
        manifest = candidate.manifest(variants, {"parity_frames": where, **maker.facts()}, records)
        bundle.save(folder, manifest, {**stacked(goldens), **maker.answers})
        rows = tuple(_verified(bundle.Bundle(folder, manifest), row_of(m)) for m in made)
    return ExportReport(Path(out), rows, time.monotonic() - started_s, missing)


def check_plain(names: Sequence[str], own_size: bool, calibration: str | None, engine: str | None) -> None:
    """Raises ExportError where an extractor is to be anything but what was trained."""
    if names != ["fp32"] or not own_size or calibration or engine:
        raise ExportError("options for a feature extractor", got="a size, a precision, a calibration or an engine",
                          expected="fp32 at the size of its training", do="leave them out: its scores must not vary")


def _opener(source: str | os.PathLike[str], name: str, size_wh: tuple[int, int] | None, foreign: Foreign | None,
            say: Say) -> tuple[str, Callable[[Asked], None], Callable[[], Candidate]]:
    """The training's data, what looks at the options, and what gives the candidate; a wrong checkpoint is told before
    all else."""
    if is_foreign(source):
        if foreign is None:
            raise ConfigError("--task of somebody else's model", got="none", expected="segment",
                              do="say what the model does: --task segment --classes road,car,…")
        return "", frames.check, lambda: from_onnx(source, name, foreign, size_wh, say)
    if foreign is not None:
        raise ConfigError("options of somebody else's model", got=f"source '{source}'", expected="an .onnx file",
                          do="leave them out: a checkpoint knows its task and classes")
    trained = load_trained(source)
    task = task_of(trained.task)

    def opener() -> Candidate:
        say("trace")
        return task.open(trained, name, size_wh)

    return trained.data, task.check, opener


def answers_to(candidate: Candidate, samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
    """The reference's outputs by name, one batch."""
    answers = [candidate.answer(sample) for sample in samples]
    return {spec.name: np.concatenate([answer[spec.name] for answer in answers]) for spec in candidate.outputs}


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


def bundle_name(out: str | os.PathLike[str]) -> str:
    """`runs/street-nano.epee` -> `street-nano`."""
    return Path(out).resolve().name.removesuffix(".epee")
