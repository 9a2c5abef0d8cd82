"""A trained segmenter becomes a candidate: frames in, masks out."""

from __future__ import annotations

import torch

from ..train.checkpoint import Trained
from ..train.networks.segmenter import Segmenter
from .candidate import Candidate
from .frames import FrameSupply
from .fuse import FusedSegmenter
from .tails import TAIL
from .tensors import FRAME, LOGITS, MASK, frame_spec, mask_spec
from .to_onnx import to_onnx, without_output
from .traced import costs, network_of, torch_answers


def from_trained(trained: Trained, name: str, size_wh: tuple[int, int] | None = None) -> Candidate:
    """Folds and traces a training's network.

    Args:
        trained: from `load_trained`.
        name: of the bundle.
        size_wh: width and height of the frames; None takes those of the training.

    Raises:
        ExportError: another task's network, a size too small, or one that torch cannot trace.
    """
    network, size_wh = network_of(trained, Segmenter, "segment"), size_wh or trained.size_wh
    fused, reference = FusedSegmenter(network, size_wh), FusedSegmenter(network, size_wh, folded=False)
    example = torch.zeros(1, *fused.size_hw, 3, dtype=torch.uint8)
    model = without_output(to_onnx(fused, [example], [FRAME], [MASK, LOGITS]), LOGITS)
    facts = {"tail": TAIL, **costs(model, network)}
    return Candidate(name=name, task=trained.task, model=model,
                     answer=torch_answers(reference, [FRAME], [MASK, LOGITS]), inputs=(frame_spec(fused.size_hw),),
                     outputs=(mask_spec(fused.size_hw),),
                     supply=FrameSupply(fused.size_hw, trained.fit, trained.data), fit=trained.fit,
                     names=trained.names, colours=trained.colours, ignore=trained.ignore, data=trained.data,
                     provenance={**trained.provenance, **facts}, inner=LOGITS)
