"""The loop: results of a source, one after another, into sinks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, cast

from .frames import Result
from .model import Model
from .sinks import Sink, SinkEnd
from .sources import Source
from .timing import Durations, now_s, percentiles


@dataclass
class RunStats:
    """What a run did.

    Attributes:
        frames: delivered to every sink.
        dropped: frames of the source that were never delivered.
        reconnects: how often a lost source came back.
        seconds: from the beginning of the first read to the last delivery, start-up left out.
        stages_ms, age_ms: percentiles; a stage is the time that one frame spent there, and stages of different frames
            overlap, so their sum is more than `1000 / fps`.
        start_ms: from `started_s` to the first read: opening, loading, warming up.
        files: what was written.
        interrupted: whether it was asked to end before the source did.
    """

    source: str
    backend: str
    device: str
    precision: str
    frames: int = 0
    dropped: int = 0
    reconnects: int = 0
    seconds: float = 0.0
    stages_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    age_ms: dict[str, float] = field(default_factory=lambda: percentiles(()))
    start_ms: float = 0.0
    files: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def fps(self) -> float:
        """Frames a second over the whole run."""
        return self.frames / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """What `epee run --json` prints."""
        return {"frames": self.frames, "dropped": self.dropped, "reconnects": self.reconnects,
                "seconds": round(self.seconds, 6), "fps": round(self.fps, 3), "backend": self.backend,
                "device": self.device, "precision": self.precision, "source": self.source,
                "start_ms": round(self.start_ms, 1), "stages_ms": self.stages_ms, "age_ms": self.age_ms,
                "files": self.files, "interrupted": self.interrupted}

    def to_text(self) -> str:
        """What a person reads at the end."""
        lines = [f"{self.source}: {self.frames} frames in {self.seconds:.2f} s, {self.fps:.1f} frames a second"
                 + f" ({self.backend}:{self.device}, {self.precision})" + (", interrupted" if self.interrupted else "")]
        if self.frames:
            lines.append(f"{'ms a frame':12}{'p50':>9}{'p95':>9}{'p99':>9}")
            for stage, p in {**self.stages_ms, "age": self.age_ms}.items():
                lines.append(f"{stage:12}{p['p50']:9.2f}{p['p95']:9.2f}{p['p99']:9.2f}")
        return "\n".join(lines + [f"wrote {file}" for file in self.files])


def run(model: Model, source: Source, sinks: Sequence[Sink], *, frames: int | None = None,
        seconds: float | None = None, stop: threading.Event | None = None, started_s: float | None = None,
        progress: Callable[[RunStats], None] | None = None) -> RunStats:
    """Streams a source through a model into sinks; everything stays open, so its owner closes it.

    Sinks are written on the calling thread. An error of the source, the model or a sink is raised after all frames
    before it were delivered.

    Args:
        frames: ends after so many.
        seconds: ends after so long.
        stop: ends soon after it is set, e.g. by a signal's handler.
        started_s: `now_s()` when the program began to open things; `start_ms` counts from there.
        progress: called after each frame.
    """
    stats = RunStats(source.name, model.session.backend, model.session.device, model.session.precision,
                     files=[sink.target for sink in sinks if sink.target])
    times, ages = Durations(), Durations()

    def prepare(result: Result) -> None:
        for sink in sinks:
            _timed(result, sink.kind, sink.prepare)

    model.warm_up()
    begin_s = now_s()
    stats.start_ms = 0.0 if started_s is None else 1e3 * (begin_s - started_s)
    with closing(cast(Any, model.stream(source, prepare=prepare, limit=frames, stop=stop))) as results:
        try:
            for result in results:
                for sink in sinks:
                    _timed(result, sink.kind, sink.write)
                stats.frames += 1
                stats.dropped = result.frame.index + 1 - stats.frames
                stats.seconds = now_s() - begin_s
                times.add_all(result.times_ms)
                ages.add("age", result.frame.age_ms)
                if progress is not None:
                    progress(stats)
                if seconds is not None and stats.seconds >= seconds:
                    break
        except SinkEnd:
            stats.interrupted = True
        finally:
            stats.stages_ms = times.percentiles()
            stats.age_ms = ages.percentiles().get("age", stats.age_ms)
    stats.interrupted = stats.interrupted or (stop is not None and stop.is_set())
    return stats


def _timed(result: Result, stage: str, call: Callable[[Result], None]) -> None:
    """Calls and adds the time to the stage, without what went to drawing the overlay, which is a stage of its own."""
    times_ms = result.times_ms
    drawn_ms = times_ms.get("overlay", 0.0)
    start = time.perf_counter()
    call(result)
    spent_ms = 1e3 * (time.perf_counter() - start) - (times_ms.get("overlay", 0.0) - drawn_ms)
    times_ms[stage] = times_ms.get(stage, 0.0) + spent_ms
