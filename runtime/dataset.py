"""Labelled pictures for segmentation: folders that a YAML file describes, or `synthetic:street`. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .colour_masks import classes_of
from .description import IGNORE, SYNTHETIC, Description, read_description
from .errors import DataError
from .picture_files import PICTURES, read_mask, read_picture

Pair = tuple[NDArray[Any], NDArray[Any]]


class Dataset(Protocol):
    """Pairs of picture and mask.

    Attributes:
        names: class names by id.
        colours: (r, g, b) by id.
        ignore: the label id to leave out.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    ignore: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Pair:
        """Gives image (H, W, 3) uint8 BGR and mask (H, W) uint8 class ids."""
        ...


def open_dataset(text: str, split: str, *, size_wh: tuple[int, int] | None = None,
                 count: int | None = None) -> Dataset:
    """Opens one split of a data set.

    Args:
        text: path of a dataset YAML, or `synthetic:street`.
        split: `train`, `val` or `test`.
        size_wh: the size at which a synthetic scene is drawn; files keep their own.
        count: only the first so many pairs.

    Raises:
        DataError: the file, a key, a folder or a mask does not fit.
    """
    if text == SYNTHETIC:
        from .street import StreetDataset

        return StreetDataset(split, size_wh or (320, 240), count)
    if text.startswith("synthetic:"):
        raise DataError(f"data set '{text}'", got="no such scene", expected=SYNTHETIC)
    return FolderDataset(read_description(Path(text)), split, count)


class FolderDataset:
    """The pairs of one split, in the order of their names. See `Dataset`."""

    def __init__(self, description: Description, split: str, count: int | None = None) -> None:
        d = description
        if split not in d.splits:
            raise DataError(f"data set '{d.file}': split '{split}'", got="not in the file",
                            expected="one of " + ", ".join(d.splits))
        folder = d.root / d.splits[split]
        parts = Path(d.splits[split]).parts
        masks = d.root / d.masks_dir / Path(*parts[1:])
        if not folder.is_dir():
            raise DataError(f"data set '{d.file}': {split} pictures", got="no folder", expected=str(folder))
        self.files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)[:count]
        if not self.files:
            raise DataError(f"data set '{d.file}': {split} pictures in {folder}", got="none",
                            expected=" ".join(PICTURES))
        self.masks = (self.files if d.picture_side else
                      [(masks / p.relative_to(folder)).with_suffix(".png") for p in self.files])
        missing = [m for m in self.masks if not m.is_file()]
        if missing:
            raise DataError(f"data set '{d.file}': {len(missing)} of {len(self.masks)} {split} masks",
                            got="missing", expected=str(missing[0]))
        self.names, self.colours, self.ignore = d.names, d.colours, IGNORE
        self.stems = [p.stem for p in self.files]
        self._description = d

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Pair:
        image, raw = self._read(index)
        if raw.shape != image.shape[:2]:
            raise DataError(f"mask '{self.masks[index]}'", got=f"{raw.shape[1]}x{raw.shape[0]}",
                            expected=f"{image.shape[1]}x{image.shape[0]}, as its picture")
        mask = self._description.lookup[raw]
        if mask.min() < 0:
            strange = sorted(int(v) for v in np.unique(raw[mask < 0]))
            raise DataError(f"mask '{self.masks[index]}'", got=f"ids {strange[:8]}",
                            expected=f"ids 0 to {len(self.names) - 1}, {IGNORE}, or what label_mapping names",
                            do="add them to label_mapping (ignore_label leaves them out)")
        return image, mask.astype(np.uint8)

    def _read(self, index: int) -> Pair:
        d, image = self._description, read_picture(self.files[index])
        if d.picture_side:
            half = image.shape[1] // 2
            halves = image[:, :half], image[:, half:2 * half]
            image, label = halves if d.picture_side == "left" else halves[::-1]
            image = np.ascontiguousarray(image)
            raw = classes_of(label, d.colours, IGNORE) if d.coloured else label[..., 0]
        elif d.coloured:
            raw = classes_of(read_picture(self.masks[index]), d.colours, IGNORE)
        else:
            raw = read_mask(self.masks[index])
        return image, raw
