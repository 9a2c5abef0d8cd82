"""A candidate: the float graph that a bundle is made of, and the reference that its parity is measured against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..runtime.errors import ExportError
from ..runtime.manifest import Fit, Manifest, TensorSpec, Variant
from ..train.checkpoint import Trained
from ..train.networks.segmenter import Segmenter
from .fuse import FusedSegmenter
from .tails import TAIL
from .to_onnx import multiply_adds, to_onnx, without_output

FRAME, MASK, IMAGE, LOGITS = "frame", "mask", "image", "logits"

Answer = Callable[[NDArray[Any]], tuple[NDArray[Any], "NDArray[Any] | None"]]
"""One frame, (H, W, 3) uint8 BGR, to the reference's output, batch axis of 1 first (a mask (1, H, W) uint8 class ids,
or an image (1, rH, rW, 3) uint8 BGR), and its inner tensor as float32, or None where it has none to compare."""


@dataclass(frozen=True)
class Candidate:
    """A fused float network that is ready to be checked, made smaller and bundled.

    Attributes:
        name: of the bundle.
        task: as in the manifest.
        model: `onnx.ModelProto`, float32: FRAME in, `output` out, `inner` inside.
        answer: the reference: what the network's own framework says of a frame.
        size_hw: height and width of the frames.
        fit, names, colours, ignore: as in the manifest; pictures have no names and no colours.
        data: what it was trained on, as `--data` takes it, or '' where nobody knows.
        provenance: where it comes from.
        inner: the float tensor inside the graph that parity compares, '' where it has none (a ready ArgMax).
        output: MASK, (N, H, W) uint8 class ids, or IMAGE, (N, rH, rW, 3) uint8 BGR.
        output_hw: height and width of the output; None where it has the frames' size.
        batch: None where it is free, or the number of frames that the graph insists on.
    """

    name: str
    task: str
    model: Any
    answer: Answer
    size_hw: tuple[int, int]
    fit: Fit
    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    ignore: int
    data: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    inner: str = LOGITS
    output: str = MASK
    output_hw: tuple[int, int] | None = None
    batch: int | None = None

    @property
    def makes_pictures(self) -> bool:
        """Whether the output is a picture, else class ids."""
        return self.output == IMAGE

    def manifest(self, variants: Sequence[Variant], facts: Mapping[str, Any],
                 records: Mapping[str, Any] | None = None) -> Manifest:
        """Gives the manifest of the bundle; `facts` go beside the provenance, `records` beside everything."""
        return Manifest(
            name=self.name, task=self.task, variants=tuple(variants), fit=self.fit, classes=self.names,
            colours=self.colours, ignore=self.ignore, provenance={**self.provenance, **facts},
            extra=records or {},
            inputs=(TensorSpec(FRAME, (self.batch, *self.size_hw, 3), "uint8", "NHWC", "bgr8"),),
            outputs=(self._output_spec(),))

    def _output_spec(self) -> TensorSpec:
        shape = (self.batch, *(self.output_hw or self.size_hw))
        if self.makes_pictures:
            return TensorSpec(IMAGE, (*shape, 3), "uint8", "NHWC", "bgr8")
        return TensorSpec(MASK, shape, "uint8", "NHW", "class_id")


def from_trained(trained: Trained, name: str, size_wh: tuple[int, int] | None = None) -> Candidate:
    """Folds and traces a training's network.

    Args:
        trained: from `load_trained`.
        name: of the bundle.
        size_wh: width and height of the frames; None takes those of the training.

    Raises:
        ExportError: another task's network, a size too small, or one that torch cannot trace.
    """
    network, size_wh = segmenter_of(trained), size_wh or trained.size_wh
    fused, reference = FusedSegmenter(network, size_wh), FusedSegmenter(network, size_wh, folded=False)
    example = torch.zeros(1, *fused.size_hw, 3, dtype=torch.uint8)
    model = without_output(to_onnx(fused, [example], [FRAME], [MASK, LOGITS]), LOGITS)
    facts = {"tail": TAIL, "macs": multiply_adds(model), "parameters": sum(p.numel() for p in network.parameters())}
    return Candidate(name=name, task=trained.task, model=model, answer=answers_of(reference), size_hw=fused.size_hw,
                     fit=trained.fit, names=trained.names, colours=trained.colours, ignore=trained.ignore,
                     data=trained.data, provenance={**trained.provenance, **facts})


def segmenter_of(trained: Trained) -> Segmenter:
    """Gives the network in eval mode. Raises ExportError for another task's."""
    if trained.task != "segment" or not isinstance(trained.network, Segmenter):
        raise ExportError("task of the checkpoint", got=trained.task, expected="segment")
    return trained.network.eval().float().cpu()


def answers_of(reference: FusedSegmenter) -> Answer:
    """torch's answers: the network before folding, with the same tail as the graph."""
    def answer(frame: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        with torch.no_grad():
            mask, logits = reference(torch.from_numpy(frame[None]))
        return np.asarray(mask), np.asarray(logits)

    return answer
