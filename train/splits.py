"""Which pictures a segmentation training learns from, and which it is scored on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..runtime.dataset import Dataset, FolderDataset, open_dataset
from ..runtime.errors import DataError
from .data import Chosen, Joined, Remembered
from .presets.segment import SegmentConfig

VAL = "val"


@dataclass(frozen=True)
class Splits:
    """The pictures of a training.

    Attributes:
        train: to learn from.
        scored: to be scored on; None where the data set has no val.
        name: of what is scored, e.g. `val`, or `train frames of 0001TP`.
    """

    train: Dataset
    scored: Dataset | None
    name: str


def open_splits(config: SegmentConfig) -> Splits:
    """Opens what a configuration names.

    With `leave_out`, training pictures whose file names begin with one of its words are not learned from but scored
    on; the word `val` adds the pictures of val to them.

    Raises:
        DataError: the data set does not fit, or nothing is left to learn from or to score.
    """
    size_wh, words = config.size_wh, config.leave_out
    if not words:
        train = open_dataset(config.data, "train", size_wh=size_wh, count=config.train_count)
        val = _val(config)
        return Splits(train, None if val is None else Remembered(val), VAL if val is not None else "nothing")
    whole = open_dataset(config.data, "train", size_wh=size_wh)
    prefixes = left_out_of(config)
    stems = whole.stems if isinstance(whole, FolderDataset) else [""] * len(whole)
    for prefix in prefixes:
        if not any(stem.startswith(prefix) for stem in stems):
            raise DataError(f"--leave-out {prefix}", got="no training picture of that name",
                            expected="the beginning of some file names, " + _beginnings(stems))
    held = [i for i, stem in enumerate(stems) if prefixes and stem.startswith(prefixes)]
    kept = sorted(set(range(len(whole))) - set(held))[:config.train_count]
    if not kept:
        raise DataError(f"--leave-out {','.join(words)}", got="all training pictures", expected="some to learn from")
    val = _val(config) if VAL in words else None
    if val is None and VAL in words:
        raise DataError(f"data set '{config.data}': split 'val'", got="not in the file", do="leave `val` out")
    return Splits(Chosen(whole, kept), Remembered(_joined(Chosen(whole, held), val)),
                  " and ".join([f"train frames of {', '.join(prefixes)}"] * bool(held) + [VAL] * (val is not None)))


def left_out_of(config: SegmentConfig) -> tuple[str, ...]:
    """Beginnings of the names of training pictures that are scored on and not learned from."""
    return tuple(word for word in config.leave_out if word != VAL)


def complete(config: SegmentConfig, train: Dataset) -> SegmentConfig:
    """Fills in what the data decides: the number of classes, and the size where none was asked for."""
    h, w = train[0][1].shape
    return dataclasses.replace(config, size_wh=config.size_wh or (w, h),
                               network=dataclasses.replace(config.network, classes=len(train.names)))


def _val(config: SegmentConfig) -> Dataset | None:
    try:
        return open_dataset(config.data, VAL, size_wh=config.size_wh, count=config.val_count)
    except DataError as error:
        if error.got == "not in the file":
            return None
        raise


def _joined(held: Dataset, val: Dataset | None) -> Dataset:
    return held if val is None else val if not len(held) else Joined(held, val)


def _beginnings(stems: list[str]) -> str:
    return "e.g. " + ", ".join(sorted({stem[:6] for stem in stems})[:4]) if any(stems) else "but here are no files"
