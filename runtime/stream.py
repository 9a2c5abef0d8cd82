"""The threads of a stream: each worker carries one frame at a time from the source through the network.

    source --(one at a time)--> [ worker 1: read, fit, infer, draw ] --(in order)--> the caller
                                [ worker 2: read, fit, infer, draw ]

A worker that reads takes the next place in the line, so the caller gets results in the source's order, whoever is done
first. While one worker decodes or draws, the others compute. There is no hand-over between threads inside a frame and
never more threads than compute threads, which measured faster than a thread for each stage.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

F = TypeVar("F")
R = TypeVar("R")
POLL_S = 0.1
"""How soon a waiting caller notices that it shall stop."""
JOIN_S = 2.0
"""How long `close` waits for a worker that is inside a source's blocking read; it ends by itself after that read."""


class Place(Generic[R]):
    """A place in the line, filled by a worker."""

    def __init__(self) -> None:
        self._filled = threading.Event()
        self._value: R | None = None
        self._error: BaseException | None = None

    def fill(self, value: R | None = None, error: BaseException | None = None) -> None:
        """Puts the result, the error, or (with neither) the end of the source into it."""
        self._value, self._error = value, error
        self._filled.set()

    def wait(self, timeout_s: float) -> bool:
        """Whether it is filled, after at most so long."""
        return self._filled.wait(timeout_s)

    def take(self) -> R | None:
        """The result, or None at the end of the source; raises the error."""
        if self._error is not None:
            raise self._error
        return self._value


class Crew(Generic[F, R]):
    """Iterates over `work(frame)` for each frame, in order, computed by `workers` threads.

    An error in the source or in the work comes out of `next` after all results before it. A context manager; leaving it
    stops the threads, at whatever point.

    Args:
        frames: read by one worker at a time.
        work: called by several workers at a time.
        workers: number of threads.
        ahead: how many results may wait for the caller beside those being worked on.
        stop: ends the iteration when set, also while it waits.
    """

    def __init__(self, frames: Iterable[F], work: Callable[[F], R], workers: int, *, ahead: int = 2,
                 stop: threading.Event | None = None) -> None:
        self._frames: Iterator[F] = iter(frames)
        self._work = work
        self._line: queue.SimpleQueue[Place[R]] = queue.SimpleQueue()
        self._room = threading.Semaphore(workers + ahead)
        self._reading = threading.Lock()
        self._over = False
        self._stop = stop or threading.Event()
        self._head: Place[R] | None = None
        self._threads = [threading.Thread(target=self._carry, name=f"epee-worker-{i}", daemon=True)
                         for i in range(workers)]

    def __enter__(self) -> Crew[F, R]:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()
        for thread in self._threads:
            thread.join(JOIN_S)

    def __iter__(self) -> Iterator[R]:
        return self

    def __next__(self) -> R:
        while not self._stop.is_set():
            if self._head is None:
                try:
                    self._head = self._line.get(timeout=POLL_S)
                except queue.Empty:
                    continue
            if self._head.wait(POLL_S):
                result = self._head.take()
                if result is None:  # the place stays at the head: every further call ends too
                    break
                self._head = None
                self._room.release()
                return result
        raise StopIteration

    def _carry(self) -> None:
        while True:
            self._room.acquire()
            with self._reading:
                if self._over:
                    return
                place: Place[R] = Place()
                self._line.put(place)
                try:
                    frame = next(self._frames)
                except StopIteration:
                    place.fill()
                    break
                except BaseException as error:
                    place.fill(error=error)
                    break
            try:
                place.fill(self._work(frame))
            except BaseException as error:
                place.fill(error=error)
                break
        self._end()

    def _end(self) -> None:
        self._over = True
        for _ in self._threads:
            self._room.release()
