"""The generator: a latent and a label become a picture. GANs and the VAE share it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .plain import FIRST_SIZE, PlainBlock, activate, stages_of, start


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a Generator.

    Attributes:
        size: height and width of the picture: 8, 16, 32, 64 or 128.
        z: length of the latent.
        classes: number of classes; 0 for a generator without labels.
        label: length of a class's embedding.
        channels: of each stage, from 4x4 up; more than `size` needs are left out. Where pixels are many take
            multiples of 16: CPU kernels work in blocks of that many, and 24 cost as much as 32.
        convolutions: in each stage's block, 1 or 2.
    """

    size: int = 32
    z: int = 64
    classes: int = 0
    label: int = 32
    channels: tuple[int, ...] = (160, 96, 64, 16)
    convolutions: tuple[int, ...] = (2, 2, 1, 1)


class Generator(nn.Module):
    """A picture for a latent.

    A linear layer makes a 4x4 map; from stage to stage a 1x1 convolution makes it narrower and a bilinear resize twice
    as large, so that the wide layers are where pixels are few: three quarters of the weights work at 4x4. (Nearest
    pixels would be 5% faster, and leave blocks in the pictures that take long to be unlearned.)

    Input: z (N, z) float, standard normal; label (N,) int64, only where `classes` is not 0.
    Output: (N, 3, size, size) float, BGR, -1 to 1.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        stages = stages_of(config.size, config.channels, config.convolutions)
        channels = [c for c, _ in stages]
        self.embedding = nn.Embedding(config.classes, config.label) if config.classes else None
        self.first = nn.Linear(config.z + (config.label if config.classes else 0), channels[0] * FIRST_SIZE**2)
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(channels))
        self.blocks = nn.ModuleList(PlainBlock(c, n, 0.0) for c, n in stages)
        self.last = nn.Conv2d(channels[-1], 3, 3, padding=1)
        for layer in (self.first, *self.narrow, self.last):
            start(layer)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(label)], 1)
        x = self.first(z).unflatten(1, (-1, FIRST_SIZE, FIRST_SIZE))  # (N, channels[0], 4, 4)
        x = self.blocks[0](x)
        for narrow, block in zip(self.narrow, self.blocks[1:], strict=True):
            x = F.interpolate(narrow(x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = block(x)  # (N, channels[i], 4 * 2^i, 4 * 2^i)
        return torch.tanh(self.last(activate(x, 0.0)))  # (N, 3, size, size)
