"""What looks at pictures: the discriminator of a GAN and the encoder of a VAE, on one trunk."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .plain import FIRST_SIZE, PlainBlock, activate, stages_of, start

SLOPE = 0.2


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of a Discriminator or an Encoder.

    Attributes:
        size: height and width of the picture: 8, 16, 32, 64 or 128.
        classes: number of classes; 0 for a discriminator without labels.
        channels: of each stage, from 4x4 up, as in the generator; more than `size` needs are left out.
        convolutions: in each stage's block, 1 or 2.
        frames: how many pictures it looks at together, channel after channel.
    """

    size: int = 32
    classes: int = 0
    channels: tuple[int, ...] = (160, 128, 64, 32)
    convolutions: tuple[int, ...] = (2, 2, 1, 1)
    frames: int = 1


class Trunk(nn.Module):
    """Features of a picture: the generator's way back, with average pooling.

    The last 4x4 map is summed with a learned weight for each place and channel (R3GAN, arXiv 2501.05441), which keeps
    where things are at the price of a few weights.

    Input: (N, 3 frames, size, size) float, BGR, -1 to 1.
    Output: (N, channels[0]) float32.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        stages = stages_of(config.size, config.channels, config.convolutions)[::-1]
        channels = [c for c, _ in stages]
        self.first = nn.Conv2d(3 * config.frames, channels[0], 3, padding=1)
        self.widen = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(channels))
        self.blocks = nn.ModuleList(PlainBlock(c, n, SLOPE) for c, n in stages)
        self.places = nn.Parameter(torch.randn(channels[-1], FIRST_SIZE, FIRST_SIZE) / FIRST_SIZE)
        for layer in (self.first, *self.widen):
            start(layer)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[0](self.first(x))
        for widen, block in zip(self.widen, self.blocks[1:], strict=True):
            x = block(widen(F.avg_pool2d(x, 2)))  # (N, channels, half, half)
        return (activate(x, SLOPE).to(self.places.dtype) * self.places).sum((2, 3))


class Discriminator(nn.Module):
    """A score for a picture, higher for real ones; with labels a projection (Miyato 2018, arXiv 1802.05637).

    Input: (N, 3 frames, size, size) float, BGR, -1 to 1; label (N,) int64, only where `classes` is not 0.
    Output: (N,) float32, unbounded.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config)
        width = config.channels[0]
        self.score = nn.Linear(width, 1)
        self.embedding = nn.Embedding(config.classes, width) if config.classes else None
        start(self.score)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        features = self.trunk(x)
        with torch.autocast(x.device.type, enabled=False):
            score = self.score(features).squeeze(1)
            if self.embedding is not None:
                score = score + (features * self.embedding(label)).sum(1)
        return score


class Encoder(nn.Module):
    """The latent's distribution for a picture, for a VAE.

    Input: (N, 3, size, size) float, BGR, -1 to 1.
    Output: mean and log variance, (N, z) float32 each.
    """

    def __init__(self, config: DiscriminatorConfig, z: int) -> None:
        super().__init__()
        self.trunk = Trunk(config)
        self.head = nn.Linear(config.channels[0], 2 * z)
        start(self.head)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x)
        with torch.autocast(x.device.type, enabled=False):
            mean, log_variance = self.head(features).chunk(2, 1)
        return mean, log_variance.clamp(-12.0, 6.0)
