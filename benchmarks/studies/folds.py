"""What the studies on drives that were never seen share: their folds, their lines of results, and how they score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.dataset import Dataset
from ...runtime.scores import Confusion
from ...train import checkpoint
from ...train.devices import pick_device
from ...train.metrics import evaluate
from .modes import lines

FOLDS = ("0001TP", "0006R0", "0016E5")
"""Drives of CamVid's train split, each of which is left out in turn."""


def line_of(results: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """The line of a results file with all that `key` says, or None."""
    return next((line for line in lines(results) if key.items() <= line.items()), None)


def confusion_of(run: Path, held: Dataset) -> Confusion:
    """What a run's averaged network answers on pictures that it has not seen."""
    trained = checkpoint.load_trained(run)
    return evaluate(trained.network.to(pick_device()), held, trained.size_wh, trained.fit, pick_device())


def pooled(rows: Sequence[Mapping[str, Any]]) -> Confusion:
    """One confusion matrix of what all folds were scored on."""
    confusion = Confusion(len(rows[0]["names"]))
    for row in rows:
        confusion.matrix += np.asarray(row["confusion"], np.int64)
    return confusion
