"""The trainings of the study of the adversary, and how each is scored; see `adversary`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime import pixels
from ...runtime.dataset import Dataset
from ...runtime.errors import ConfigError
from ...runtime.scores import Confusion
from ...train import checkpoint
from ...train.adversary import AdversaryConfig, form_of
from ...train.devices import pick_device
from ...train.metrics import predict
from ...train.presets.segment import NETWORKS, RECIPES, UNSEEN, SegmentConfig
from ...train.pseudo import PseudoConfig
from ...train.segment import train_segment
from . import boundaries
from .adversary_table import course
from .few_labels import LABELS, few_labels
from .ledger import line_of

PLAIN, UNLABELLED, ADVERSARY = ARMS = ("plain", "unlabelled", "adversary")


@dataclass(frozen=True)
class Run:
    """A training of the study.

    Attributes:
        arm: one of ARMS.
        trial: `FORM:FACTOR` of the discriminator; "" in the other arms.
        confidence: of pseudo labels; 0 in the arm without them.
        fold: the drive that is left out.
        seed: of the training.
    """

    arm: str
    trial: str
    confidence: float
    fold: str
    seed: int

    @classmethod
    def of(cls, arm: str, fold: str, seed: int, trial: str = "", confidence: float = PseudoConfig.confidence) -> Run:
        """A training of an arm, with what the arm has no use for left out."""
        return cls(arm, trial if arm == ADVERSARY else "", 0.0 if arm == PLAIN else confidence, fold, seed)


@dataclass(frozen=True)
class Study:
    """What all trainings share.

    Attributes:
        data: the dataset YAML.
        runs: where runs and their data sets are kept.
        results: a line a training.
        size_wh: of the pictures.
        budget: `minutes` or `steps` of each training.
        labels: how many are kept.
        preset: of the network.
    """

    data: str
    runs: Path
    results: Path
    size_wh: tuple[int, int]
    budget: tuple[str, float]
    labels: int = LABELS
    preset: str = "small"

    def key(self, run: Run) -> dict[str, Any]:
        """What names a training in the results."""
        return {**vars(run), "size": "x".join(map(str, self.size_wh)), self.budget[0]: self.budget[1],
                "labels": self.labels, "preset": self.preset}

    def known(self, run: Run) -> dict[str, Any] | None:
        """The line of a training, or None."""
        return line_of(self.results, self.key(run))

    def all_of(self, runs: Sequence[Run]) -> list[dict[str, Any]] | None:
        """The lines of these, or None where one is missing."""
        found = [self.known(run) for run in runs]
        return [line for line in found if line is not None] if None not in found else None

    def config(self, run: Run) -> SegmentConfig:
        """What a training learns, and from what; its data set is written where it is not there yet."""
        there = few_labels(self.data, run.fold, self.labels, self.runs / "data")
        minutes = self.budget[0] == "minutes"
        return SegmentConfig(**{
            "data": str(there.yaml), "preset": self.preset, "network": NETWORKS[self.preset], **RECIPES[self.preset],
            "size_wh": self.size_wh, "augment": UNSEEN, "seed": run.seed, "evaluations": 1, "clock": "cpu",
            "minutes": self.budget[1] if minutes else None, "steps": None if minutes else int(self.budget[1]),
            "unlabelled": () if run.arm == PLAIN else (str(there.unlabelled),),
            "pseudo": PseudoConfig() if run.arm == PLAIN else PseudoConfig(confidence=run.confidence),
            "adversary": trial_of(run.trial) if run.arm == ADVERSARY else AdversaryConfig()})

    def train(self, run: Run) -> dict[str, Any]:
        """Trains, or goes on, and scores; gives the line."""
        config, words = self.config(run), (str(word) for word in self.key(run).values() if word != "")
        folder = self.runs / "-".join(words).replace(":", "-")
        metrics = train_segment(config, folder, resume=(folder / checkpoint.LAST).is_file(), quiet=True)
        held = few_labels(self.data, run.fold, self.labels, self.runs / "data").held
        confusion, borders = scored(folder, held)
        return {**self.key(run), "miou": round(confusion.miou(), 5), "boundary_f": round(boundaries.score(borders), 5),
                "names": list(held.names), "confusion": confusion.matrix.tolist(), "borders": borders.tolist(),
                "steps_done": metrics["steps"], "minutes_done": metrics["minutes"], "unlabelled": metrics["unlabelled"],
                **{name: course(folder, name) for name in ("discriminator_accuracy", "pseudo_share")}}


def trial_of(text: str) -> AdversaryConfig:
    """`FORM:FACTOR` -> a form with its weights times the factor. Raises ConfigError where it is none."""
    name, _, factor = text.partition(":")
    form = form_of(name)
    try:
        times = float(factor or "1")
    except ValueError:
        raise ConfigError("--trial", got=text, expected="FORM:FACTOR, e.g. pixels:1") from None
    return dataclasses.replace(form, weight=times * form.weight, unlabelled_weight=times * form.unlabelled_weight,
                               semi=times * form.semi)


def scored(run: Path, held: Dataset) -> tuple[Confusion, NDArray[np.int64]]:
    """Confusion matrix and border counts of a run's averaged network on pictures that it has not seen."""
    trained, device = checkpoint.load_trained(run), pick_device()
    network = trained.network.to(device)
    confusion = Confusion(len(held.names), held.ignore)
    borders = np.zeros((len(held.names), 4), np.int64)
    for i in range(len(held)):
        image, label = held[i]
        answer = pixels.unfit_mask(predict(network, [image], trained.size_wh, trained.fit, device)[0], label.shape,
                                   trained.fit)
        confusion.add(label, answer)
        borders += boundaries.count(label, answer, len(held.names), held.ignore)
    return confusion, borders
