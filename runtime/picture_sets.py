"""Pictures without masks, for generators: a folder, a zip or an array, held in memory at the training size.

A picture's name is its path, with `/`, below the folders that all pictures share and below the subset where one is
chosen: a folder and a zip of it have the same names. With `classes`, the first folder of a name is its class.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, near, need
from .picture_files import PICTURES

FEWEST = 16
"""Pictures that are needed at least: with fewer there is nothing to be diverse."""
MOST_BYTES = 8 << 30
"""Pictures beyond this do not fit in memory."""
LARGEST_FILE = 256 << 20
"""A file in a zip that would be larger than this, in bytes, is skipped unread."""
SPLITS = ("train", "val", "valid", "validation", "test")
HALVES = ("a", "b")

Read = Callable[[], bytes]


class Pictures(Protocol):
    """What a generator learns from."""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by id; empty where pictures have no labels."""
        ...

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """(len,) class ids, or None."""
        ...

    def __len__(self) -> int: ...

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Gives (N, H, W, 3) uint8, BGR, H and W being the training size."""
        ...


@dataclass(frozen=True)
class ArrayPictures:
    """Pictures in memory.

    Attributes:
        images: (len, H, W, 3) uint8, BGR.
        labels: (len,) int64 class ids, or None.
        names: class names by id; empty without labels.
        skipped: (name, reason) of each file that could not be read.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Gives (N, H, W, 3) uint8, BGR."""
        return self.images[indices]


def half_of(name: str) -> str:
    """`a` or `b`: the parity of the first byte of the name's SHA-256, so that a picture's half never changes.

    One half trains a generator, the other what scores it, so that the judge has not seen the pupil's pictures.
    """
    return HALVES[hashlib.sha256(name.encode()).digest()[0] % 2]


def open_pictures(source: str | os.PathLike[str], size: int, *, classes: bool = False, subset: str | None = None,
                  half: str | None = None) -> ArrayPictures:
    """Reads a folder or a zip of pictures: the centre square of each, resized.

    Args:
        source: a folder (searched through all its folders) or a .zip; nothing is ever unpacked to disk.
        size: height and width to bring pictures to.
        classes: whether the first folder of a picture is its label.
        subset: only what lies below this folder, e.g. `train`.
        half: only this half, `a` or `b` (see `half_of`).

    Raises:
        DataError: nothing there, no zip, a name that leads out of the zip, too few pictures that can be read.
    """
    path = Path(source)
    if half is not None and half not in HALVES:
        raise DataError("half", got=repr(half), expected="a or b")
    with ExitStack() as stack:
        if path.is_dir():
            entries = _folder(path)
        elif path.is_file():
            entries = _zip(path, stack)
        else:
            raise DataError(f"pictures '{path}'", got="nothing there", expected="a folder or a .zip of pictures")
        entries = _below(entries, subset, path)
        if half is not None:
            entries = {name: read for name, read in entries.items() if half_of(name) == half}
        labels, names = _labels(entries, path) if classes else ([], ())
        if len(entries) * size * size * 3 > MOST_BYTES:
            raise DataError(f"pictures '{path}'", got=f"{len(entries)} at {size}x{size}",
                            expected=f"what fits in {MOST_BYTES >> 30} GiB", do="take a --subset or a --half")
        read = _read_all(entries, size)
    good = [i for i, image in enumerate(read) if not isinstance(image, str)]
    skipped = tuple((name, image) for name, image in zip(entries, read, strict=True) if isinstance(image, str))
    if len(good) < FEWEST:
        raise DataError(f"pictures '{path}'", got=f"{len(good)} that can be read" + _told(skipped),
                        expected=f"{FEWEST} or more")
    return ArrayPictures(np.stack([read[i] for i in good]),
                         np.array(labels, np.int64)[good] if classes else None, names, skipped)


def _folder(root: Path) -> dict[str, Read]:
    found = sorted(p for p in root.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
    named = ((p.relative_to(root).as_posix(), p) for p in found)
    return {name: p.read_bytes for name, p in named if _shown(name)}


def _zip(path: Path, stack: ExitStack) -> dict[str, Read]:
    try:
        file = stack.enter_context(ZipFile(path))
    except (BadZipFile, OSError) as error:
        raise DataError(f"pictures '{path}'", got=str(error), expected="a folder or a .zip of pictures") from None
    entries: dict[str, Read] = {}
    for info in sorted(file.infolist(), key=lambda i: i.filename):
        name = info.filename
        if name.startswith("/") or "\\" in name or ":" in name or ".." in PurePosixPath(name).parts:
            raise DataError(f"zip '{path}': a name leads out of it", got=repr(name),
                            expected="plain names below the zip", do="nothing was read; pack it anew")
        if info.is_dir() or PurePosixPath(name).suffix.lower() not in PICTURES or not _shown(name):
            continue
        entries[name] = _too_large if info.file_size > LARGEST_FILE else functools.partial(file.read, info)
    return entries


def _too_large() -> bytes:
    raise ValueError(f"larger than {LARGEST_FILE >> 20} MiB")


def _shown(name: str) -> bool:
    """Whether no part of the name is hidden: `.x`, and what macOS puts beside pictures in a zip."""
    return not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _below(entries: dict[str, Read], subset: str | None, path: Path) -> dict[str, Read]:
    """Takes what lies in the subset, and cuts folders that all names share."""
    entries = _cut(entries)
    tops = sorted({name.split("/")[0] for name in entries if "/" in name})
    if subset is not None:
        if subset not in tops:
            raise DataError(f"pictures '{path}': subset '{subset}'", got="no such folder", do=near(subset, tops))
        return {name.removeprefix(subset + "/"): r for name, r in entries.items() if name.startswith(subset + "/")}
    if len(tops) > 1 and set(tops) <= set(SPLITS):
        raise DataError(f"pictures '{path}'", got="the splits " + ", ".join(tops), expected="one of them",
                        do=f"choose it with --subset {tops[0] if 'train' not in tops else 'train'}")
    return entries


def _cut(entries: dict[str, Read]) -> dict[str, Read]:
    """Without the folders that all names begin with, e.g. the one that a zip was made of."""
    folders = [name.split("/")[:-1] for name in entries]
    shared = next((i for i, parts in enumerate(zip(*folders, strict=False)) if len(set(parts)) > 1),
                  min(map(len, folders), default=0))
    return {"/".join(name.split("/")[shared:]): read for name, read in entries.items()}


def _labels(entries: Iterable[str], path: Path) -> tuple[list[int], tuple[str, ...]]:
    """The class of each picture, and the classes' names."""
    loose = [name for name in entries if "/" not in name]
    names = tuple(sorted({name.split("/")[0] for name in entries} - set(loose)))
    if loose or len(names) < 2:
        raise DataError(f"pictures '{path}': classes", got=f"'{loose[0]}' in no folder" if loose else f"{len(names)}",
                        expected="two folders or more, one a class", do="leave --classes out for a net without labels")
    return [names.index(name.split("/")[0]) for name in entries], names


def _read_all(entries: dict[str, Read], size: int) -> list[NDArray[np.uint8] | str]:
    """Each picture at the size, or why it cannot be read. OpenCV's own complaints are kept quiet meanwhile."""
    cv2: Any = need("cv2")
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            return list(pool.map(lambda read: _picture(read, size), entries.values()))
    finally:
        cv2.utils.logging.setLogLevel(level)


def _picture(read: Read, size: int) -> NDArray[np.uint8] | str:
    cv2: Any = need("cv2")
    try:
        data = read()
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except (OSError, BadZipFile, ValueError, RuntimeError, NotImplementedError, cv2.error) as error:
        return " ".join(str(error).split())[:120] or type(error).__name__
    if image is None or (data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[len(data) // 2:]):
        return "a broken or unknown file" if data else "an empty file"
    return to_square(image, size)


def to_square(image: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """The centre square of an (H, W, 3) uint8 picture at (size, size): areas averaged, or cubic where it grows."""
    h, w = image.shape[:2]
    side = min(h, w)
    y, x = (h - side) // 2, (w - side) // 2
    square = image[y:y + side, x:x + side]
    if side == size:
        return np.ascontiguousarray(square)
    cv2: Any = need("cv2")
    grown: NDArray[np.uint8] = cv2.resize(square, (size, size),
                                          interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)
    return grown


def _told(skipped: tuple[tuple[str, str], ...]) -> str:
    """` and 3 that cannot (x.jpg: a broken file, …)`."""
    if not skipped:
        return ""
    first = ", ".join(f"{name}: {reason}" for name, reason in skipped[:3])
    return f" and {len(skipped)} that cannot ({first}{', …' if len(skipped) > 3 else ''})"
