"""Named configurations of `epee train animate`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..runtime.errors import ConfigError
from .checks import check_budget, check_least, check_name
from .diffaug import DiffAugment
from .gan_losses import LOSSES
from .generate_presets import ENDS, NETWORKS, SIZES
from .health import Limits
from .networks.animator import AnimatorConfig
from .networks.clip_discriminator import ClipDiscriminatorConfig
from .schedule import CLOCKS


@dataclass(frozen=True)
class AnimateConfig:
    """An animator's training. All schedules are in fractions of the budget.

    Attributes:
        data: a folder of clips or a video, or the name of an array given to `train_animate`.
        preset: name of the preset it started from.
        loss: a key of `gan_losses.LOSSES`.
        size: height and width of the frames.
        crop: frames are cut into squares of so many pixels, each with clips of its own; 0 takes their centre square.
        minutes: budget in time of the training loop, or
        steps: in steps.
        clock: what minutes are of: `wall`, or `cpu` for the processor time of the process.
        batch: clips a step.
        rate_first, rate_last: Adam's learning rate, falling from one to the other along half a cosine.
        beta2: Adam's; beta1 is 0.
        gamma: weight of R1 and R2, of both discriminators; 0 is none; None follows the size, as in a generator's.
        penalised: which clips they are of: `both` real and generated ones, or `real` ones.
        gradient_penalty: lambda of Wasserstein's penalty.
        penalty_every: steps from one penalty to the next; its weight is multiplied by that.
        ema_images: half-life of the averaged animator in clips seen, at most; and
        ema_share: at most as this share of the clips seen so far.
        grids: how many pictures of fixed noise are drawn over the budget; they become a video at the end.
        videos: how many times a video of how it moves is written anew over the budget.
        seed: of initial weights, order, noise and augmentation.
        animator, discriminator, augment, limits: their own configurations.
    """

    data: str
    preset: str = "nano"
    loss: str = "relativistic"
    size: int = 32
    crop: int = 0
    minutes: float | None = None
    steps: int | None = None
    clock: str = "wall"
    batch: int = 32
    rate_first: float = 4e-4
    rate_last: float = 1e-4
    beta2: float = 0.99
    gamma: float | None = None
    penalised: str = "both"
    gradient_penalty: float = 10.0
    penalty_every: int = 4
    ema_images: float = 5_000.0
    ema_share: float = 0.05
    grids: int = 30
    videos: int = 6
    seed: int = 0
    animator: AnimatorConfig = field(default_factory=AnimatorConfig)
    discriminator: ClipDiscriminatorConfig = field(default_factory=ClipDiscriminatorConfig)
    augment: DiffAugment = field(default_factory=lambda: DiffAugment(flip=0.0, cutout=0.0))
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_budget(minutes=self.minutes, steps=self.steps)
        check_least("batch", self.batch, 2)
        if self.crop:
            check_least("crop", self.crop, self.size, "squares are not enlarged")
        check_least("gamma", self.gamma, 0)
        check_least("frames", self.discriminator.frames, 2, "one alone does not move")
        check_name("loss", self.loss, LOSSES)
        check_name("penalised end", self.penalised, ENDS)
        check_name("clock", self.clock, CLOCKS)
        if self.size not in SIZES:
            raise ConfigError("size", got=self.size, expected=" or ".join(map(str, SIZES)))

    @property
    def frames(self) -> int:
        """Of a clip."""
        return self.discriminator.frames

    @property
    def resolved_gamma(self) -> float:
        """The weight of R1 and R2 at this size."""
        return 0.05 * (self.size / 32) ** 3 if self.gamma is None else self.gamma


def networks_of(preset: str, size: int, frames: int) -> tuple[AnimatorConfig, ClipDiscriminatorConfig]:
    """The networks of a preset: those of `epee train generate`, and for how a clip moves the same again.

    Raises:
        ConfigError: there is no such preset, or not at this size.
    """
    check_name("preset", preset, NETWORKS)
    if size not in NETWORKS[preset]:
        raise ConfigError(f"size of preset '{preset}'", got=size, expected=" or ".join(map(str, NETWORKS[preset])))
    generator, discriminator = NETWORKS[preset][size]
    return AnimatorConfig(generator), ClipDiscriminatorConfig(frames, discriminator, discriminator)
