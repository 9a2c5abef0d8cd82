"""Turns: many threads share one session, first come, first served, in batches where batches pay.

A semaphore will not do: the thread that just left may come in again before one that waits is awake, so one stream can
starve the others. Here whoever leaves hands its place to the one that has waited longest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Feeds = dict[str, NDArray[Any]]


class _Request:
    """One thread's wish: sleeps until it is answered, or until it shall answer a batch that begins with itself."""

    def __init__(self, feeds: Feeds) -> None:
        self.feeds = feeds
        self.batch: list[_Request] = []
        self.answer: Feeds | None = None
        self.error: BaseException | None = None
        self._wake = threading.Lock()
        self._wake.acquire()

    def sleep(self) -> None:
        self._wake.acquire()

    def wake(self) -> None:
        self._wake.release()


class Turns:
    """Calls `run` for one request after another, at most `depth` at a time, in the order in which they came.

    Args:
        run: takes feeds with a leading batch axis, gives outputs with one.
        depth: how many calls of `run` may go on at once.
        most: how many waiting requests may go into one call; above 1 only where all have the same shapes.
    """

    def __init__(self, run: Callable[[Feeds], Feeds], depth: int = 1, most: int = 1) -> None:
        self._run, self._free, self.most = run, depth, most
        self._waiting: deque[_Request] = deque()
        self._lock = threading.Lock()

    def __call__(self, feeds: Feeds) -> Feeds:
        """The outputs for one request.

        Args:
            feeds: one item, with a batch axis each; it is 1, or n for an item that is a batch itself.

        Returns:
            The outputs, with that batch axis each; views of a larger array where requests went together.
        """
        with self._lock:
            mine = None
            if self._free:
                self._free -= 1
            else:
                mine = _Request(feeds)
                self._waiting.append(mine)
        if mine is None:
            try:
                return self._run(feeds)
            finally:
                self._leave()
        mine.sleep()
        batch, mine.batch = mine.batch, []  # a request that holds itself would keep its arrays until a collection
        if batch:  # woken to work, for itself and those that waited with it
            try:
                self._answer(batch)
            finally:
                self._leave()
        if mine.error is not None:
            raise mine.error
        return cast(Feeds, mine.answer)

    def _leave(self) -> None:
        """Hands the place to those that have waited longest, or frees it."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            batch = [self._waiting.popleft() for _ in range(min(self.most, len(self._waiting)))]
        batch[0].batch = batch
        batch[0].wake()

    def _answer(self, batch: list[_Request]) -> None:
        first, *others = batch
        try:
            if others:
                together = {name: np.concatenate([r.feeds[name] for r in batch]) for name in first.feeds}
                outputs, start = self._run(together), 0
                for request in batch:
                    end = start + len(next(iter(request.feeds.values())))
                    request.answer = {name: array[start:end] for name, array in outputs.items()}
                    start = end
            else:
                first.answer = self._run(first.feeds)
        except BaseException as error:
            for request in batch:
                request.error = error
        finally:
            for request in others:
                request.wake()
