"""Named configurations of `epee train generate`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..runtime.errors import ConfigError
from .checks import check_budget, check_least, check_name
from .diffaug import DiffAugment
from .gan_losses import LOSSES
from .health import Limits
from .networks.discriminator import DiscriminatorConfig
from .networks.generator import GeneratorConfig
from .schedule import CLOCKS

METHODS = ("gan", "vae")
ENDS = ("both", "real")
SIZES = (8, 16, 32, 64, 128)


@dataclass(frozen=True)
class GenerateConfig:
    """A generator's training. All schedules are in fractions of the budget.

    Attributes:
        data: a folder or a .zip of pictures, or the name of an array given to `train_generate`.
        preset: name of the preset it started from.
        method: `gan`, or `vae` for the same decoder trained as a variational autoencoder.
        loss: a key of `gan_losses.LOSSES`; a VAE has its own.
        size: height and width of the pictures.
        classes: whether the first folder of a picture is its label.
        subset: only pictures below this folder, e.g. `train`.
        half: only this half of them, `a` or `b` (see `pictures.half_of`).
        minutes: budget in time of the training loop, or
        steps: in steps, or
        images: in pictures seen.
        clock: what minutes are of: `wall`, or `cpu` for the processor time of the process.
        batch: pictures a step.
        rate_first, rate_last: Adam's learning rate, falling from one to the other along half a cosine.
        beta2: Adam's; beta1 is 0 (R3GAN, arXiv 2501.05441), for a VAE 0.9.
        gamma: weight of R1 and R2, which every loss but Wasserstein has; 0 is none; None follows the size
            (0.2 at 32, 1.6 at 64, within what R3GAN takes).
        penalised: which pictures they are of: `both` real and generated ones, or `real` ones, which is R1 alone.
        gradient_penalty: lambda of Wasserstein's penalty.
        penalty_every: steps from one penalty to the next; its weight is multiplied by that (lazy, Karras 2019,
            arXiv 1912.04958).
        ema_images: half-life of the averaged generator in pictures seen, at most; and
        ema_share: at most as this share of the pictures seen so far.
        grids: how many pictures of fixed latents are drawn over the budget; they become a video at the end.
        evaluations: how many times a score that was asked for is computed over the budget.
        seed: of initial weights, order, latents and augmentation.
        generator, discriminator, augment, limits: their own configurations; an encoder has the discriminator's.
    """

    data: str
    preset: str = "nano"
    method: str = "gan"
    loss: str = "relativistic"
    size: int = 32
    classes: bool = False
    subset: str | None = None
    half: str | None = None
    minutes: float | None = None
    steps: int | None = None
    images: int | None = None
    clock: str = "wall"
    batch: int = 32
    rate_first: float = 1e-3
    rate_last: float = 1e-4
    beta2: float = 0.99
    gamma: float | None = None
    penalised: str = "both"
    gradient_penalty: float = 10.0
    penalty_every: int = 4
    ema_images: float = 10_000.0
    ema_share: float = 0.05
    grids: int = 60
    evaluations: int = 4
    seed: int = 0
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    augment: DiffAugment = field(default_factory=DiffAugment)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_budget(minutes=self.minutes, steps=self.steps, images=self.images)
        check_least("batch", self.batch, 2)
        check_least("gamma", self.gamma, 0)
        check_name("loss", self.loss, LOSSES)
        check_name("method", self.method, METHODS)
        check_name("penalised end", self.penalised, ENDS)
        check_name("clock", self.clock, CLOCKS)
        if self.size not in SIZES:
            raise ConfigError("size", got=self.size, expected=" or ".join(map(str, SIZES)))

    @property
    def resolved_gamma(self) -> float:
        """The weight of R1 and R2 at this size."""
        return 0.2 * (self.size / 32) ** 3 if self.gamma is None else self.gamma

    @property
    def budget_steps(self) -> int | None:
        """The budget in steps, or None where it is in minutes."""
        return self.steps if self.images is None else -(-self.images // self.batch)


NETWORKS: dict[str, dict[int, tuple[GeneratorConfig, DiscriminatorConfig]]] = {
    "pico": {
        32: (GeneratorConfig(channels=(64, 64, 48, 16)), DiscriminatorConfig(channels=(96, 64, 48, 16))),
        64: (GeneratorConfig(channels=(64, 64, 48, 32, 16), convolutions=(2, 2, 1, 1, 1)),
             DiscriminatorConfig(channels=(96, 64, 48, 32, 16), convolutions=(2, 2, 1, 1, 1))),
    },
    "nano": {
        32: (GeneratorConfig(), DiscriminatorConfig()),
        64: (GeneratorConfig(channels=(160, 96, 64, 32, 16), convolutions=(2, 2, 1, 1, 1)),
             DiscriminatorConfig(channels=(160, 128, 64, 32, 16), convolutions=(2, 2, 1, 1, 1))),
    },
    "small": {
        32: (GeneratorConfig(channels=(256, 192, 96, 32), convolutions=(2, 2, 2, 1)),
             DiscriminatorConfig(channels=(256, 192, 96, 48), convolutions=(2, 2, 2, 1))),
        64: (GeneratorConfig(channels=(256, 192, 96, 48, 32), convolutions=(2, 2, 2, 1, 1)),
             DiscriminatorConfig(channels=(256, 192, 96, 48, 32), convolutions=(2, 2, 2, 1, 1))),
    },
}
"""Preset name -> size -> generator and discriminator; classes are set from the data."""


def networks_of(preset: str, size: int) -> tuple[GeneratorConfig, DiscriminatorConfig]:
    """The networks of a preset at a size. Raises ConfigError where there is no such preset, or not at this size."""
    check_name("preset", preset, NETWORKS)
    if size not in NETWORKS[preset]:
        raise ConfigError(f"size of preset '{preset}'", got=size, expected=" or ".join(map(str, NETWORKS[preset])))
    return NETWORKS[preset][size]
