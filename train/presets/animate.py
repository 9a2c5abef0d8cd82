"""Named configurations of `epee train animate`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..checks import check_least
from ..diffaug import DiffAugment
from ..networks.animator import AnimatorConfig
from ..networks.clip_discriminator import ClipDiscriminatorConfig
from . import generate
from .game import MakerConfig


@dataclass(frozen=True, kw_only=True)
class AnimateConfig(MakerConfig):
    """An animator's training.

    Attributes:
        data: a folder of clips or a video, or the name of an array given to `train_animate`.
        crop: frames are cut into squares of so many pixels, each with clips of its own; 0 takes their centre square.
        videos: how many times a video of how it moves is written anew over the budget.
        animator, discriminator: their own configurations.
    """

    GAMMA_AT_32 = 0.05

    data: str
    rate_first: float = 4e-4
    ema_images: float = 5_000.0
    grids: int = 30
    augment: DiffAugment = field(default_factory=lambda: DiffAugment(flip=0.0, cutout=0.0))
    crop: int = 0
    videos: int = 6
    animator: AnimatorConfig = field(default_factory=AnimatorConfig)
    discriminator: ClipDiscriminatorConfig = field(default_factory=ClipDiscriminatorConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop:
            check_least("crop", self.crop, self.size, "squares are not enlarged")
        check_least("frames", self.discriminator.frames, 2, "one alone does not move")

    @property
    def frames(self) -> int:
        """Of a clip."""
        return self.discriminator.frames


def networks_of(preset: str, size: int, frames: int) -> tuple[AnimatorConfig, ClipDiscriminatorConfig]:
    """The networks of a preset: those of `epee train generate`, and for how a clip moves the same again.

    Raises:
        ConfigError: there is no such preset, or not at this size.
    """
    generator, discriminator = generate.networks_of(preset, size)
    return AnimatorConfig(generator), ClipDiscriminatorConfig(frames, discriminator, discriminator)
