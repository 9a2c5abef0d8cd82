"""The loop: results of a source, one after another, into sinks."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from .answering import Engine
from .frames import Frame, Result
from .model import Model
from .outlets import Outlets
from .sinks import Sink, SinkEnd
from .sources import Source, Status
from .stats import RunStats
from .stream import POLL_S, Crew
from .tiles import Tiles
from .timing import now_s

LOST_EVERY_S = 1.0
"""How often the sinks are told that there is still no picture."""
STUCK_S = 20.0
"""After so long inside one call of a sink, a stream counts as stuck."""


@dataclass(frozen=True)
class RunOptions:
    """How a stream is run.

    Attributes:
        frames: ends after so many were delivered.
        seconds: ends after so long, also while nothing comes.
        max_age_ms: a frame that is older when it would be computed, or shown, is dropped and counted.
        smooth: changes each result, in order, between the network and the sinks; None leaves it as it is.
        started_s: `now_s()` when the program began to open things; `start_ms` counts from there.
        tiles: frames of another size than the network's go through in tiles; None leaves it to the bundle.
    """

    frames: int | None = None
    seconds: float | None = None
    max_age_ms: float | None = None
    smooth: Callable[[Result], Result] | None = None
    started_s: float | None = None
    tiles: Tiles | None = None


def run(model: Model, source: Source, sinks: Sequence[Sink], options: RunOptions = RunOptions(), *,
        stop: threading.Event | None = None, progress: Callable[[RunStats], None] | None = None) -> RunStats:
    """Streams a source through a model into sinks.

    Sinks are written and closed on the calling thread, a live source is closed too; the model stays open. An error of
    the source or the model is raised after all frames before it were delivered. A sink that fails is left out; an
    error of the last one is raised.

    Args:
        stop: ends soon after it is set, e.g. by a signal's handler.
        progress: called after each frame, and ten times a second while none comes.
    """
    model.warm_up()
    return Run(model, source, sinks, options, stop, progress).to_the_end()


class Run:
    """One stream on its way through a model into its sinks; the model is warm, `to_the_end` is called once.

    Attributes:
        stats: what was done so far; may be read from any thread.
    """

    def __init__(self, model: Model, source: Source, sinks: Sequence[Sink], options: RunOptions,
                 stop: threading.Event | None = None, progress: Callable[[RunStats], None] | None = None) -> None:
        self._model, self._source, self._outlets, self._options = model, source, Outlets(sinks), options
        self._stop = stop or threading.Event()
        self._progress = progress
        self._seen, self._told_s = source.status, now_s()
        self._late, self._last = 0, -1
        self._counting = threading.Lock()
        self._begin_s, self._moved_s = 0.0, math.inf
        session = model.session
        self.stats = RunStats(source.name, session.backend, session.device, session.precision, session.variant)

    def to_the_end(self) -> RunStats:
        """Runs until the source, a limit, `stop` or a person ends it; see `run`."""
        stats, options = self.stats, self._options
        self._begin_s = now_s()
        stats.start_ms = 0.0 if options.started_s is None else 1e3 * (self._begin_s - options.started_s)
        try:
            with ExitStack() as opened:
                opened.callback(self._outlets.close)
                crew = opened.enter_context(self._crew())
                if self._source.live:
                    opened.callback(self._source.close)  # before the crew is left: a worker may wait inside it
                opened.callback(lambda: self._count(self._source.status))
                self._deliver(crew)
        except SinkEnd:
            stats.interrupted = True
        finally:
            self._moved_s = math.inf
            stats.files, stats.failed = self._outlets.files, self._outlets.failed
        stats.interrupted = stats.interrupted or self._stop.is_set()
        return stats

    @property
    def stuck(self) -> bool:
        """Whether it has hung inside a sink for STUCK_S; it never does that in the network or the source."""
        return now_s() - self._moved_s > STUCK_S

    def _crew(self) -> Crew[tuple[Frame, Engine], Result]:
        options, live = self._options, self._source.live
        prepare = None if options.smooth is not None else self._outlets.prepare  # drawn when it is smooth
        limit = None if live or options.max_age_ms is not None else options.frames
        return self._model.crew(self._source, prepare=prepare, limit=limit, stop=self._stop, tiles=options.tiles,
                                keep=self._young if options.max_age_ms is not None else None)

    def _deliver(self, crew: Crew[tuple[Frame, Engine], Result]) -> None:
        stats, options = self.stats, self._options
        while not self._stop.is_set():
            self._moved_s = now_s()
            try:
                result = crew.wait(POLL_S)
            except StopIteration:
                break
            self._watch(self._source.status)
            if result is not None and self._young(result.frame):
                self._show(result)
            if self._progress is not None:
                self._progress(stats)
            if options.frames is not None and stats.frames >= options.frames:
                break
            if options.seconds is not None and now_s() - self._begin_s >= options.seconds:
                break

    def _show(self, result: Result) -> None:
        stats = self.stats
        if self._options.smooth is not None:
            result = self._options.smooth(result)
        self._outlets.write(result)
        stats.frames += 1
        with self._counting:
            self._last = max(self._last, result.frame.index)
        stats.seconds = now_s() - self._begin_s
        stats.times.add_all(result.times_ms)
        stats.ages.add("age", result.frame.age_ms)

    def _young(self, frame: Frame) -> bool:
        """Whether it is still worth it; counts it where it is not."""
        most = self._options.max_age_ms
        if most is None or frame.age_ms <= most:
            return True
        with self._counting:
            self._late += 1
            self._last = max(self._last, frame.index)
        return False

    def _watch(self, status: Status) -> None:
        """Tells the sinks of a change of the source's state, and once a second that there is still no picture."""
        away = status.state not in ("live", "ended") and now_s() - self._told_s >= LOST_EVERY_S
        if self._source.live and (away or status.state != self._seen.state):
            self._told_s = now_s()
            self._outlets.lost(status)
        self._seen = status
        self._count(status)

    def _count(self, status: Status) -> None:
        stats = self.stats
        stats.state, stats.bad, stats.reconnects = status.state, status.bad, status.reconnects
        stats.received = max(status.received, self._last + 1)
        stats.dropped, stats.dropped_old = self._last + 1 - stats.frames, self._late
