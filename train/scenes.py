"""Whole pictures at their own size, from a folder, a picture or a video: what crops are taken from.

Pictures are kept in memory as bytes. Of a video, and of a folder that does not fit, frames are taken evenly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import DataError, need
from ..runtime.picture_files import PICTURES

VIDEOS = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".ts")
MOST_FRAMES = 400
"""Frames that are taken of a video."""
MOST_BYTES = 4 << 30

Named = tuple[str, "NDArray[np.uint8] | str"]


@dataclass(frozen=True)
class Scenes:
    """Pictures of any sizes.

    Attributes:
        images: (H, W, 3) uint8, BGR, each at its own size.
        skipped: (name, reason) of what could not be used.
    """

    images: tuple[NDArray[np.uint8], ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def split(self, share: float = 0.05, most: int = 24) -> tuple[Scenes, Scenes]:
        """Train and held-out: the end is held out, since neighbours in a video or a folder look alike."""
        count = min(most, max(1, round(share * len(self.images))))
        return Scenes(self.images[:-count], self.skipped), Scenes(self.images[-count:])

    def spread(self, most: int) -> Scenes:
        """At most so many, evenly spread."""
        chosen = np.unique(np.linspace(0, len(self.images) - 1, min(most, len(self.images))).round().astype(int))
        return Scenes(tuple(self.images[i] for i in chosen), self.skipped)


def open_scenes(source: str | os.PathLike[str], least: int, *, fewest: int = 1) -> Scenes:
    """Reads a folder (searched through all its folders; pictures and videos), a picture or a video.

    Args:
        source: what to read.
        least: smaller pictures, in either direction, are skipped.
        fewest: pictures that are needed.

    Raises:
        DataError: nothing there, or fewer pictures that can be used.
        MissingExtra: a video, and no PyAV.
    """
    path = Path(source)
    images: list[NDArray[np.uint8]] = []
    skipped: list[tuple[str, str]] = []
    room = MOST_BYTES
    for name, image in read_all(path):
        if isinstance(image, str):
            skipped.append((name, image))
        elif min(image.shape[:2]) < least:
            skipped.append((name, f"{image.shape[1]}x{image.shape[0]}, smaller than the crop of {least}"))
        elif (room := room - image.nbytes) < 0:
            raise DataError(f"pictures '{path}'", got=f"more than {MOST_BYTES >> 30} GiB in memory",
                            do="take a part of them")
        else:
            images.append(image)
    if len(images) < fewest:
        raise too_few(str(path), len(images), skipped, fewest)
    return Scenes(tuple(images), tuple(skipped))


def read_picture(path: Path) -> NDArray[np.uint8] | str:
    """(H, W, 3) uint8, BGR, or why it cannot be read. Nothing is printed."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        data = path.read_bytes()
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except (OSError, cv2.error) as error:
        return " ".join(str(error).split())[:120] or type(error).__name__
    finally:
        cv2.utils.logging.setLogLevel(level)
    if image is None or (data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[len(data) // 2:]):
        return "a broken or unknown file" if data else "an empty file"
    return np.asarray(image, np.uint8)


def too_few(source: str, found: int, skipped: Sequence[tuple[str, str]], fewest: int) -> DataError:
    """The error for a source with fewer pictures than are needed, which names what was skipped."""
    told = ", ".join(f"{name}: {reason}" for name, reason in skipped[:3])
    cannot = f" and {len(skipped)} that cannot ({told}{', …' if len(skipped) > 3 else ''})" if skipped else ""
    return DataError(f"pictures '{source}'", got=f"{found} that can be used{cannot}", expected=f"{fewest} or more")


def read_all(root: Path) -> Iterator[Named]:
    """The pictures and the videos' frames of a folder, or of one file, in the order of their names.

    Gives (name, picture), or (name, why it cannot be read).

    Raises:
        DataError: nothing is there.
        MissingExtra: a video, and no PyAV.
    """
    if not root.exists():
        raise DataError(f"pictures '{root}'", got="nothing there", expected="a folder of pictures, or a video")
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    for file in (f for f in files if f.suffix.lower() in PICTURES + VIDEOS):
        name = file.relative_to(root).as_posix() if root.is_dir() else file.name
        if file.suffix.lower() in VIDEOS:
            yield from _frames(file, name)
        else:
            yield name, read_picture(file)


def _frames(file: Path, name: str) -> Iterator[Named]:
    """Frames of a video, evenly spread where it tells how many it has; else the first ones."""
    av: Any = need("av")
    try:
        with av.open(str(file)) as video:
            stream = video.streams.video[0]
            every = max(1, -(-stream.frames // MOST_FRAMES))
            for index, frame in enumerate(video.decode(stream)):
                if index >= every * MOST_FRAMES:
                    break
                if index % every == 0:
                    yield f"{name}#{index}", np.ascontiguousarray(frame.to_ndarray(format="bgr24"))
    except (av.FFmpegError, IndexError) as error:
        yield name, " ".join(str(error).split())[:120] or "no video in it"
