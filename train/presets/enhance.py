"""Named configurations of `epee train enhance`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ...runtime.errors import ConfigError
from ..checks import check_name, check_share
from ..degrade import Damage
from ..health import Limits
from ..networks.unet_discriminator import UNetConfig
from ..networks.upscaler import UpscalerConfig
from .game import GameConfig

SCALES, CELLS = (1, 2, 3, 4), (1, 2, 4)


@dataclass(frozen=True, kw_only=True)
class EnhanceConfig(GameConfig):
    """An enhancer's training.

    Attributes:
        data: a folder of pictures (or videos), or a video.
        val: another one to be scored on; None holds back the end of `data`.
        start: a run or checkpoint whose weights it begins with; None begins anew.
        crop: height and width of training crops of the good pictures; a multiple of 4, and of the scale times
            the cell.
        rate_first, rate_last: Adam's learning rate in the pixel stage.
        adversarial: the share of the budget, at its end, in which a discriminator has a say; 0 is none.
        adversarial_weight: of the generator's adversarial loss, beside 1 for the pixels'.
        adversarial_rate: Adam's learning rate in the adversarial stage, of both networks, falling to a tenth.
        interpolation: how far the network that is kept goes from the pixel stage's weights, 0, to those of the end, 1
            (network interpolation, Wang 2018, arXiv 1809.00219, section 3.4): most of the sharpness for half the error.
        warm_steps: steps at the beginning of the adversarial stage in which the discriminator alone learns.
        ema_decay: of the averaged weights, which are what is scored and exported.
        evaluations: how many times it is scored over the budget.
        grids: how many pictures are drawn over the budget.
        network, discriminator, damage: their own configurations.
    """

    data: str
    val: str | None = None
    start: str | None = None
    crop: int = 96
    batch: int = 16
    rate_first: float = 2e-3
    rate_last: float = 2e-5
    adversarial: float = 0.0
    adversarial_weight: float = 0.1
    adversarial_rate: float = 3e-4
    interpolation: float = 0.8
    warm_steps: int = 100
    ema_decay: float = 0.998
    evaluations: int = 8
    grids: int = 12
    network: UpscalerConfig = field(default_factory=UpscalerConfig)
    discriminator: UNetConfig = field(default_factory=UNetConfig)
    damage: Damage = field(default_factory=Damage)
    limits: Limits = field(default_factory=lambda: Limits(every=50, grace_images=0))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("adversarial share", self.adversarial)
        check_share("interpolation", self.interpolation)
        if self.network.scale not in SCALES:
            raise ConfigError("scale", got=self.network.scale, expected=", ".join(map(str, SCALES)))
        if self.network.cell not in CELLS:
            raise ConfigError("cell", got=self.network.cell, expected=" or ".join(map(str, CELLS)))
        whole = math.lcm(4, self.network.scale * self.network.cell)
        if self.crop < 16 or self.crop % whole:
            raise ConfigError("crop", got=self.crop, expected=f"a multiple of {whole}, from 16 up")


NETWORKS: dict[str, tuple[int, int]] = {"nano": (16, 4), "small": (32, 8), "base": (64, 16)}
"""Preset name -> channels and layers: about 12, 77 and 600 thousand parameters, and 4% to 64% more with cells of 2."""


def network_of(preset: str, scale: int, cell: int = 1) -> UpscalerConfig:
    """The network of a preset. Raises ConfigError where there is no such preset."""
    check_name("preset", preset, NETWORKS)
    channels, layers = NETWORKS[preset]
    return UpscalerConfig(scale, channels, layers, cell)
