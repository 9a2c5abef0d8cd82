"""A real small network from bytes to bytes, for tests of what makes pictures."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from epee.export.candidate import Candidate
from epee.export.frames import FrameSupply
from epee.export.samples import Sample
from epee.export.tensors import FRAME, IMAGE, frame_spec, image_spec
from epee.export.to_onnx import to_onnx, without_output
from epee.runtime.manifest import Fit
from torch import Tensor, nn

INNER = "levels"


class Residual(nn.Module):
    """Adds what three convolutions make of a frame to it; bytes in, bytes out.

    Args:
        shout: what one hidden channel is multiplied by, and divided again: in float nothing changes.
    """

    def __init__(self, shout: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.last = nn.Conv2d(8, 3, 3, 1, 1)
        with torch.no_grad():
            self.last.weight.mul_(0.5)
            self.second.weight[0] *= shout
            self.second.bias[0] *= shout
            self.last.weight[:, 0] /= shout

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        x = frame.to(torch.float32).permute(0, 3, 1, 2) / 255  # (N, 3, H, W)
        y = x + self.last(torch.relu(self.second(torch.relu(self.first(x)))))
        levels = (y.permute(0, 2, 3, 1) * 255).clamp(0, 255)  # (N, H, W, 3)
        return torch.round(levels).to(torch.uint8), levels


def picture_candidate(size_hw: tuple[int, int], shout: float = 1.0) -> Candidate:
    """The network as the candidate that a picture-making task would give."""
    network = Residual(shout).eval()
    example = torch.zeros(1, *size_hw, 3, dtype=torch.uint8)

    def answer(sample: Sample) -> dict[str, Any]:
        with torch.no_grad():
            image, levels = network(torch.from_numpy(sample[FRAME]))
        return {IMAGE: image.numpy(), INNER: levels.numpy()}

    model = without_output(to_onnx(network, [example], [FRAME], [IMAGE, INNER]), INNER)
    return Candidate("residual", "enhance", model, answer, (frame_spec(size_hw),), (image_spec(size_hw),),
                     FrameSupply(size_hw, Fit()), inner=INNER)


def without_inner(candidate: Candidate) -> Candidate:
    """The same candidate, with nothing inside that could be compared."""
    return dataclasses.replace(candidate, inner="", answer=lambda sample: {IMAGE: candidate.answer(sample)[IMAGE]})
