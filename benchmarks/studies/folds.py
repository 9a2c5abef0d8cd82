"""What the studies on drives that were never seen share: their folds, and how they score."""

from __future__ import annotations

from pathlib import Path

from ...runtime.dataset import Dataset
from ...runtime.scores import Confusion
from ...train import checkpoint
from ...train.devices import pick_device
from ...train.metrics import evaluate

FOLDS = ("0001TP", "0006R0", "0016E5")
"""Drives of CamVid's train split, each of which is left out in turn."""


def confusion_of(run: Path, held: Dataset) -> Confusion:
    """What a run's averaged network answers on pictures that it has not seen."""
    trained = checkpoint.load_trained(run)
    return evaluate(trained.network.to(pick_device()), held, trained.size_wh, trained.fit, pick_device())
