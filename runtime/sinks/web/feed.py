"""Feed: what the page knows of one source. The pipeline's thread fills it, the server's threads read it."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from ...frames import Result
from ...manifest import Manifest
from ...timing import now_s
from .. import SinkInfo

if TYPE_CHECKING:
    from ...sources import Status

WINDOW_S = 3.0
"""Rates and medians are of the newest so many seconds."""
HISTORY_S = 90
"""How many seconds the charts go back."""
CHARTED = ("fps", "age_ms", "infer_ms", "dropped", "reconnects")
STALLED_S = 10.0
"""A source that is said to be live and gives nothing for so long has stalled."""
LATE_S = 0.05
"""Where a frame comes later than so after it was due, the next one is due a whole period later."""
NEVER_S = float("inf")
GREY = (128, 128, 128)
"""Of a class without a colour."""
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Histogram:
    """Counts of seconds by BOUNDS_S, as Prometheus wants them."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Counts one value."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


class Feed:
    """One source's counters, its newest result, and whether a viewer waits for a frame of it.

    Attributes:
        name: the source's name; unique on its page.
        info: what the sink was told.
        newest: the newest result, or None.
        encoded_s: when the newest frame that was encoded was due, so that a rate is kept on the average.
        ages, stages: seconds since capture of each frame, and by stage.
        history: the CHARTED statistics of the newest HISTORY_S seconds, one a second.
        error: what went wrong while a frame was encoded; the next `write` raises it.
    """

    def __init__(self, name: str, info: SinkInfo) -> None:
        self.name, self.info = name, info
        self.newest: Result | None = None
        self.encoded_s = 0.0
        self.ages, self.stages = Histogram(), dict[str, Histogram]()
        self.history: deque[list[float | None]] = deque(maxlen=HISTORY_S)
        self.error: BaseException | None = None
        self._lock = threading.Lock()
        self._recent: deque[tuple[float, float, float]] = deque(maxlen=1024)  # now_s, age in ms, infer in ms
        self._frames = self._dropped = 0
        self._due_s = NEVER_S
        self._begun_s = now_s()
        self._told: Status | None = None
        self._ended_s: float | None = None

    def take(self, result: Result) -> bool:
        """Counts a result and keeps it; whether a viewer waits for it. Asks for no further one until `want`."""
        now, age_ms = now_s(), result.frame.age_ms
        with self._lock:
            self.newest = result
            self._frames += 1
            self._dropped = max(self._dropped, result.frame.index + 1 - self._frames)
            self._recent.append((now, age_ms, result.times_ms.get("infer", 0.0)))
            self.ages.add(age_ms / 1e3)
            for stage, ms in result.times_ms.items():
                if stage not in self.stages:
                    self.stages[stage] = Histogram()
                self.stages[stage].add(ms / 1e3)
            if now < self._due_s:
                return False
            self._due_s, self.encoded_s = NEVER_S, self._due_s if now - self._due_s < LATE_S else now
            return True

    def want(self, at_s: float) -> None:
        """Asks for the first frame from `at_s` on."""
        with self._lock:
            self._due_s = min(self._due_s, at_s)

    def tell(self, status: Status) -> None:
        """Keeps what the pipeline says of the source."""
        self._told = status

    def end(self) -> None:
        """Nothing more will come."""
        self._ended_s = now_s()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended_s is not None

    @property
    def live(self) -> bool:
        """Whether frames come: neither lost nor ended, and none has been missing for long."""
        state = self.state()
        return state["state"] == "live" and not state["stalled"]

    def state(self) -> dict[str, Any]:
        """`{"state", "reason", "for_s", "stalled", "received", "dropped", "bad", "reconnects"}`."""
        now = now_s()
        newest_s = self._recent[-1][0] if self._recent else self._begun_s
        status = self.info.status() if self.info.status is not None else self._told
        if status is None:
            state, since_s, reason = ("live" if self._frames else "connecting"), self._begun_s, ""
            received, dropped, bad, reconnects = self._frames + self._dropped, self._dropped, 0, 0
        else:
            state, since_s, reason = status.state, status.since_s, status.reason
            received, dropped = status.received, max(status.dropped, self._dropped)
            bad, reconnects = status.bad, status.reconnects
        if self._ended_s is not None:
            state, since_s = "ended", self._ended_s
        return {"state": state, "reason": reason, "for_s": round(now - since_s, 1),
                "stalled": state == "live" and now - newest_s > STALLED_S, "received": received, "dropped": dropped,
                "bad": bad, "reconnects": reconnects}

    def stats(self) -> dict[str, Any]:
        """What the page shows once a second: the state, rates and medians of the newest seconds."""
        now = now_s()
        with self._lock:
            recent = [entry for entry in self._recent if entry[0] > now - WINDOW_S]
            newest, frames = self.newest, self._frames
            full = len(recent) == self._recent.maxlen
        span_s = min(WINDOW_S, now - self._begun_s) if not full else now - recent[0][0]
        _, age_ms, infer_ms = np.median(np.array(recent), 0).tolist() if recent else (0.0, None, None)
        h, w = newest.size_hw if newest else (0, 0)
        return {**self.state(), "frames": frames, "size": [w, h], "shares": newest.shares if newest else {},
                "fps": round(len(recent) / max(span_s, 0.1), 2) if frames else None,
                "age_ms": age_ms and round(age_ms, 2), "infer_ms": infer_ms and round(infer_ms, 2)}

    @property
    def manifest(self) -> Manifest:
        """Of the newest result; another one where the bundle was replaced meanwhile."""
        return self.newest.manifest if self.newest else self.info.manifest

    def remember(self) -> None:
        """Keeps this second for the charts."""
        stats = self.stats()
        self.history.append([stats[key] for key in CHARTED])

    def facts(self) -> dict[str, Any]:
        """What a page is told once: the model, the classes it tells apart, what computes, and the charts so far."""
        info = self.info
        manifest = self.manifest
        classes = manifest.classes if any(spec.name == "mask" for spec in manifest.outputs) else ()
        return {"name": self.name, "model": manifest.name, "task": manifest.task, "backend": info.backend,
                "device": info.device, "precision": info.precision, "history": list(self.history),
                "classes": [{"name": name, "colour": colour}
                            for name, colour in zip_longest(classes, manifest.colours[:len(classes)],
                                                            fillvalue=GREY)]}
