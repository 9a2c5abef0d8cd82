"""What a dataset YAML says, in the field's usual form.

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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, near

IGNORE = 255
"""The label id that losses and scores leave out."""
KEYS = ("path", "train", "val", "test", "masks_dir", "names", "colours", "label_mapping", "nc", "labels",
        "picture_side")
SYNTHETIC = "synthetic:street"
"""The data set that needs no file."""


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
