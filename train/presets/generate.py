"""Named configurations of `epee train generate`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...runtime.errors import ConfigError
from ..checks import check_name
from ..networks.discriminator import DiscriminatorConfig
from ..networks.generator import GeneratorConfig
from .game import MakerConfig

METHODS = ("gan", "vae")


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(MakerConfig):
    """A generator's training.

    Attributes:
        data: a folder or a .zip of pictures, or the name of an array given to `train_generate`.
        method: `gan`, or `vae` for the same decoder trained as a variational autoencoder, which has a loss of its own
            and a beta1 of 0.9.
        classes: whether the first folder of a picture is its label.
        subset: only pictures below this folder, e.g. `train`.
        half: only this half of them, `a` or `b` (see `pictures.half_of`).
        images: the budget in pictures seen, in place of minutes or steps.
        evaluations: how many times a score that was asked for is computed over the budget.
        generator, discriminator: their own configurations; an encoder has the discriminator's.
    """

    GAMMA_AT_32 = 0.2  # 1.6 at 64: both within what R3GAN takes

    data: str
    method: str = "gan"
    classes: bool = False
    subset: str | None = None
    half: str | None = None
    images: int | None = None
    evaluations: int = 4
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("method", self.method, METHODS)

    @property
    def budgets(self) -> dict[str, float | None]:
        """All ways of saying how long it trains, of which one is used."""
        return {**super().budgets, "images": self.images}

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
