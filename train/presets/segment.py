"""Named configurations. A preset is an instance; options given on the command line replace its fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...runtime.errors import ConfigError
from ..adversary import AdversaryConfig
from ..augment import Augment
from ..checks import check_budget, check_least, check_name
from ..networks.segmenter import SegmenterConfig
from ..objective import Terms
from ..pseudo import PseudoConfig
from ..schedule import CLOCKS

BUDGETS = ("epochs", "steps", "minutes")
"""Fields of SegmentConfig of which one is the budget."""


@dataclass(frozen=True)
class SegmentConfig:
    """A segmentation training.

    Attributes:
        data: path of a dataset YAML, or `synthetic:street`.
        preset: name of the preset it started from.
        size_wh: size the network is trained at; None takes the size of the first picture (synthetic: 320x240).
        leave_out: beginnings of file names; training pictures with them are not learned from but scored on, in place
            of val. The word `val` adds val.
        init: where the first weights come from: a bundle's name, a bundle, a run or a checkpoint; "" draws them.
        teacher: run or checkpoint of a trained network whose answers are learned from as well; "" goes without.
        unlabelled: folders of pictures without labels, which are learned from as well.
        epochs: budget in passes over the pictures; or
        steps: budget in steps; or
        minutes: budget in time of the training loop, evaluations included.
        clock: what minutes are of: `wall`, or `cpu` for the processor time of the process.
        batch: pictures a step, in all processes together.
        accumulate: parts that a batch is computed in, in all processes together; at least one a process. Each part has
            batch statistics of its own.
        learning_rate: peak of AdamW's learning rate, after warm-up.
        weight_decay: AdamW's, on convolution weights only.
        warmup_steps: steps over which the learning rate rises linearly.
        poly_power: exponent of the polynomial fall to 0 over the budget (Chen 2016, arXiv 1606.00915).
        ema_decay: of the averaged weights that are evaluated and exported.
        weight_floor: c in the class weight 1 / ln(c + frequency) (Paszke 2016, arXiv 1606.02147); 0 weighs all
            classes alike.
        evaluations: how many times the validation split is scored over the budget.
        train_count, val_count: only the first so many pictures of a split; None takes all.
        seed: of initial weights, order and augmentation.
        network, augment, terms, pseudo, adversary: their own configurations; `pseudo` is of unlabelled pictures.
    """

    data: str
    preset: str = "small"
    size_wh: tuple[int, int] | None = None
    leave_out: tuple[str, ...] = ()
    init: str = ""
    teacher: str = ""
    unlabelled: tuple[str, ...] = ()
    epochs: int | None = None
    steps: int | None = None
    minutes: float | None = None
    clock: str = "wall"
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 2e-4
    warmup_steps: int = 200
    poly_power: float = 0.9
    ema_decay: float = 0.999
    weight_floor: float = 1.10
    evaluations: int = 10
    train_count: int | None = None
    val_count: int | None = None
    seed: int = 0
    network: SegmenterConfig = field(default_factory=lambda: SegmenterConfig(classes=2))
    augment: Augment = field(default_factory=Augment)
    terms: Terms = field(default_factory=Terms)
    pseudo: PseudoConfig = field(default_factory=PseudoConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)

    @property
    def adversarial(self) -> str:
        """Form of the adversarial training; "" without."""
        return self.adversary.form

    def __post_init__(self) -> None:
        check_budget(**{name: getattr(self, name) for name in BUDGETS})
        check_name("clock", self.clock, CLOCKS)
        check_least("batch", self.batch, 1)
        check_least("accumulate", self.accumulate, 1)
        if self.size_wh is not None and min(self.size_wh) < 32:
            raise ConfigError("size", got=f"{self.size_wh[0]}x{self.size_wh[1]}", expected="32x32 or more")


NETWORKS: dict[str, SegmenterConfig] = {
    "nano": SegmenterConfig(classes=2, stem=16, quarter=32, eighth=64, sixteenth=96, dilations=(1, 2, 4),
                            decode8=48, decode4=32),
    "small": SegmenterConfig(classes=2, stem=32, quarter=48, eighth=96, sixteenth=112, dilations=(1, 2, 4, 8),
                             decode8=64, decode4=48),
    "teacher": SegmenterConfig(classes=2, stem=48, quarter=72, eighth=128, sixteenth=192, eighth_blocks=2,
                               dilations=(1, 2, 4, 8, 4), decode8=96, decode4=64),
}
"""Preset name -> network; `classes` is set from the data. `teacher` is for `--teacher`, not for devices."""

RECIPES: dict[str, dict[str, Any]] = {
    "nano": {"batch": 4, "learning_rate": 2.5e-3, "warmup_steps": 50, "ema_decay": 0.995,
             "augment": Augment(scale=(0.9, 1.4))},
    "small": {"batch": 4, "learning_rate": 2.5e-3, "warmup_steps": 400, "weight_decay": 1e-3},
    "teacher": {"batch": 4, "learning_rate": 2e-3, "warmup_steps": 400, "weight_decay": 1e-3},
}
"""Preset name -> fields of SegmentConfig that differ from its defaults."""

FINE_TUNING: dict[str, Any] = {"learning_rate": 1e-3, "warmup_steps": 50, "ema_decay": 0.99}
"""Fields that differ from the preset's where a training begins from weights."""

UNSEEN = Augment(scale=(0.75, 2.0), brightness=0.25, contrast=0.2, gamma=(0.5, 1.6), channel=(0.8, 1.25),
                 saturation=0.5, blur=0.15, noise=0.15, noise_levels=12.0)
"""Augmentation towards drives that were not seen: dusk, other white balance, other lenses."""


def check_preset(name: str) -> None:
    """Raises ConfigError where there is no such preset."""
    check_name("preset", name, NETWORKS)
