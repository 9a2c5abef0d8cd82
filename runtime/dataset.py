"""Labelled pictures for segmentation: the field's usual YAML file, or `synthetic:street`. No torch.

    path: .                    # optional, relative to this file
    train: images/train        # folders; a split that is missing cannot be asked for
    val: images/val
    masks_dir: masks           # mirrors the first folder of a split: images/train -> masks/train
    names: {0: sky, 1: building}
    colours: {0: [128, 128, 128]}                 # optional, RGB
    label_mapping: {0: 0, 1: 1, 11: ignore_label} # optional, raw id -> class id
    labels: colours            # optional: masks show each class in its colour instead of its id
    picture_side: left         # optional: a file holds picture and mask side by side, the picture on this side

`path` may name environment variables, e.g. `$EPEE_DATA/camvid`.
"""

from __future__ import annotations

import colorsys
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .colour_masks import classes_of
from .errors import DataError, near, need

IGNORE = 255
"""The label id that losses and scores leave out."""
KEYS = ("path", "train", "val", "test", "masks_dir", "names", "colours", "label_mapping", "nc", "labels",
        "picture_side")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
SYNTHETIC = "synthetic:street"

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


@dataclass(frozen=True)
class Description:
    """A dataset YAML, read and checked."""

    file: Path
    root: Path
    splits: Mapping[str, str]
    masks_dir: str
    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    lookup: NDArray[np.int16]
    """(256,) raw id -> class id, IGNORE, or -1 where the file does not say."""
    coloured: bool = False
    """Whether masks show classes in their colours."""
    picture_side: str = ""
    """`left` or `right` where a file holds picture and mask side by side."""


def read_description(file: Path) -> Description:
    """Reads a dataset YAML.

    Raises:
        DataError: it is missing or no YAML, has an unknown key, or its values make no sense.
    """
    import yaml

    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"data set '{file}'", got=error.strerror or str(error), expected="a dataset YAML",
                        do=f"name a file, or {SYNTHETIC}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"data set '{file}' is no YAML", got=" ".join(str(error).split())[:200]) from None
    if not isinstance(data, dict):
        raise DataError(f"data set '{file}'", got=type(data).__name__, expected="keys such as train, val, names")
    for key in data:
        if key not in KEYS:
            raise DataError(f"data set '{file}': unknown key '{key}'", do=near(str(key), list(KEYS)))
    names = _names(file, data.get("names"))
    if "nc" in data and data["nc"] != len(names):
        raise DataError(f"data set '{file}': nc", got=data["nc"], expected=f"{len(names)}, as in names")
    coloured = _one_of(file, data, "labels", ("ids", "colours")) == "colours"
    if coloured and "colours" not in data:
        raise DataError(f"data set '{file}': labels: colours", got="no colours", expected="colours of all names")
    return Description(
        file=file,
        root=file.parent / _expanded(file, str(data.get("path", "."))),
        coloured=coloured,
        picture_side=_one_of(file, data, "picture_side", ("", "left", "right")),
        splits={s: str(data[s]) for s in ("train", "val", "test") if data.get(s)},
        masks_dir=str(data.get("masks_dir", "masks")),
        names=names,
        colours=_colours(file, data.get("colours"), len(names)),
        lookup=_lookup(file, data.get("label_mapping"), len(names)))


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


def read_picture(path: Path) -> NDArray[Any]:
    """(H, W, 3) uint8 BGR of a picture file. Raises DataError where it is missing or broken."""
    cv2 = need("cv2")
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise DataError(f"picture '{path}'", got=" ".join(str(error).split())[:120]) from None
    if image is None:
        raise DataError(f"picture '{path}'", got="a broken or unknown file", expected=" ".join(PICTURES),
                        do="remove it or save it again")
    return image


def read_mask(path: Path) -> NDArray[Any]:
    """(H, W) uint8 raw ids of a PNG mask, palette PNGs included. Raises DataError where it is none."""
    cv2 = need("cv2")
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"mask '{path}'", got=error.strerror or str(error)) from None
    if data.size > 25 and data[:4].tobytes() == b"\x89PNG" and data[25] == 3:  # a palette: cv2 would give its colours
        return _read_palette(path)
    mask = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if mask is None:
        raise DataError(f"mask '{path}'", got="a broken or unknown file", expected="a PNG of class ids")
    if mask.ndim == 3 and mask.shape[2] == 3 and (mask == mask[..., :1]).all():
        mask = mask[..., 0]
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise DataError(f"mask '{path}'", got=f"{mask.shape} {mask.dtype}", expected="(H, W) uint8 class ids",
                        do="save it as an 8-bit greyscale PNG whose values are ids")
    return mask


def _read_palette(path: Path) -> NDArray[Any]:
    """(H, W) uint8 indices of a palette PNG. cv2 cannot give them, Pillow can."""
    pillow = need("PIL.Image")
    try:
        with pillow.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"mask '{path}'", got=" ".join(str(error).split())[:120],
                        expected="a PNG of class ids") from None


def default_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """(r, g, b) for each of `count` classes, far apart by golden-ratio hues."""
    hues = [(0.58 + 0.618034 * i) % 1.0 for i in range(count)]
    rgb = [colorsys.hsv_to_rgb(h, 0.55 + 0.3 * (i % 2), 0.95 - 0.3 * (i // 2 % 2)) for i, h in enumerate(hues)]
    return tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in rgb)


def _names(file: Path, names: Any) -> tuple[str, ...]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or sorted(names) != list(range(len(names))) or len(names) < 2:
        raise DataError(f"data set '{file}': names", got=repr(names)[:80],
                        expected="at least two names by ids 0, 1, 2 …")
    if len(names) > IGNORE:
        raise DataError(f"data set '{file}': names", got=len(names), expected=f"at most {IGNORE} classes")
    return tuple(str(names[i]) for i in range(len(names)))


def _colours(file: Path, colours: Any, count: int) -> tuple[tuple[int, int, int], ...]:
    if colours is None:
        return default_colours(count)
    try:
        listed = [colours[i] for i in range(count)]
        return tuple((int(r), int(g), int(b)) for r, g, b in listed)
    except (KeyError, IndexError, TypeError, ValueError):
        raise DataError(f"data set '{file}': colours", got=repr(colours)[:80],
                        expected=f"[r, g, b] for each id 0 to {count - 1}") from None


def _one_of(file: Path, data: Mapping[str, Any], key: str, known: tuple[str, ...]) -> str:
    value = data.get(key, known[0])
    if value not in known:
        raise DataError(f"data set '{file}': {key}", got=repr(value), expected=" or ".join(k for k in known if k))
    return str(value)


def _expanded(file: Path, path: str) -> str:
    found = os.path.expandvars(path)
    if "$" in found:
        raise DataError(f"data set '{file}': path", got=f"'{path}'", expected="environment variables that are set")
    return found


def _lookup(file: Path, mapping: Any, count: int) -> NDArray[np.int16]:
    lookup = np.full(256, -1, np.int16)
    lookup[IGNORE] = IGNORE
    mapping = {i: i for i in range(count)} if mapping is None else mapping
    if not isinstance(mapping, dict):
        raise DataError(f"data set '{file}': label_mapping", got=repr(mapping)[:80],
                        expected="raw id: class id, by line")
    for raw, target in mapping.items():
        value = IGNORE if target in ("ignore_label", "ignore", IGNORE) else target
        if not (isinstance(raw, int) and 0 <= raw <= 255 and isinstance(value, int)
                and (0 <= value < count or value == IGNORE)):
            raise DataError(f"data set '{file}': label_mapping entry", got=f"{raw!r}: {target!r}",
                            expected=f"raw id 0 to 255: class id 0 to {count - 1}, or ignore_label")
        lookup[raw] = value
    return lookup
