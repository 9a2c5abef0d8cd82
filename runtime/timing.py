"""Clock, percentiles and warm-up, shared by the loop, tuning and the benchmark."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np


def now_s() -> float:
    """Seconds on a clock that never jumps; only differences mean something. Frames are stamped with it."""
    return time.monotonic()


@contextmanager
def timed(times_ms: dict[str, float], stage: str) -> Iterator[None]:
    """Adds the milliseconds that the block takes to `times_ms[stage]`, also when it raises."""
    start = time.perf_counter()
    try:
        yield
    finally:
        times_ms[stage] = times_ms.get(stage, 0.0) + 1e3 * (time.perf_counter() - start)


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """`{"p50", "p95", "p99"}` of some values, rounded to a thousandth; zeros where there is no value."""
    array = values.astype(np.float64) if isinstance(values, np.ndarray) else np.fromiter(values, np.float64)
    if not array.size:
        return {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    p50, p95, p99 = np.percentile(array, (50, 95, 99))
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3), "p99": round(float(p99), 3)}


class Durations:
    """Collects times by stage in bounded memory: percentiles are of the newest `keep` values of a stage."""

    def __init__(self, keep: int = 20_000) -> None:
        self._keep = keep
        self._values: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]] = {}
        self._counts: dict[str, int] = {}

    def add(self, stage: str, ms: float) -> None:
        """Adds one value."""
        count = self._counts.get(stage, 0)
        if count == 0:
            self._values[stage] = np.zeros(self._keep, np.float32)
        self._values[stage][count % self._keep] = ms
        self._counts[stage] = count + 1

    def add_all(self, times_ms: Mapping[str, float]) -> None:
        """Adds one value a stage."""
        for stage, ms in times_ms.items():
            self.add(stage, ms)

    def percentiles(self) -> dict[str, dict[str, float]]:
        """Percentiles by stage, in the order in which the stages came."""
        return {stage: self.percentiles_of(stage) for stage in list(self._values)}

    def percentiles_of(self, stage: str, newest: int | None = None) -> dict[str, float]:
        """Percentiles of one stage, zeros where it has no value; with `newest`, of its last so many values."""
        values, count = self._values.get(stage), self._counts.get(stage, 0)
        if values is None or not count:
            return percentiles(())
        kept = min(count, self._keep)
        if newest is None or newest >= kept:
            return percentiles(values[:kept])
        return percentiles(values[np.arange(count - newest, count) % self._keep])


def measure(call: Callable[[], object], runs: int = 50, warm_up: int = 10) -> list[float]:
    """Milliseconds of each of `runs` calls, after `warm_up` calls that do not count."""
    for _ in range(warm_up):
        call()
    times: list[float] = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
