"""The discriminator of translated pictures: a score for each patch, beside the input where there are pairs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .plain import PlainBlock, activate, start

SLOPE = 0.2


@dataclass(frozen=True)
class PatchConfig:
    """Sizes of a PatchDiscriminator.

    Attributes:
        conditional: whether it also sees the input that a picture was made of.
        channels: at 1/2, at 1/4 and at 1/8; each patch is about 60 pixels wide.
    """

    conditional: bool = True
    channels: tuple[int, ...] = (32, 64, 128)


class PatchDiscriminator(nn.Module):
    """Scores of patches, higher for real ones (Isola 2017, arXiv 1611.07004).

    Residual blocks without normalisation, as everywhere here; what keeps the scores in bounds is R1.

    Input: (N, 3, H, W) float, BGR, -1 to 1; condition of the same shape where it is conditional.
    Output: (N, h, w) float32, unbounded.
    """

    def __init__(self, config: PatchConfig) -> None:
        super().__init__()
        channels = config.channels
        self.config = config
        self.first = nn.Conv2d(6 if config.conditional else 3, channels[0], 4, 2, 1)
        self.widen = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(channels))
        self.blocks = nn.ModuleList(PlainBlock(c, 2, SLOPE) for c in channels)
        self.score = nn.Conv2d(channels[-1], 1, 1)
        for layer in (self.first, *self.widen, self.score):
            start(layer)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        score, _ = self.judged(x, condition)
        return score

    def judged(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """The scores, and the features on the way, for feature matching."""
        y = self.blocks[0](self.first(x if condition is None else torch.cat([x, condition], 1)))
        features = [y]
        for widen, block in zip(self.widen, self.blocks[1:], strict=True):
            y = block(widen(F.avg_pool2d(y, 2)))
            features.append(y)
        return self.score(activate(y, SLOPE)).squeeze(1).float(), features
