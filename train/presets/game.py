"""What trainings against a discriminator are told, whatever they train."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ...runtime.errors import ConfigError
from ..checks import check_budget, check_least, check_name
from ..diffaug import DiffAugment
from ..gan_losses import LOSSES
from ..health import Limits
from ..schedule import CLOCKS

ENDS = ("both", "real")
SIZES = (8, 16, 32, 64, 128)


@dataclass(frozen=True, kw_only=True)
class GameConfig:
    """A training of two networks against each other. All schedules are in fractions of the budget.

    Attributes:
        preset: name of the preset it started from.
        loss: a key of `gan_losses.LOSSES`.
        minutes: budget in time of the training loop, or
        steps: in steps.
        clock: what minutes are of: `wall`, or `cpu` for the processor time of the process.
        batch: pictures, crops or clips a step.
        rate_first, rate_last: Adam's learning rate, falling from one to the other along half a cosine.
        seed: of initial weights, order, chance and augmentation.
        limits: what counts as a collapse or a divergence.
    """

    preset: str = "nano"
    loss: str = "relativistic"
    minutes: float | None = None
    steps: int | None = None
    clock: str = "wall"
    batch: int = 32
    rate_first: float = 1e-3
    rate_last: float = 1e-4
    seed: int = 0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_budget(**self.budgets)
        check_least("batch", self.batch, 2)
        check_name("loss", self.loss, LOSSES)
        check_name("clock", self.clock, CLOCKS)

    @property
    def budgets(self) -> dict[str, float | None]:
        """All ways of saying how long it trains, of which one is used."""
        return {"minutes": self.minutes, "steps": self.steps}


@dataclass(frozen=True, kw_only=True)
class MakerConfig(GameConfig):
    """A training in which pictures or clips are made of nothing but chance.

    Attributes:
        size: height and width of the pictures.
        beta2: Adam's; beta1 is 0 (R3GAN, arXiv 2501.05441).
        gamma: weight of R1 and R2, which every loss but Wasserstein has; 0 is none; None follows the size, as
            `GAMMA_AT_32` times (size / 32)^3.
        penalised: which pictures they are of: `both` real and generated ones, or `real` ones, which is R1 alone.
        gradient_penalty: lambda of Wasserstein's penalty.
        penalty_every: steps from one gradient penalty to the next; its weight is multiplied by that (lazy, Karras 2019,
            arXiv 1912.04958).
        ema_images: half-life of the averaged network in pictures or clips seen, at most; and
        ema_share: at most as this share of those seen so far.
        grids: how many pictures of fixed latents are drawn over the budget; they become a video at the end.
        augment: what the discriminator sees changed.
    """

    GAMMA_AT_32: ClassVar[float]

    size: int = 32
    beta2: float = 0.99
    gamma: float | None = None
    penalised: str = "both"
    gradient_penalty: float = 10.0
    penalty_every: int = 4
    ema_images: float = 10_000.0
    ema_share: float = 0.05
    grids: int = 60
    augment: DiffAugment = field(default_factory=DiffAugment)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least("gamma", self.gamma, 0)
        check_least("penalty_every", self.penalty_every, 1)
        check_name("penalised end", self.penalised, ENDS)
        if self.size not in SIZES:
            raise ConfigError("size", got=self.size, expected=" or ".join(map(str, SIZES)))

    @property
    def resolved_gamma(self) -> float:
        """The weight of R1 and R2 at this size."""
        return self.GAMMA_AT_32 * (self.size / 32) ** 3 if self.gamma is None else self.gamma
