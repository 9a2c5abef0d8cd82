"""The discriminator of clips: one network looks at a frame alone, another at all frames one above another."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .discriminator import Discriminator, DiscriminatorConfig


@dataclass(frozen=True)
class ClipDiscriminatorConfig:
    """Sizes of a ClipDiscriminator.

    Attributes:
        frames: of a clip.
        picture, motion: of the two networks; the motion's `frames` is set from here.
    """

    frames: int = 6
    picture: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    motion: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)


class ClipDiscriminator(nn.Module):
    """Two scores for a clip, higher for real ones: of its middle frame, and of how it moves.

    (Two discriminators as in MoCoGAN, Tulyakov 2017, arXiv 1707.04993; a clip is so short that its frames fit beside
    each other into the channels.)

    Input: (N, 3 T, size, size) float, BGR frame after frame, -1 to 1.
    Output: (N, 2) float32, unbounded.
    """

    def __init__(self, config: ClipDiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.picture = Discriminator(dataclasses.replace(config.picture, frames=1))
        self.motion = Discriminator(dataclasses.replace(config.motion, frames=config.frames))

    def forward(self, clips: Tensor, label: Tensor | None = None) -> Tensor:
        first = 3 * (self.config.frames // 2)
        return torch.stack([self.picture(clips[:, first:first + 3]), self.motion(clips)], 1)
