"""Clips: short runs of consecutive frames, from folders of pictures, videos, or arrays.

Frames are held in memory as bytes at the training's size: the centre square of each, or squares cut from all over it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import DataError, need
from ..runtime.picture_files import PICTURES
from ..runtime.picture_sets import to_square
from .data import Order
from .scenes import MOST_BYTES, VIDEOS, read_picture

LEAST_MOTION = 2.0
"""Grey levels, 0 to 255, by which neighbouring frames of a square differ on average where something moves in it."""


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


def open_clips(source: str | os.PathLike[str], size: int, frames: int, crop: int = 0) -> Clips:
    """Reads clips: each video is one, and each folder that holds pictures, in the order of their names.

    Args:
        source: a video, or a folder that is searched through all its folders.
        size: height and width of the frames.
        frames: clips with fewer are skipped.
        crop: frames are cut into squares of so many pixels, which overlap by half, and each makes clips of its own
            where something moves in it; 0 takes the centre square of all frames.

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
        squares, reason = _runs(read, size, crop, room)
        count = len(squares[0]) if squares else 0
        if count < frames:
            skipped.append((name, reason or f"{count} frames, fewer than {frames}"))
            continue
        found = [np.stack(run) for run in squares]
        if crop:
            found = [part for run in found for part in moving(run, frames)]
        if not found:
            skipped.append((name, f"nothing moves in any square of {crop} pixels"))
        room -= sum(run.nbytes for run in found)
        runs += found
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


def moving(run: NDArray[np.uint8], frames: int) -> list[NDArray[np.uint8]]:
    """The parts of a run, (F, size, size, 3), in each of whose clips most neighbouring frames differ by LEAST_MOTION.

    Most, not on average: a cut between two scenes is no motion. What all of a frame has in common does not count:
    neither is a camera's exposure.
    """
    change = np.asarray([np.abs(d - d.mean((0, 1))).mean() for d in (b.astype(np.float32) - a for a, b in
                                                                    pairwise(run))])
    lively = np.median(np.lib.stride_tricks.sliding_window_view(change, frames - 1), axis=1) >= LEAST_MOTION
    edges = np.flatnonzero(np.diff(lively, prepend=False, append=False))
    return [run[first:last + frames - 1].copy() for first, last in edges.reshape(-1, 2)]


def _runs(frames: Iterator[NDArray[np.uint8] | str], size: int, crop: int,
          room: int) -> tuple[list[list[NDArray[np.uint8]]], str]:
    """For each square its frames at the size, up to the first that cannot be read, and why that one cannot."""
    runs: list[list[NDArray[np.uint8]]] = []
    for frame in frames:
        if isinstance(frame, str):
            return runs, frame
        squares = [to_square(square, size) for square in (cut(frame, crop) if crop else [frame])]
        runs = runs or [[] for _ in squares]
        for run, square in zip(runs, squares, strict=True):
            run.append(square)
        room -= sum(square.nbytes for square in squares)
        if room < 0:
            raise DataError("clips", got=f"more than {MOST_BYTES >> 30} GiB in memory", do="take a part of them")
    return runs, ""


def cut(frame: NDArray[np.uint8], side: int) -> list[NDArray[np.uint8]]:
    """Squares of an (H, W, 3) frame, one every half side about its centre; a rest at its borders belongs to none.

    Raises:
        DataError: it is smaller than one.
    """
    (h, w), half = frame.shape[:2], max(1, side // 2)
    if min(h, w) < side:
        raise DataError("clips", got=f"a frame of {w}x{h}", expected=f"{side}x{side} or larger",
                        do="name a smaller --crop")
    tops, lefts = (range((n - side) % half // 2, n - side + 1, half) for n in (h, w))
    return [frame[top:top + side, left:left + side] for top in tops for left in lefts]


def _video(file: Path) -> Iterator[NDArray[np.uint8] | str]:
    av: Any = need("av")
    try:
        with av.open(str(file)) as video:
            for frame in video.decode(video.streams.video[0]):
                yield np.ascontiguousarray(frame.to_ndarray(format="bgr24"))
    except (av.FFmpegError, IndexError) as error:
        yield " ".join(str(error).split())[:120] or "no video in it"
