"""The fused network: a camera's bytes go in, a mask of bytes comes out, and nothing is left to do by hand.

Batch norm and the division by 255 disappear into the convolutions; of preprocessing only Cast and Transpose stay, in
this order, because TensorRT takes bytes only into a Cast. For the same reason the Cast to bytes is the last thing.

The tail, from logits to class ids, decides much of the time of a small network, see `tails`.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..runtime.errors import ExportError
from ..train.networks.extractor import Extractor
from ..train.networks.segmenter import Segmenter
from .tails import TAIL, TAILS

N = TypeVar("N", Segmenter, Extractor)


class FusedSegmenter(nn.Module):
    """A Segmenter from bytes to bytes.

    Args:
        network: in eval mode; left as it is.
        size_wh: width and height of the frames, 32 or more.
        tail: one of TAILS.
        folded: whether batch norm and scale are folded into the convolutions. Without, the same mathematics is
            computed step by step by the very network that was trained: the reference for parity.

    Input: frame (N, H, W, 3) uint8, BGR.
    Output: mask (N, H, W) uint8 class ids; logits (N, h, w, classes) float32, what the ArgMax saw.
    """

    def __init__(self, network: Segmenter, size_wh: tuple[int, int], *, tail: str = TAIL, folded: bool = True) -> None:
        super().__init__()
        w, h = size_wh
        if min(w, h) < 32:
            raise ExportError("size", got=f"{w}x{h}", expected="32x32 or more")
        if tail not in TAILS:
            raise ExportError("tail", got=repr(tail), expected=", ".join(TAILS))
        self.size_hw = (h, w)
        self.tail = TAILS[tail]
        self.network = fold(network) if folded else network
        self.folded = folded
        self.eval()

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        x = frame.to(torch.float32).permute(0, 3, 1, 2)  # (N, 3, H, W)
        if not self.folded:
            x = x / 255
        ids, logits = self.tail(self.network(x), self.size_hw)  # (N, H, W), (N, h, w, classes)
        return ids.to(torch.uint8), logits


@torch.no_grad()
def fold(network: N) -> N:
    """Gives a copy for frames of 0 to 255, without batch norm; its answers differ by rounding alone.

    Zero padding stays right, because black is 0 on both scales.
    """
    folded = copy.deepcopy(network).eval()
    for block in folded.modules():
        if not isinstance(block, nn.Sequential):
            continue
        for i in range(len(block) - 1):
            conv, norm = block[i], block[i + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                _fold_norm(conv, norm)
                block[i + 1] = nn.Identity()
    first = folded.stem[0]
    assert isinstance(first, nn.Conv2d)
    first.weight.copy_(first.weight.double() / 255)
    return folded


def _fold_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Batch norm with fixed statistics is a scale and a shift for each channel: w' = w s, b' = (b - mean) s + beta."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = conv.bias.double() if conv.bias is not None else torch.zeros_like(scale)
    shifted = (bias - norm.running_mean.double()) * scale + norm.bias.double()
    conv.weight.copy_(conv.weight.double() * scale[:, None, None, None])
    conv.bias = nn.Parameter(shifted.to(conv.weight.dtype))
