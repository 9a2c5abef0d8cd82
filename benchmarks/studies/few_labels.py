"""Few labels and many pictures: data sets in which one drive is left out and most of the others' labels are withheld.

The rule is fixed, so that no list has to be kept: the training pictures of the two other drives are put in the order
of their names, n of them, and of these the labels of numbers floor((i + 1/2) n / k), i = 0 to k - 1, are kept. The rest
are unlabelled. Nothing of the drive that is left out is in either.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2

from ...runtime.dataset import Dataset, FolderDataset, open_dataset
from ...runtime.errors import DataError
from ...train.data import Chosen

LABELS = 46
"""Labels that are kept: an eighth of CamVid's train split."""


class Parts(NamedTuple):
    """Indices into the training pictures.

    Attributes:
        labelled, unlabelled: to learn from.
        held: of the drive that is left out.
    """

    labelled: tuple[int, ...]
    unlabelled: tuple[int, ...]
    held: tuple[int, ...]


@dataclass(frozen=True)
class FewLabels:
    """A data set of few labels.

    Attributes:
        yaml: of the labelled pictures; without val, so that no training is scored on the way.
        unlabelled: folder of the others.
        held: pairs of the drive that is left out.
    """

    yaml: Path
    unlabelled: Path
    held: Dataset


def parts_of(stems: Sequence[str], fold: str, labels: int) -> Parts:
    """Which pictures are what.

    Args:
        stems: file names without their endings, in order.
        fold: how the names of the drive that is left out begin.
        labels: k.

    Raises:
        DataError: no picture of that drive, or fewer others than labels.
    """
    held = tuple(i for i, stem in enumerate(stems) if stem.startswith(fold))
    others = [i for i, stem in enumerate(stems) if not stem.startswith(fold)]
    if not held or len(others) <= labels:
        raise DataError(f"fold '{fold}'", got=f"{len(held)} pictures of it and {len(others)} others",
                        expected=f"some of it, and more than {labels} others")
    labelled = [others[(2 * i + 1) * len(others) // (2 * labels)] for i in range(labels)]
    return Parts(tuple(labelled), tuple(i for i in others if i not in set(labelled)), held)


def few_labels(data: str, fold: str, labels: int, root: Path) -> FewLabels:
    """Opens a fold's data set, and writes it below `root` where it is not there yet.

    Args:
        data: a dataset YAML with folders.
        fold: how the names of the drive that is left out begin.
        labels: how many are kept.
        root: where data sets are kept.

    Raises:
        DataError: the data set has no files, or does not fit.
    """
    import yaml

    whole = open_dataset(data, "train")
    if not isinstance(whole, FolderDataset):
        raise DataError(f"data set '{data}'", got="scenes without files", expected="a dataset YAML with folders")
    parts, folder = parts_of(whole.stems, fold, labels), root / f"{fold}-{labels}"
    found = FewLabels(folder / "few.yaml", folder / "unlabelled", Chosen(whole, parts.held))
    if found.yaml.is_file():
        return found
    images, masks = folder / "images" / "train", folder / "masks" / "train"
    for place in (images, masks, found.unlabelled):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    for i in parts.labelled:
        for place, pixels in zip((images, masks), whole[i], strict=True):
            (place / f"{whole.stems[i]}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    for i in parts.unlabelled:
        shutil.copyfile(whole.files[i], found.unlabelled / whole.files[i].name)
    described = {"train": "images/train", "names": dict(enumerate(whole.names)),
                 "colours": {i: list(colour) for i, colour in enumerate(whole.colours)}}
    found.yaml.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    return found
