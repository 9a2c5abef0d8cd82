"""Named configurations of `epee train translate`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...runtime.errors import ConfigError
from ..checks import check_least, check_multiple, check_name
from ..diffaug import DiffAugment
from ..networks.patch_discriminator import PatchConfig
from ..networks.translator import TranslatorConfig
from ..pairs import HALVES
from .game import GameConfig


@dataclass(frozen=True, kw_only=True)
class TranslateConfig(GameConfig):
    """A translator's training.

    Attributes:
        data: a folder of inputs; without `target`, of pictures whose halves are input and target.
        target: a folder of targets.
        input: which half is the input, `left` or `right`.
        paired: whether inputs have targets of their own; else the targets are a manner to take on (FastCUT).
        val, val_target: the same to be looked at and scored on; None holds back the end of `data`.
        size: height and width of training crops; a multiple of 8.
        jitter: pictures are brought to this many times `size`, of which crops are taken (Isola 2017: 286 / 256).
        flip: probability of a left-right flip.
        beta1, beta2: Adam's.
        adversarial: whether there is a discriminator; without, pairs are learned by their pixels alone.
        pixel_weight: of the mean absolute difference, on a scale of -1 to 1; pairs only (Isola 2017, arXiv 1611.07004).
        feature_weight: of feature matching; pairs only (Wang 2018, pix2pixHD, arXiv 1711.11585, eq. 4).
        contrast_weight: of the patch contrastive loss; without pairs (FastCUT's 10, Park 2020, arXiv 2007.15651).
        patches, vector: places that are compared in a feature map, and the length of what is compared.
        gamma: weight of R1 on the discriminator's real pictures, as a patch's mean; 0 is none.
        penalty_every: steps from one penalty to the next; its weight is multiplied by that.
        ema_images: half-life of the averaged translator in crops seen, at most; and
        ema_share: at most as this share of the crops seen so far.
        evaluations: how many times it is scored over the budget.
        grids: how many pictures are drawn over the budget; they become a video at the end.
        network, discriminator, augment: their own configurations.
    """

    data: str
    target: str | None = None
    input: str = "left"
    paired: bool = True
    val: str | None = None
    val_target: str | None = None
    size: int = 128
    jitter: float = 1.12
    flip: float = 0.5
    batch: int = 8
    rate_first: float = 4e-4
    rate_last: float = 4e-5
    beta1: float = 0.5
    beta2: float = 0.99
    adversarial: bool = True
    pixel_weight: float = 10.0
    feature_weight: float = 5.0
    contrast_weight: float = 10.0
    patches: int = 128
    vector: int = 64
    gamma: float = 1.0
    penalty_every: int = 8
    ema_images: float = 4_000.0
    ema_share: float = 0.05
    evaluations: int = 8
    grids: int = 30
    network: TranslatorConfig = field(default_factory=TranslatorConfig)
    discriminator: PatchConfig = field(default_factory=PatchConfig)
    augment: DiffAugment = field(default_factory=lambda: DiffAugment(flip=0.0, cutout=0.3))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_multiple("size", self.size, 8, 16)
        check_least("jitter", self.jitter, 1)
        check_name("input", self.input, HALVES)
        if not self.paired and self.target is None:
            raise ConfigError("target of an unpaired translation", got="nothing", expected="a folder of pictures")
        if not self.paired and not self.adversarial:
            raise ConfigError("an unpaired translation without a discriminator", got="nothing to learn from",
                              expected="pairs, or a discriminator")

    @property
    def short(self) -> int:
        """What the shorter side of training pictures is brought to."""
        return round(self.size * self.jitter)


NETWORKS: dict[str, TranslatorConfig] = {
    "pico": TranslatorConfig(channels=(16, 32, 64), blocks=3),
    "nano": TranslatorConfig(),
    "small": TranslatorConfig(channels=(32, 64, 128, 192), blocks=6),
}
"""Preset name -> translator: about 0.26, 1.3 and 4.5 million parameters."""


def network_of(preset: str, skips: bool) -> TranslatorConfig:
    """The network of a preset. Raises ConfigError where there is no such preset."""
    check_name("preset", preset, NETWORKS)
    known = NETWORKS[preset]
    return TranslatorConfig(known.channels, known.blocks, skips)
