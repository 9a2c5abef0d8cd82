"""Signals of a long run: SIGINT and SIGTERM end it between two frames, SIGHUP opens its bundles again."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Signals:
    """What came so far.

    Attributes:
        stop: set by SIGINT and SIGTERM, and by SIGHUP where it says that the terminal is gone.
        hangups: how often SIGHUP came otherwise.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.hangups = 0
        self._watched = _terminals()

    def end(self, *_: Any) -> None:
        """Handles SIGINT and SIGTERM: the first ends the run, the second interrupts."""
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.stop.set()

    def hang_up(self, *_: Any) -> None:
        """Handles SIGHUP."""
        if self._watched and not _terminals():
            self.stop.set()
        else:
            self.hangups += 1


@contextmanager
def handling() -> Iterator[Signals]:
    """Handles the signals while the block runs; off the main thread, where Python takes no handlers, none comes."""
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    handlers = {signal.SIGINT: signals.end, signal.SIGTERM: signals.end}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = signals.hang_up
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminals() -> set[int]:
    """Which of the standard streams are terminals that still exist."""
    return {number for number in (0, 1, 2) if os.isatty(number)} if sys.platform != "win32" else set()
