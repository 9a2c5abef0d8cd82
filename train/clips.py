"""Clips: short runs of consecutive frames, from folders of pictures, videos, or arrays.

Frames are held in memory as bytes, the centre square of each at the training's size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.dataset import PICTURES
from ..runtime.errors import DataError, need
from ..runtime.picture_sets import to_square
from .data import Order
from .scenes import MOST_BYTES, VIDEOS, read_picture


@dataclass(frozen=True)
class Clips:
    """Runs of frames.

    Attributes:
        runs: (F, size, size, 3) uint8, BGR, each as long as it is.
        skipped: (name, reason) of what could not be used.
    """

    runs: tuple[NDArray[np.uint8], ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def windows(self, frames: int) -> list[tuple[int, int]]:
        """(run, first frame) of every clip of so many frames."""
        return [(i, start) for i, run in enumerate(self.runs) for start in range(len(run) - frames + 1)]


def open_clips(source: str | os.PathLike[str], size: int, frames: int) -> Clips:
    """Reads clips: each video is one, and each folder that holds pictures, in the order of their names.

    Args:
        source: a video, or a folder that is searched through all its folders.
        size: height and width of the frames.
        frames: clips with fewer are skipped.

    Raises:
        DataError: nothing there, or nothing that can be used.
        MissingExtra: a video, and no PyAV.
    """
    path = Path(source)
    if not path.exists():
        raise DataError(f"clips '{path}'", got="nothing there", expected="a video, or a folder of clips")
    runs: list[NDArray[np.uint8]] = []
    skipped: list[tuple[str, str]] = []
    room = MOST_BYTES
    for name, read in _named(path):
        run, reason = _run(read, size)
        room -= sum(image.nbytes for image in run)
        if room < 0:
            raise DataError(f"clips '{path}'", got=f"more than {MOST_BYTES >> 30} GiB in memory",
                            do="take a part of them")
        if len(run) < frames:
            skipped.append((name, reason or f"{len(run)} frames, fewer than {frames}"))
        else:
            runs.append(np.stack(run))
    if not runs:
        told = ", ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        raise DataError(f"clips '{path}'", got=f"none that can be used ({told})" if told else "none",
                        expected=f"videos, or folders of pictures, of {frames} frames or more")
    return Clips(tuple(runs), tuple(skipped))


class ClipBatches:
    """Batches of clips, by (seed, step) alone.

    Args:
        clips: where they come from.
        frames: of a clip.
        batch: clips a step.
        seed: of the order.
    """

    def __init__(self, clips: Clips, frames: int, batch: int, seed: int) -> None:
        self._clips, self._frames, self._windows = clips, frames, clips.windows(frames)
        self._order = Order(len(self._windows), batch, seed)

    def __len__(self) -> int:
        """How many different clips there are; they overlap."""
        return len(self._windows)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each clip is seen once."""
        return self._order.steps_per_epoch

    def __call__(self, step: int) -> NDArray[np.uint8]:
        """(N, T, size, size, 3) uint8, BGR."""
        return np.stack([self.clip(int(i)) for i in self._order(step)])

    def clip(self, index: int) -> NDArray[np.uint8]:
        """(T, size, size, 3) uint8, BGR; nothing writes into it."""
        run, start = self._windows[index]
        return self._clips.runs[run][start:start + self._frames]


def _named(path: Path) -> Iterator[tuple[str, Iterator[NDArray[np.uint8] | str]]]:
    """Name and frames of each clip."""
    if path.is_file():
        yield path.name, _video(path)
        return
    for folder in sorted([path, *(p for p in path.rglob("*") if p.is_dir())]):
        files = sorted(p for p in folder.iterdir() if p.is_file())
        pictures = [p for p in files if p.suffix.lower() in PICTURES]
        if pictures:
            yield folder.relative_to(path).as_posix(), map(read_picture, pictures)
        for file in files:
            if file.suffix.lower() in VIDEOS:
                yield file.relative_to(path).as_posix(), _video(file)


def _run(frames: Iterator[NDArray[np.uint8] | str], size: int) -> tuple[list[NDArray[np.uint8]], str]:
    """Frames at the size up to the first that cannot be read, and why that one cannot."""
    run: list[NDArray[np.uint8]] = []
    for frame in frames:
        if isinstance(frame, str):
            return run, frame
        run.append(to_square(frame, size))
    return run, ""


def _video(file: Path) -> Iterator[NDArray[np.uint8] | str]:
    av: Any = need("av")
    try:
        with av.open(str(file)) as video:
            for frame in video.decode(video.streams.video[0]):
                yield np.ascontiguousarray(frame.to_ndarray(format="bgr24"))
    except (av.FFmpegError, IndexError) as error:
        yield " ".join(str(error).split())[:120] or "no video in it"
