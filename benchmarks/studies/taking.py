"""Who takes frames of a live source, holds each as long as a model would, and reads the bars in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ...runtime.sources import Source
from . import bars


class Seen(NamedTuple):
    """A frame at its end: when (`time.monotonic`), number and age by its own bars, the age it says, and its index."""

    at_s: float
    number: int
    age_ms: float
    says_ms: float
    place: int
    size_hw: tuple[int, int]


class Taker:
    """Takes frames on a thread of its own; a context manager that closes the source.

    Args:
        source: live, with bars in its pictures.
        model_s: how long each frame is held before its bars are read.

    Attributes:
        seen: the frames so far.
        unread: how many had no whole bars.
        error: what ended it, or None.
    """

    def __init__(self, source: Source, model_s: float = 0.0) -> None:
        self.source, self._model_s = source, model_s
        self.seen: list[Seen] = []
        self.unread = 0
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._take, name="taker", daemon=True)

    def _take(self) -> None:
        try:
            for frame in self.source:
                time.sleep(self._model_s)
                if (read := bars.read(frame.image)) is None:
                    self.unread += 1
                else:
                    self.seen.append(Seen(time.monotonic(), read[0], bars.age_ms(read[1]), frame.age_ms, frame.index,
                                          frame.size_hw))
        except BaseException as error:
            self.error = error

    def wait(self, more: int = 3, within_s: float = 10.0) -> float:
        """Waits for so many more frames; gives the seconds until the first of them.

        Raises:
            TimeoutError: they do not come.
        """
        begin_s, before = time.monotonic(), len(self.seen)
        wait_for(lambda: len(self.seen) >= before + more or self.error, within_s)
        if self.error is not None:
            raise self.error
        return self.seen[before].at_s - begin_s

    def __enter__(self) -> Taker:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.source.close()
        self.thread.join(2.0)


def wait_for(what: Callable[[], Any], within_s: float) -> float:
    """Waits until `what` is true; gives the seconds it took.

    Raises:
        TimeoutError: it does not become true.
    """
    begin_s = time.monotonic()
    while not what():
        if time.monotonic() - begin_s > within_s:
            raise TimeoutError(f"not within {within_s} s")
        time.sleep(0.005)
    return time.monotonic() - begin_s
