"""The discriminator of class maps: it sees a picture and the probability of each class, and says who drew the classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from .plain import start

SLOPE = 0.2


@dataclass(frozen=True)
class LabelDiscriminatorConfig:
    """Sizes of a LabelDiscriminator.

    Attributes:
        classes: number of classes.
        channels: at the size of what it sees, at 1/2 and at 1/4 of it.
        multiplied: whether it sees the picture under each class, picture x probability, in place of the picture
            (SegAN, Xue 2017, arXiv 1706.01805).
        dense: whether it scores each pixel from the features of all scales; else only places of 4x4.
        normed: whether its convolutions have spectral norm (Miyato 2018, arXiv 1802.05957).
    """

    classes: int
    channels: tuple[int, ...] = (16, 32, 64)
    multiplied: bool = False
    dense: bool = False
    normed: bool = True


class LabelDiscriminator(nn.Module):
    """Scores of class maps, higher for labels than for answers; a few plain convolutions, as AdvSemiSeg has them.

    Hung 2018, arXiv 1802.07934, which sees classes alone; here the picture is beside them.

    Input: picture (N, 3, h, w) float, BGR, 0 to 1; classes (N, C, h, w) float, 0 to 1.
    Output: (N, h, w) float32 where it is dense, else (N, ceil(h/4), ceil(w/4)); unbounded.
    """

    def __init__(self, config: LabelDiscriminatorConfig) -> None:
        super().__init__()
        c = config
        self.config = config
        self.first = _layer(4 * c.classes if c.multiplied else 3 + c.classes, c.channels[0], 3, 1, c.normed)
        self.down = nn.ModuleList(_layer(a, b, 3, 2, c.normed) for a, b in pairwise(c.channels))
        self.score = nn.ModuleList(_layer(n, 1, 1, 1, c.normed) for n in (c.channels if c.dense else c.channels[-1:]))

    def forward(self, picture: Tensor, classes: Tensor) -> Tensor:
        return self.judged(picture, classes)[0]

    def judged(self, picture: Tensor, classes: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The scores, and the features of each scale, (N, channels, h / s, w / s) for s = 1, 2, 4."""
        if self.config.multiplied:
            planes = torch.cat([picture - 0.5, torch.ones_like(picture[:, :1])], 1)  # (N, 4, h, w)
            x = (planes[:, :, None] * classes[:, None]).flatten(1, 2)  # (N, 4 C, h, w)
        else:
            x = torch.cat([picture - 0.5, classes], 1)
        features = [F.leaky_relu(self.first(x.contiguous(memory_format=torch.channels_last)), SLOPE)]
        for layer in self.down:
            features.append(F.leaky_relu(layer(features[-1]), SLOPE))
        scores = self.score[-1](features[-1])
        if self.config.dense:
            size = features[0].shape[-2:]
            scores = self.score[0](features[0]) + sum(
                F.interpolate(score(y), size=size, mode="bilinear", align_corners=False)
                for score, y in zip(self.score[1:], features[1:], strict=True))
        return scores.squeeze(1).float(), features


def _layer(inputs: int, outputs: int, kernel: int, stride: int, normed: bool) -> nn.Module:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
    start(layer)
    return spectral_norm(layer) if normed else layer
