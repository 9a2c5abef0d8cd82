"""Calibration frames: which pictures INT8's ranges come from. Real ones, evenly spread, and written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import pixels
from ..runtime.dataset import FolderDataset, open_dataset
from ..runtime.description import SYNTHETIC
from ..runtime.errors import DataError, EpeeError, ExportError
from ..runtime.manifest import Fit
from ..runtime.picture_files import PICTURES, read_picture
from ..runtime.sources import kind_of, open_source
from .samples import Calibration, digest_of, framed

FRAMES = 128
"""Frames that are enough for every range: more change it no further."""
SMALLEST_SCENE_WH = (192, 144)
"""Synthetic scenes for networks that take less are drawn at this size and fitted."""
SMALLEST_PICTURE = 8
"""Sides below this are no picture of anything: a placeholder, or a file that went wrong."""
EXPECTED = f"a dataset YAML (its train split), a folder of pictures, a video, or {SYNTHETIC}"

Named = tuple[str, NDArray[Any]]
"""A frame's name and its (H, W, 3) uint8 BGR."""
Part = Callable[[NDArray[Any]], NDArray[Any]]
"""What of a picture is used."""


def whole(image: NDArray[Any]) -> NDArray[Any]:
    """All of it."""
    return image


def read_calibration(text: str, size_hw: tuple[int, int], fit: Fit, *, count: int = FRAMES,
                     hold_back: bool = False, part: Part = whole) -> Calibration:
    """Reads frames evenly spread over a source and fits them as the runtime will.

    Args:
        text: a dataset YAML (its train split), a folder of pictures, a video, a picture, or `synthetic:street`.
        size_hw: height and width of the network's frames.
        fit: how frames of another size are fitted.
        count: at most so many frames.
        hold_back: also gives frames that lie between those used, where there are any.
        part: what of a picture is used; of videos all of it is.

    Raises:
        ExportError: no source, or nothing in it.
        DataError, SourceError: it cannot be read, or one of its pictures is broken.
    """
    if not text:
        raise ExportError("calibration data", got="none", expected=EXPECTED,
                          do="name it with --calibration PATH, or leave int8 out of --precision")
    used: list[Named] = []
    held: list[Named] = []
    for i, (name, image) in enumerate(_read(text, "train", size_hw, fit, 2 * count if hold_back else count, part)):
        h, w = image.shape[:2]
        if min(h, w) < SMALLEST_PICTURE:
            raise DataError(f"calibration picture '{name}' of '{text}'", got=f"{w}x{h}",
                            expected=f"at least {SMALLEST_PICTURE}x{SMALLEST_PICTURE}",
                            do="remove it; pictures of other sizes are fitted as frames are")
        (held if hold_back and i % 2 else used).append((name, pixels.fit(image, size_hw, fit)))
    if not used:
        raise ExportError(f"calibration data '{text}'", got="no frame in it", expected=EXPECTED)
    samples = framed(frame for _, frame in used)
    return Calibration(text, tuple(name for name, _ in used), tuple(samples),
                       tuple(framed(frame for _, frame in held)), digest_of(samples))


def check_calibration(text: str, count: int = FRAMES) -> None:
    """Reads what `read_calibration` would and throws it away, of a video the first frame: a network takes long to
    trace, and what is wrong with the pictures should be known before.

    Raises:
        ExportError, DataError, SourceError: see `read_calibration`.
    """
    if text and not _is_dataset(text) and kind_of(text) == "video":
        with open_source(text) as source:
            if next(iter(source), None) is not None:
                return
    read_calibration(text, SMALLEST_SCENE_WH[::-1], Fit(), count=count)


def _read(text: str, split: str, size_hw: tuple[int, int], fit: Fit, count: int, part: Part) -> Iterator[Named]:
    """At most `count` named pictures of any size, evenly spread over the source, of a data set over a split of it."""
    path = Path(text)
    if _is_dataset(text):
        yield from ((name, part(image)) for name, image in _from_dataset(text, split, size_hw, count))
    elif path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURES)
        if not files:
            raise ExportError(f"calibration folder '{text}'", got="no picture in it", expected=" ".join(PICTURES))
        for i in spread(len(files), count):
            yield files[i].relative_to(path).as_posix(), part(read_picture(files[i]))
    elif kind_of(text) in ("video", "image"):
        with open_source(text) as source:
            frames = ((str(frame.index), pixels.fit(frame.image, size_hw, fit)) for frame in source)
            yield from thinned(frames, count)
    else:
        raise ExportError("calibration data", got=f"'{text}'", expected=EXPECTED)


def _is_dataset(text: str) -> bool:
    return text.startswith("synthetic:") or Path(text).suffix.lower() in (".yaml", ".yml")


def pictures_of(text: str, split: str, size_hw: tuple[int, int], fit: Fit, count: int,
                part: Part = whole) -> list[NDArray[Any]]:
    """Pictures (H, W, 3) uint8 BGR spread over a data set's split, a folder or a video, fitted; labels are not looked
    at.

    Raises:
        ExportError, DataError, SourceError: it cannot be read.
    """
    return [np.ascontiguousarray(pixels.fit(image, size_hw, fit))
            for _, image in _read(text, split, size_hw, fit, count, part)]


def _from_dataset(text: str, split: str, size_hw: tuple[int, int], count: int) -> Iterator[Named]:
    """Pictures of a split; labels are not looked at."""
    h, w = size_hw
    size_wh = (w, h) if w >= SMALLEST_SCENE_WH[0] and h >= SMALLEST_SCENE_WH[1] else SMALLEST_SCENE_WH
    data = open_dataset(text, split, size_wh=size_wh)
    for i in spread(len(data), count):
        if isinstance(data, FolderDataset):
            yield data.files[i].name, read_picture(data.files[i])
        else:
            yield str(i), data[i][0]


def spread(length: int, count: int) -> list[int]:
    """At most `count` indices below `length`, evenly spread, both ends among them."""
    return [int(i) for i in np.linspace(0, length - 1, min(count, length)).round()]


def thinned(items: Iterable[Named], count: int) -> list[Named]:
    """At most `count` items, evenly spread over a stream of unknown length; holds no more than twice as many."""
    kept: list[Named] = []
    stride = 1
    for i, item in enumerate(items):
        if i % stride:
            continue
        kept.append(item)
        if len(kept) == 2 * count:
            kept = kept[::2]
            stride *= 2
    return [kept[i] for i in spread(len(kept), count)] if kept else []


def training_data(text: str, named: str | None) -> str:
    """What to calibrate on: what was named, else the training's data where it is still at hand, else ''."""
    if named is not None:
        return named
    if not _is_dataset(text):
        return text if Path(text).exists() and text else ""
    try:
        open_dataset(text, "train")
    except EpeeError:
        return ""
    return text
