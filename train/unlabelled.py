"""Pictures without labels to learn from as well: read once, and seen weakly and strongly changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..runtime import pixels
from ..runtime.errors import DataError
from ..runtime.manifest import Fit
from .augment import Augment, recolour, warp
from .data import Order
from .scenes import read_all, too_few

STRONG = Augment(brightness=0.4, contrast=0.4, gamma=(0.5, 1.8), channel=(0.75, 1.3), saturation=0.6, blur=0.5,
                 noise=0.3, noise_levels=12.0)
"""What colours a strongly changed picture may take on top of a weakly changed one."""
LEAST = 32
"""Smaller pictures, in either direction, are skipped."""
MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class Unlabelled:
    """Pictures at the training size.

    Attributes:
        images: (H, W, 3) uint8, BGR.
        names: of the pictures, by their paths below the folder.
        skipped: (name, reason) of what is not used.
    """

    images: tuple[NDArray[Any], ...]
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def told(self) -> str:
        """A line for a person."""
        some = ", ".join(f"{name}: {reason}" for name, reason in self.skipped[:3])
        more = f", {len(self.skipped) - 3} more" if len(self.skipped) > 3 else ""
        return f"{len(self)} unlabelled pictures" + (f", {len(self.skipped)} skipped ({some}{more})" if some else "")


def open_unlabelled(sources: Sequence[str], size_wh: tuple[int, int], fit: Fit,
                    left_out: tuple[str, ...] = ()) -> Unlabelled:
    """Reads folders (searched through all their folders), pictures or videos.

    Args:
        sources: what to read; pictures of another size are fitted as labelled ones are.
        size_wh: the training size.
        fit: how pictures of another size are fitted.
        left_out: pictures whose file names begin so are not used: they are what the training is scored on.

    Raises:
        DataError: nothing there, no picture that can be used, or more than fit into memory.
    """
    images: list[NDArray[Any]] = []
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    for source in sources:
        before, skipped_before = len(images), len(skipped)
        for name, image in read_all(Path(source)):
            if left_out and Path(name).name.startswith(left_out):
                skipped.append((name, "left out"))
            elif isinstance(image, str):
                skipped.append((name, image))
            elif min(image.shape[:2]) < LEAST:
                skipped.append((name, f"{image.shape[1]}x{image.shape[0]}, smaller than {LEAST}x{LEAST}"))
            elif (len(images) + 1) * size_wh[0] * size_wh[1] * 3 > MOST_BYTES:
                raise DataError(f"unlabelled pictures '{source}'", got=f"more than {MOST_BYTES >> 30} GiB in memory",
                                do="take a part of them")
            else:
                images.append(pixels.fit(image, (size_wh[1], size_wh[0]), fit))
                names.append(name)
        if len(images) == before:
            raise too_few(source, 0, skipped[skipped_before:], 1)
    return Unlabelled(tuple(images), tuple(names), tuple(skipped))


class Views(NamedTuple):
    """Two views of each of N pictures, of the same part of it.

    Attributes:
        weak, strong: (N, H, W, 3) uint8, BGR; strong has other colours on top.
        inside: (N, H, W) bool, false where a view shows what is outside the picture.
    """

    weak: NDArray[Any]
    strong: NDArray[Any]
    inside: NDArray[np.bool_]

    def cut(self, where: slice) -> Views:
        """The views of some of the pictures."""
        return Views(self.weak[where], self.strong[where], self.inside[where])


class UnlabelledViews:
    """The views of step k, by (seed, k) alone. A context manager; leaving it stops the threads.

    Args:
        pictures: to look at.
        batch: pictures a step.
        seed: of order and augmentation.
        how: the labelled pictures' augmentation; its geometry is what changes a picture weakly.
        ahead: whether the next step's views are made while this one computes.
        slots: which pictures of each step are given; None: all.
    """

    def __init__(self, pictures: Unlabelled, batch: int, seed: int, how: Augment, *, ahead: bool = False,
                 slots: range | None = None) -> None:
        self._slots = range(batch) if slots is None else slots
        self._pictures, self._seed, self._how, self._ahead = pictures, seed, how, ahead
        self._order = Order(len(pictures), batch, seed)
        self._pool = ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 2)), thread_name_prefix="unlabelled")
        self._waiting: dict[int, list[Future[Views]]] = {}

    def __call__(self, step: int) -> Views:
        """Gives a step's views."""
        made = self._waiting[step] if step in self._waiting else self._begin(step)
        self._waiting = {step + 1: self._begin(step + 1)} if self._ahead else {}
        weak, strong, inside = zip(*(future.result() for future in made), strict=True)
        return Views(np.stack(weak), np.stack(strong), np.stack(inside))

    def _begin(self, step: int) -> list[Future[Views]]:
        order = self._order(step)
        return [self._pool.submit(self._make, step, slot, int(order[slot])) for slot in self._slots]

    def _make(self, step: int, slot: int, index: int) -> Views:
        cv2.setNumThreads(1)  # the threads here are the parallelism
        rng = np.random.default_rng((self._seed, 1 << 24, step, slot))
        image = self._pictures.images[index]
        weak, outside = warp(image, np.zeros(image.shape[:2], np.uint8), self._how, 1, rng)
        return Views(weak, recolour(weak, STRONG, rng), outside == 0)

    def __enter__(self) -> UnlabelledViews:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
