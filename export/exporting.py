"""The steps from a checkpoint to a bundle, in plain sight."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..runtime import bundle, pixels
from ..runtime.dataset import SYNTHETIC, open_dataset
from ..runtime.errors import DataError, ExportError
from ..runtime.manifest import Fit, Manifest, TensorSpec, Tolerance, Variant
from ..train.checkpoint import Trained, load_trained
from ..train.networks.segmenter import Segmenter
from .fuse import TAIL, FusedSegmenter
from .parity import FRAME, LOGITS, MASK, THRESHOLDS, Parity, answer, measure
from .to_onnx import multiply_adds, to_onnx, without_output

PRECISIONS = ("fp32",)
"""What this version writes."""
SCENES, PICTURES, SCENE_WH = 4, 8, (480, 360)
"""Synthetic stills for goldens (and parity), pictures of a data set for parity, and the size scenes are drawn at."""
TOLERANCES = {"fp32": Tolerance(min_equal=0.999)}
"""Precision -> what `verify` allows on any backend."""
WRITTEN, FAILED = "written", "failed"


@dataclass(frozen=True)
class Row:
    """What became of one variant.

    Attributes:
        precision, variant, file, bytes: as in the manifest.
        parity: what was measured, see `parity.Parity`.
        status: `written` or `failed`.
        reason: why it failed.
    """

    precision: str
    variant: str
    file: str
    bytes: int
    parity: Mapping[str, float | None]
    status: str = WRITTEN
    reason: str = ""


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
                "variants": [vars(row) for row in self.rows], "seconds": round(self.seconds, 2)}


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
                  size_wh: tuple[int, int] | None = None, precisions: Sequence[str] = PRECISIONS,
                  data: str | None = None, say: Callable[[str], None] = lambda line: None) -> ExportReport:
    """Turns a training into a bundle, which appears whole or not at all.

    Args:
        source: a run folder or a checkpoint file.
        out: the bundle's folder, `NAME.epee`.
        size_wh: width and height of the network's frames; None takes those of the training.
        precisions: of PRECISIONS.
        data: a dataset whose validation pictures parity is measured on; None takes the training's where it is still
            at hand, else synthetic scenes.
        say: is told each step in a few words.

    Raises:
        TrainingError: no such checkpoint, or a broken one.
        ExportError: an option that does not fit, or a network that cannot be exported.
        ParityError: the exported graph answers differently.
        BundleError: `out` cannot be written.
    """
    started_s = time.monotonic()
    check_precisions(precisions)
    trained = load_trained(source)
    network, size_wh = segmenter_of(trained), size_wh or trained.size_wh
    with bundle.writing(out) as folder:
        say("pictures")
        fused, reference = FusedSegmenter(network, size_wh), FusedSegmenter(network, size_wh, folded=False)
        scenes = pictures(SYNTHETIC, fused.size_hw, trained.fit, SCENES)
        frames, where = parity_frames(trained, data, fused.size_hw) or (scenes, SYNTHETIC)

        say("trace")
        example = torch.zeros(1, *fused.size_hw, 3, dtype=torch.uint8)
        model = without_output(to_onnx(fused, [example], [FRAME], [MASK, LOGITS]), LOGITS)

        say("parity")
        variant, row = add_variant(folder, "fp32", "fp32", model, measure(model, reference, frames))
        if row.status == FAILED:
            raise ParityError(ExportReport(None, (row,), time.monotonic() - started_s))

        say("goldens")
        facts = {"parity_frames": where, "tail": TAIL, "macs": multiply_adds(model),
                 "parameters": sum(p.numel() for p in network.parameters())}
        manifest = describe(trained, bundle_name(out), fused.size_hw, [variant], facts)
        bundle.save(folder, manifest, make_goldens(reference, scenes))
    return ExportReport(Path(out), (row,), time.monotonic() - started_s)


def check_precisions(precisions: Sequence[str]) -> None:
    """Raises ExportError for one that this version does not write."""
    for precision in precisions or ("nothing",):
        if precision not in PRECISIONS:
            raise ExportError("precision", got=precision, expected=", ".join(PRECISIONS),
                              do="this version of epee writes no other")


def segmenter_of(trained: Trained) -> Segmenter:
    """Gives the network in eval mode. Raises ExportError for another task's."""
    if trained.task != "segment" or not isinstance(trained.network, Segmenter):
        raise ExportError("task of the checkpoint", got=trained.task, expected="segment")
    return trained.network.eval().float().cpu()


def parity_frames(trained: Trained, data: str | None,
                  size_hw: tuple[int, int]) -> tuple[list[NDArray[Any]], str] | None:
    """Gives validation pictures, (H, W, 3) uint8 BGR, and the name of their data set; None where none is at hand.

    Raises:
        DataError: `data` was named and cannot be read.
    """
    text = data or trained.data
    if text == SYNTHETIC:
        return None
    try:
        return pictures(text, size_hw, trained.fit, PICTURES), Path(text).name
    except DataError:
        if data is not None:
            raise
        return None


def make_goldens(reference: FusedSegmenter, scenes: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Reference inputs and torch's answers, batch first. The pictures are synthetic, so that anyone may have them."""
    return {FRAME: np.stack(scenes), MASK: np.concatenate([answer(reference, scene)[0] for scene in scenes])}


def add_variant(folder: Path, name: str, precision: str, model: Any, parity: Parity) -> tuple[Variant, Row]:
    """Writes a graph into the bundle's folder, describes it, and judges its parity by the precision's thresholds."""
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    built_with = {library: version(library) for library in ("epee", "torch", "onnx", "onnxruntime")}
    built_with["opset"] = str(model.opset_import[0].version)
    measured = {k: v for k, v in parity.to_json().items() if v is not None}
    variant = Variant(name, path.name, "onnx", precision, bundle.sha256(path), path.stat().st_size, built_with,
                      measured, TOLERANCES[precision])
    failure = parity.failure(THRESHOLDS[precision])
    return variant, Row(precision, name, variant.file, variant.bytes, parity.to_json(),
                        FAILED if failure else WRITTEN, failure)


def describe(trained: Trained, name: str, size_hw: tuple[int, int], variants: Sequence[Variant],
             facts: Mapping[str, Any]) -> Manifest:
    """Gives the manifest of a segmenter's bundle."""
    return Manifest(
        name=name, task=trained.task, variants=tuple(variants), fit=trained.fit, classes=trained.names,
        colours=trained.colours, ignore=trained.ignore, provenance={**trained.provenance, **facts},
        inputs=(TensorSpec(FRAME, (None, *size_hw, 3), "uint8", "NHWC", "bgr8"),),
        outputs=(TensorSpec(MASK, (None, *size_hw), "uint8", "NHW", "class_id"),))


def bundle_name(out: str | os.PathLike[str]) -> str:
    """`runs/street-nano.epee` -> `street-nano`."""
    return Path(out).resolve().name.removesuffix(".epee")


def pictures(text: str, size_hw: tuple[int, int], fit: Fit, count: int) -> list[NDArray[Any]]:
    """Pictures spread over a validation split, fitted to (H, W, 3) uint8 BGR as the runtime will fit frames."""
    split = open_dataset(text, "val", size_wh=SCENE_WH, count=count if text == SYNTHETIC else None)
    chosen = np.linspace(0, len(split) - 1, min(count, len(split))).round().astype(int)
    return [np.ascontiguousarray(pixels.fit(split[int(i)][0], size_hw, fit)) for i in chosen]
