"""A trained translator or enhancer becomes a candidate: a frame's bytes in, a picture's bytes out."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..runtime.description import SYNTHETIC
from ..runtime.errors import DataError, EpeeError, ExportError
from ..runtime.manifest import TILE, Fit, Tiling
from ..train.checkpoint import Trained
from ..train.networks.translator import Translator
from ..train.networks.upscaler import Upscaler
from .calibration import Part, check_calibration, pictures_of, read_calibration, training_data, whole
from .candidate import Candidate
from .frames import EXAM_FRAMES, PICTURES, FrameSupply
from .samples import Asked, Calibration, Sample, framed
from .tensors import FRAME, IMAGE, LEVELS, frame_spec, image_spec
from .to_onnx import to_onnx, without_output
from .traced import costs, network_of, torch_answers

SMALLEST = 16
"""Height and width of frames, at least."""


class FusedPictures(nn.Module):
    """A Translator or an Upscaler from bytes to bytes.

    Args:
        network: in eval mode; left as it is.
        folded: whether an Upscaler's weights take in the division by 255 and the multiplication. Without, the same
            mathematics is computed step by step by the very network that was trained: the reference for parity.

    Input: frame (N, H, W, 3) uint8, BGR.
    Output: image (N, r H, r W, 3) uint8, BGR; levels, the same as float32 before rounding, 0 to 255.
    """

    def __init__(self, network: Translator | Upscaler, folded: bool = True) -> None:
        super().__init__()
        self.network: nn.Module = network
        self.folded = folded and isinstance(network, Upscaler)
        if isinstance(network, Upscaler) and folded:
            self.network = fold(network)
        self.eval()

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        x = frame.to(torch.float32).permute(0, 3, 1, 2)  # (N, 3, H, W)
        if self.folded:
            assert isinstance(self.network, Upscaler)
            levels = self.network.unbounded(x).clamp(0.0, 255.0)
        else:
            levels = self.network(x / 255) * 255
        levels = levels.permute(0, 2, 3, 1)  # (N, r H, r W, 3)
        return torch.round(levels).to(torch.uint8), levels


@torch.no_grad()
def fold(network: Upscaler) -> Upscaler:
    """Gives a copy for frames of 0 to 255 whose output is 0 to 255; its answers differ by rounding alone.

    Zero padding stays right, because black is 0 on both scales. What goes around the row has both factors, which
    cancel.
    """
    folded = copy.deepcopy(network).eval()
    folded.first.weight.copy_(folded.first.weight.double() / 255)
    folded.last.weight.copy_(folded.last.weight.double() * 255)
    assert folded.last.bias is not None
    folded.last.bias.copy_(folded.last.bias.double() * 255)
    return folded


@dataclass(frozen=True)
class PictureSupply(FrameSupply):
    """See `samples.Supply`: pictures of a data set, a folder or a video.

    Attributes:
        side: the half of each of the training's pictures that goes in, `left` or `right`, or '' for all of it.
    """

    side: str = ""

    def parity(self, data: str | None) -> tuple[list[Sample], str]:
        """Pictures of `data`, else of the training's where they are at hand, else the goldens."""
        text = data or training_data(self.data, None)
        try:
            if text:
                return self._named(text, "val" if data else "train", PICTURES)
        except EpeeError:
            if data is not None:
                raise
        return self.goldens(), SYNTHETIC

    def held_out(self, data: str | None) -> tuple[list[Sample], str] | None:
        """Pictures of `data`."""
        return None if data is None else self._named(data, "val", EXAM_FRAMES)

    def calibration(self, text: str, count: int, hold_back: bool) -> Calibration:
        """Pictures evenly spread over what is named."""
        return read_calibration(text, self.size_hw, self.fit, count=count, hold_back=hold_back, part=self._part(text))

    def _named(self, text: str, split: str, count: int) -> tuple[list[Sample], str]:
        return framed(pictures_of(text, split, self.size_hw, self.fit, count, self._part(text))), Path(text).name

    def _part(self, text: str) -> Part:
        return half(self.side) if self.side and text == self.data else whole


def half(side: str) -> Part:
    """What gives that half of a picture, (H, W, 3) to (H, W / 2, 3)."""
    def part(image: NDArray[Any]) -> NDArray[Any]:
        middle = image.shape[1] // 2
        return image[:, :middle] if side == "left" else image[:, middle:]

    return part


def from_trained(trained: Trained, name: str, size_wh: tuple[int, int] | None = None) -> Candidate:
    """Traces a training's network.

    An enhancer's frames are never resized: of another size they go through in tiles. A translator's are, as they were
    in its training, unless tiles are asked for.

    Args:
        trained: from `load_trained`.
        name: of the bundle.
        size_wh: width and height of the frames; None takes those of the training.

    Raises:
        ExportError: another task's network, a size too small, or one that torch cannot trace.
    """
    expected = "translate or enhance"
    network: Translator | Upscaler = (network_of(trained, Upscaler, expected) if trained.task == "enhance" else
                                      network_of(trained, Translator, expected))
    w, h = size_wh or trained.size_wh
    if min(w, h) < SMALLEST:
        raise ExportError("size", got=f"{w}x{h}", expected=f"{SMALLEST}x{SMALLEST} or more")
    scale = network.config.scale if isinstance(network, Upscaler) else 1
    fused, reference = FusedPictures(network), FusedPictures(network, folded=False)
    example = torch.zeros(1, h, w, 3, dtype=torch.uint8)
    model = without_output(to_onnx(fused, [example], [FRAME], [IMAGE, LEVELS]), LEVELS)
    facts = {"scale": scale, **costs(model, network)}
    fit = Fit("crop", "area")
    side = str(trained.provenance.get("input", "")) if halves(trained) else ""
    return Candidate(name=name, task=trained.task, model=model,
                     answer=torch_answers(reference, [FRAME], [IMAGE, LEVELS]), inputs=(frame_spec((h, w)),),
                     outputs=(image_spec((scale * h, scale * w)),),
                     supply=PictureSupply((h, w), fit, trained.data, side),
                     fit=replace(fit, mode=TILE) if trained.task == "enhance" else trained.fit, data=trained.data,
                     tiling=Tiling(network.reach, network.step),
                     provenance={**trained.provenance, **facts}, inner=LEVELS)


def halves(trained: Trained) -> bool:
    """Whether it learned from pictures whose halves are input and target."""
    return trained.task == "translate" and trained.provenance.get("target") is None


def check(asked: Asked) -> None:
    """Looks at the pictures that are to be measured and calibrated on.

    Raises:
        ExportError: there are none.
        DataError, SourceError: what was named cannot be read.
    """
    if asked.data is not None and not pictures_of(asked.data, "val", (SMALLEST, SMALLEST), Fit("crop", "area"), 1):
        raise DataError(f"--data '{asked.data}'", got="no picture in it", expected="a data set, folder or video")
    if asked.count:
        check_calibration(training_data(asked.trained_on, asked.calibration), asked.count)
