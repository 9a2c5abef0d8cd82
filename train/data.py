"""Training batches: pictures held in memory as bytes, augmented by threads ahead of the step that needs them.

Which pictures make up step k, and how they are changed, depends on (seed, k) alone: a resumed training therefore
sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..runtime import pixels
from ..runtime.dataset import Dataset, Pair
from ..runtime.manifest import Fit
from .augment import Augment, augment
from .rare import look_for, paste, rare_classes

CACHE_BYTES = 4 << 30
"""Pictures beyond this are read from their source each time."""

Batch = tuple[NDArray[Any], NDArray[Any]]


class Store:
    """The pairs of a data set at the training size, kept in memory as they are first read."""

    def __init__(self, data: Dataset, size_wh: tuple[int, int], fit: Fit) -> None:
        self.data, self.size_wh, self._fit = data, size_wh, fit
        self._cache: dict[int, Pair] = {}
        self._room = CACHE_BYTES // (size_wh[0] * size_wh[1] * 4)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Pair:
        """Gives image (H, W, 3) uint8 BGR and mask (H, W) uint8, both at the training size; do not write to them."""
        pair = self._cache.get(index)
        if pair is None:
            image, mask = self.data[index]
            size_hw = (self.size_wh[1], self.size_wh[0])
            pair = (pixels.fit(image, size_hw, self._fit), pixels.fit_mask(mask, size_hw, self._fit, self.data.ignore))
            if len(self._cache) < self._room:
                self._cache[index] = pair
        return pair


class Remembered:
    """A data set whose pairs are kept in memory once they were read; for splits that are scored again and again."""

    def __init__(self, data: Dataset) -> None:
        self.names, self.colours, self.ignore = data.names, data.colours, data.ignore
        self._data = data
        self._pairs: dict[int, Pair] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Pair:
        """Gives the pair at its own size; do not write to it."""
        pair = self._pairs.get(index)
        if pair is None:
            pair = self._data[index]
            self._bytes += pair[0].nbytes + pair[1].nbytes
            if self._bytes < CACHE_BYTES:
                self._pairs[index] = pair
        return pair


class Chosen:
    """Some pairs of a data set, in the order of `indices`."""

    def __init__(self, data: Dataset, indices: Sequence[int]) -> None:
        self.names, self.colours, self.ignore = data.names, data.colours, data.ignore
        self._data, self._indices = data, tuple(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Pair:
        return self._data[self._indices[index]]


class Joined:
    """The pairs of one data set, then those of another with the same classes."""

    def __init__(self, first: Dataset, second: Dataset) -> None:
        self.names, self.colours, self.ignore = first.names, first.colours, first.ignore
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, index: int) -> Pair:
        return self._first[index] if index < len(self._first) else self._second[index - len(self._first)]


def class_frequency(store: Store, limit: int = 128) -> NDArray[np.float64]:
    """(C,) share of each class among the labelled pixels of up to `limit` pictures, evenly spread."""
    classes = len(store.data.names)
    chosen = np.unique(np.linspace(0, len(store) - 1, min(limit, len(store))).astype(int)).tolist()
    with ThreadPoolExecutor() as pool:
        counts = sum(pool.map(lambda i: np.bincount(store[i][1].ravel(), minlength=256)[:classes], chosen),
                     np.zeros(classes, np.int64))
    return counts / max(1, counts.sum())


class Order:
    """Which of `count` things make up step k: each epoch a permutation of its own, by (seed, epoch) alone.

    Args:
        count: how many things there are.
        batch: things a step.
        seed: of the order.
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self._count, self._batch, self._seed = count, batch, seed
        self._orders: dict[int, NDArray[np.int64]] = {}

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each is seen once (a last, smaller batch is left out; small sets wrap)."""
        return max(1, self._count // self._batch)

    def __call__(self, step: int) -> NDArray[np.int64]:
        """Gives (batch,) indices."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if epoch not in self._orders:
            order = np.random.default_rng((self._seed, 1 << 20, epoch)).permutation(self._count)
            self._orders = {epoch: order, **{e: o for e, o in self._orders.items() if e == epoch - 1}}
        order = self._orders[epoch]
        return order[(within * self._batch + np.arange(self._batch)) % len(order)]


class Batches:
    """Endless batches from step `start` on. A context manager; leaving it stops the threads.

    Args:
        store: where pictures come from.
        batch: pictures a step.
        seed: of order and augmentation.
        how: the augmentation.
        start: first step to give.
        frequency: (C,) share of each class among the labelled pixels, which says what is rare; None: nothing is.
        ahead: batches made while the step before them computes. 0 where the CPU computes the steps: threads that
            augment beside it make its own threads wait for each other, and cost more than they hide.
        slots: which pictures of each batch are given; None: all.
    """

    def __init__(self, store: Store, batch: int, seed: int, how: Augment, start: int = 0, *,
                 frequency: NDArray[np.float64] | None = None, ahead: int = 0, slots: range | None = None) -> None:
        self._rare = () if frequency is None else rare_classes(frequency, how.rare)
        self._store, self._seed, self._how = store, seed, how
        self._order = Order(len(store), batch, seed)
        self._step, self._ahead, self._slots = start, ahead, range(batch) if slots is None else slots
        self._pool = ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 2)), thread_name_prefix="augment")
        self._waiting: deque[list[Future[Pair]]] = deque()

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each picture is seen once (a last, smaller batch is left out; small sets wrap)."""
        return self._order.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        """Gives images (N, h, w, 3) uint8 BGR and masks (N, h, w) uint8, for step after step."""
        while True:
            while len(self._waiting) <= self._ahead:
                order = self._order(self._step)
                self._waiting.append([self._pool.submit(self._make, self._step, slot, int(order[slot]))
                                      for slot in self._slots])
                self._step += 1
            pairs = [future.result() for future in self._waiting.popleft()]
            yield np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])

    def _make(self, step: int, slot: int, index: int) -> Pair:
        cv2.setNumThreads(1)  # the threads here are the parallelism
        how, pair = self._how, self._store[index]
        rng = np.random.default_rng((self._seed, step, slot))
        if how.paste and rng.random() < how.paste:
            pair = paste(pair, self._store[int(rng.integers(len(self._store)))], self._rare, rng)
        around = look_for(pair[1], self._rare, rng) if how.focus and rng.random() < how.focus else None
        return augment(*pair, how, self._store.data.ignore, rng, around_xy=around,
                       view_wh=how.view_wh(self._store.size_wh, step, self._seed))

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
