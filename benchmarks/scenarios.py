"""What is timed: MLPerf's scenarios on an opened session. Each gives the fields of a `rows.Round` that it measures."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..runtime.backends import Arrays, Session
from ..runtime.timing import measure
from .rows import MULTI, OFFLINE, PACED, SINGLE, Settings

WARM_CALLS, WARM_S, WARM_LIMIT_S = 5, 0.2, 2.0
MIN_CALLS = 10
PACED_CALLS = 30
"""Least calls of a paced round."""
Measured = dict[str, Any]
Feeds = Sequence[Arrays]
"""What the calls are given, in turn."""


def warm_up(session: Session, feeds: Feeds) -> tuple[float, bool]:
    """Calls until the median of five is within 5 % of the five before, at least 0.2 s, at most 2 s.

    Returns:
        That median in ms, and whether it was steady in time.
    """
    turn = itertools.cycle(feeds)
    start, before = time.perf_counter(), 0.0
    while True:
        now = sorted(measure(lambda: session.run(next(turn)), WARM_CALLS, 0))[WARM_CALLS // 2]
        spent, steady = time.perf_counter() - start, abs(now - before) <= 0.05 * before
        if spent > WARM_LIMIT_S or (spent > WARM_S and steady):
            return now, steady
        before = now


def single(session: Session, feeds: Feeds, settings: Settings, call_ms: float) -> Measured:
    """One call after the other."""
    turn, batch = itertools.cycle(feeds), _batch(feeds)
    times_ms = measure(lambda: session.run(next(turn)), _calls(settings.seconds, call_ms), 0)
    return _of_calls(times_ms, batch * len(times_ms), sum(times_ms) / 1e3)


def multi(session: Session, feeds: Feeds, settings: Settings, call_ms: float) -> Measured:
    """A query of `settings.streams` frames at once, in as many calls as the batch needs; then the next query."""
    turn, batch = itertools.cycle(feeds), _batch(feeds)
    calls = -(-settings.streams // batch)
    queries = _calls(settings.seconds, call_ms * calls)
    times_ms = measure(lambda: _answered(session, turn, calls), queries, 0)
    return _of_calls(times_ms, queries * calls * batch, sum(times_ms) / 1e3)


def offline(session: Session, feeds: Feeds, settings: Settings, call_ms: float) -> Measured:
    """Everything is there from the start; as many calls in flight as the session overlaps."""
    turn, batch = itertools.cycle(feeds), _batch(feeds)
    calls = max(_calls(settings.seconds, call_ms), MIN_CALLS * session.depth)
    start = time.perf_counter()
    _answered(session, turn, calls)
    seconds = time.perf_counter() - start
    return {"ms": 1e3 * seconds / (calls * batch), "calls": calls, "frames": calls * batch, "seconds": seconds}


def paced(session: Session, feeds: Feeds, settings: Settings, call_ms: float) -> Measured:
    """A camera's pace: a call is due every 1 / fps. Where it comes too late for the next, the newest due is taken.

    The time is from due to answered, so that waiting counts; what was passed over is counted as dropped.
    """
    turn, batch = itertools.cycle(feeds), _batch(feeds)
    count = max(PACED_CALLS, round(settings.seconds * settings.fps))
    times_ms, late, number = [], 0, 0
    start = time.perf_counter() + 1 / settings.fps
    while number < count:
        due = start + number / settings.fps
        time.sleep(max(0.0, due - time.perf_counter()))
        session.run(next(turn))
        now = time.perf_counter()
        times_ms.append(1e3 * (now - due))
        late += now > due + 1 / settings.fps
        number = max(number + 1, int((now - start) * settings.fps))
    seconds = time.perf_counter() - start
    counts = {"late": late, "dropped": number - len(times_ms)}
    return _of_calls(times_ms, batch * len(times_ms), seconds) | {"counts": counts}


TIMED: dict[str, Callable[[Session, Feeds, Settings, float], Measured]] = {
    SINGLE: single, MULTI: multi, OFFLINE: offline, PACED: paced}
"""Scenario -> what times it: (session, feeds, settings, milliseconds of a call) -> fields of a Round."""
OVERLAPPING = (MULTI, OFFLINE)
"""Scenarios whose session is opened with a depth."""


def harness_us() -> float:
    """What clock, loop and the turn of the feeds add to a call, in microseconds: the median time of an empty call."""
    turn: Iterator[Arrays] = itertools.cycle([{}])
    return 1e3 * float(np.median(measure(lambda: _nothing(next(turn)), 1000, 100)))


def summary(times_ms: Sequence[float]) -> dict[str, float]:
    """`mean`, `p50`, `p90`, `p99`, `min`, `max` of times; none is left out."""
    array = np.asarray(times_ms, np.float64)
    p50, p90, p99 = (float(x) for x in np.percentile(array, (50, 90, 99)))
    return {"mean": float(array.mean()), "p50": p50, "p90": p90, "p99": p99, "min": float(array.min()),
            "max": float(array.max())}


def _answered(session: Session, turn: Iterator[Arrays], calls: int) -> None:
    """Lets the session answer so many calls, `depth` of them in flight."""
    waiting = 0
    for _ in range(calls):
        if waiting == session.depth:
            session.result()
            waiting -= 1
        session.submit(next(turn))
        waiting += 1
    for _ in range(waiting):
        session.result()


def _of_calls(times_ms: list[float], frames: int, seconds: float) -> Measured:
    found = summary(times_ms)
    return {"ms": found["p50"], "calls": len(times_ms), "frames": frames, "seconds": seconds, "latency_ms": found,
            "samples_ms": [round(ms, 4) for ms in times_ms]}


def _calls(seconds: float, call_ms: float) -> int:
    return max(MIN_CALLS, round(1e3 * seconds / call_ms))


def _batch(feeds: Feeds) -> int:
    return len(next(iter(feeds[0].values())))


def _nothing(feeds: Arrays) -> Arrays:
    return feeds
