"""How a training's budget runs out: by steps or by minutes, and the learning rate along it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.monotonic, "cpu": time.process_time}
"""What a training's minutes are of: the clock on the wall, or the processor time of its process, over all its threads,
which other work on the machine does not shorten."""


@dataclass
class Clock:
    """Time of the training loop, across interruptions.

    Attributes:
        before_s: time spent before this process.
        kind: of CLOCKS.
    """

    before_s: float = 0.0
    kind: str = "wall"

    def __post_init__(self) -> None:
        self._start = CLOCKS[self.kind]()

    @property
    def here_s(self) -> float:
        """Seconds of training in this process."""
        return CLOCKS[self.kind]() - self._start

    @property
    def elapsed_s(self) -> float:
        """Seconds of training in all."""
        return self.before_s + self.here_s


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a training may spend.

    Attributes:
        steps: in steps, or
        seconds: in wall time.
    """

    steps: int | None = None
    seconds: float | None = None

    def fraction(self, step: int, elapsed_s: float) -> float:
        """Share of the budget that is spent, 0 to 1 and beyond."""
        if self.steps is not None:
            return step / self.steps
        return elapsed_s / self.seconds if self.seconds else 1.0

    def left_s(self, fraction: float, here_fraction: float, here_s: float) -> float:
        """Seconds to the end, from the share `here_fraction` of the budget that took `here_s` in this process."""
        if self.seconds is not None:
            return self.seconds * (1.0 - fraction)
        return here_s * (1.0 - fraction) / max(1e-9, here_fraction)


@dataclass(frozen=True, kw_only=True)
class Schedule(Budget):
    """Linear warm-up, then polynomial fall to 0 over the budget (Chen 2016, arXiv 1606.00915).

    Attributes:
        peak: learning rate after warm-up.
        warmup_steps: steps of the linear rise.
        power: exponent of the fall.
    """

    peak: float
    warmup_steps: int
    power: float

    def learning_rate(self, step: int, fraction: float) -> float:
        """The rate for a step."""
        rise = min(1.0, (step + 1) / max(1, self.warmup_steps))
        return float(self.peak * rise * max(0.0, 1.0 - fraction) ** self.power)


def cosine(first: float, last: float, fraction: float) -> float:
    """From `first` to `last` along half a cosine over the budget (Loshchilov 2016, arXiv 1608.03983)."""
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, max(0.0, fraction))))


class Interrupt:
    """Turns Ctrl-C and SIGTERM into a flag, so that a step ends whole. A second one stops at once.

    A context manager; outside the main thread, where signals cannot be caught, it only carries the flag.
    """

    def __init__(self) -> None:
        self.asked = False
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
