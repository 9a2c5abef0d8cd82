"""Whether streams that share a session gain by going through it together: measured on the spot, never assumed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .backends import Session

SIZES = (2, 4, 8)
GAIN = 0.9
"""A batch must take less than this share of the time a frame that single frames take."""
BUDGET_S = 0.15
"""How long each size is measured."""


@dataclass(frozen=True)
class Batching:
    """What was decided.

    Attributes:
        most: how many frames go through the network together; 1 is one by one.
        ms: milliseconds a frame by batch size, as measured; empty where there was nothing to choose.
        reason: why, as a person reads it.
    """

    most: int = 1
    ms: dict[int, float] = field(default_factory=dict)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """For `epee run --json`."""
        return {"most": self.most, "ms": {str(size): round(ms, 3) for size, ms in self.ms.items()},
                "reason": self.reason}


def choose(session: Session, streams: int) -> Batching:
    """Measures batches against single frames and takes the largest size that pays.

    Takes about half a second, and nothing where there is one stream or the network's batch is fixed.

    Args:
        session: opened, and warm.
        streams: how many streams share it; a batch never holds more frames.
    """
    if streams < 2:
        return Batching(reason="one stream")
    if any(spec.shape[:1] != (None,) for spec in (*session.inputs, *session.outputs)):
        return Batching(reason="the bundle's batch is fixed")
    if any(size is None for spec in session.inputs for size in spec.shape[1:]):
        return Batching(reason="frames may differ in size")
    sizes = [size for size in SIZES if size <= streams]
    ms = {size: _ms_a_frame(session, size) for size in (1, *sizes)}
    paying = [size for size in sizes if ms[size] < GAIN * ms[1]]
    if not paying:
        best = min(sizes, key=ms.__getitem__)
        return Batching(1, ms, f"one by one {ms[1]:.2f} ms a frame, in a batch of {best} {ms[best]:.2f}")
    most = min(paying, key=ms.__getitem__)
    return Batching(most, ms, f"{ms[most]:.2f} ms a frame in a batch of {most}, {ms[1]:.2f} one by one")


def _ms_a_frame(session: Session, size: int) -> float:
    """Milliseconds a frame with `depth` calls of so many frames going on at once."""
    feeds = {s.name: np.zeros((size, *(d or 1 for d in s.shape[1:])), s.dtype) for s in session.inputs}
    session.run(feeds)
    end = time.perf_counter() + BUDGET_S

    def repeat(_: int) -> int:
        calls = 0
        while time.perf_counter() < end or calls == 0:
            session.run(feeds)
            calls += 1
        return calls

    begin = time.perf_counter()
    with ThreadPoolExecutor(session.depth) as pool:
        calls = sum(pool.map(repeat, range(session.depth)))
    return 1e3 * (time.perf_counter() - begin) / (calls * size)
