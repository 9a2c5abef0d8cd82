"""A trained segmenter becomes a candidate: frames in, masks out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..runtime.errors import ExportError
from ..train.checkpoint import Trained
from ..train.networks.segmenter import Segmenter
from .candidate import Answer, Candidate
from .frames import FrameSupply
from .fuse import FusedSegmenter
from .samples import Sample
from .tails import TAIL
from .tensors import FRAME, LOGITS, MASK, frame_spec, mask_spec
from .to_onnx import multiply_adds, to_onnx, without_output


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
    return Candidate(name=name, task=trained.task, model=model, answer=answers_of(reference),
                     inputs=(frame_spec(fused.size_hw),), outputs=(mask_spec(fused.size_hw),),
                     supply=FrameSupply(fused.size_hw, trained.fit, trained.data), fit=trained.fit,
                     names=trained.names, colours=trained.colours, ignore=trained.ignore, data=trained.data,
                     provenance={**trained.provenance, **facts}, inner=LOGITS)


def segmenter_of(trained: Trained) -> Segmenter:
    """Gives the network in eval mode. Raises ExportError for another task's."""
    if trained.task != "segment" or not isinstance(trained.network, Segmenter):
        raise ExportError("task of the checkpoint", got=trained.task, expected="segment")
    return trained.network.eval().float().cpu()


def answers_of(reference: FusedSegmenter) -> Answer:
    """torch's answers: the network before folding, with the same tail as the graph."""
    def answer(sample: Sample) -> Mapping[str, NDArray[Any]]:
        with torch.no_grad():
            mask, logits = reference(torch.from_numpy(sample[FRAME]))
        return {MASK: np.asarray(mask), LOGITS: np.asarray(logits)}

    return answer
