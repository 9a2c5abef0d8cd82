"""The threads of a stream: each worker carries one frame at a time from the source through the network.

    source --(one at a time)--> [ worker 1: read, fit, infer, draw ] --(in order)--> the caller
                                [ worker 2: read, fit, infer, draw ]

A worker that reads takes the next place in the line, so the caller gets results in the source's order, whoever is done
first. While one worker decodes or draws, the others compute. There is no hand-over between threads inside a frame and
never more threads than compute threads, which measured faster than a thread for each stage.

Every frame of a file is kept: a slow caller holds the workers back. Of a live source only the newest result waits: one
that is done takes the place of those before it that nobody took.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

F = TypeVar("F")
R = TypeVar("R")
POLL_S = 0.1
"""How soon a waiting caller notices that it shall stop."""
JOIN_S = 2.0
"""How long `close` waits for a worker that is inside a source's blocking read; it ends by itself after that read."""


class Place(Generic[R]):
    """A place in the line, filled by a worker: with a result, with an error, or with the end of the source."""

    def __init__(self) -> None:
        self.filled = False
        self.value: R | None = None
        self.error: BaseException | None = None


class Crew(Generic[F, R]):
    """Iterates over `work(frame)` for each frame, in order, computed by `workers` threads.

    An error in the source or in the work comes out of `next` after all results before it. A context manager; leaving it
    stops the threads, at whatever point.

    Args:
        frames: read by one worker at a time.
        work: called by several workers at a time; None gives nothing for that frame.
        workers: number of threads.
        ahead: how many results may wait for the caller beside those being worked on.
        newest: whether a result takes the place of older ones that still wait, instead of waiting behind them.
        stop: ends the iteration when set, also while it waits.
    """

    def __init__(self, frames: Iterable[F], work: Callable[[F], R | None], workers: int, *, ahead: int = 2,
                 newest: bool = False, stop: threading.Event | None = None) -> None:
        self._frames: Iterator[F] = iter(frames)
        self._work = work
        self._newest = newest
        self._line: deque[Place[R]] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._room = threading.Semaphore(workers + (1 if newest else ahead))
        self._reading = threading.Lock()
        self._over = False
        self._stop = stop or threading.Event()
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
            result = self.wait(POLL_S)
            if result is not None:
                return result
        raise StopIteration

    def wait(self, timeout_s: float) -> R | None:
        """The next result, or None where there is none after so long. Raises StopIteration at the end."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._line and self._line[0].filled, timeout_s):
                return None
            place = self._line[0]
            if place.error is not None:  # it stays at the head: every further call ends the same way
                raise place.error
            if place.value is None:
                raise StopIteration
            self._line.popleft()
        self._room.release()
        return place.value

    def _carry(self) -> None:
        while True:
            self._room.acquire()
            with self._reading:
                if self._over:
                    return
                place: Place[R] = Place()
                with self._changed:
                    self._line.append(place)
                try:
                    frame = next(self._frames)
                except StopIteration:
                    self._fill(place)
                    break
                except BaseException as error:
                    self._fill(place, error=error)
                    break
            try:
                result = self._work(frame)
            except BaseException as error:
                self._fill(place, error=error)
                break
            del frame
            if result is None:
                self._leave_out(place)
            else:
                self._fill(place, result)
            del result, place  # nothing is held while the next frame is waited for
        self._end()

    def _fill(self, place: Place[R], value: R | None = None, error: BaseException | None = None) -> None:
        """Puts the result, the error, or (with neither) the end of the source into its place."""
        superseded = 0
        with self._changed:
            place.value, place.error, place.filled = value, error, True
            while self._newest and len(self._line) > 1 and self._line[0].value is not None \
                    and self._line[1].value is not None:
                self._line.popleft()
                superseded += 1
            self._changed.notify()
        for _ in range(superseded):
            self._room.release()

    def _leave_out(self, place: Place[R]) -> None:
        with self._changed:
            self._line.remove(place)
            self._changed.notify()
        self._room.release()

    def _end(self) -> None:
        self._over = True
        for _ in self._threads:
            self._room.release()
