"""Several streams in one process: a thread each, one line of numbers each, one object for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import EpeeError
from .mosaic import Mosaic
from .outlets import Failure
from .pipeline import Run
from .sinks import SinkEnd
from .sources import notice
from .stats import RunStats

TICK_S = 0.02
TOTALS = ("frames", "received", "dropped", "dropped_old", "bad", "reconnects")


@dataclass
class SiteStats:
    """What several streams did.

    Attributes:
        streams: one entry each.
        seconds: from the first stream's beginning to the last one's end.
        batching: for each session, by the streams that share it: what was decided and measured.
        files, failed: of what the streams write together (mosaics).
    """

    streams: list[RunStats]
    seconds: float = 0.0
    batching: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    interrupted: bool = False

    @property
    def whole(self) -> bool:
        """Whether every stream and sink went on to the end."""
        return not (self.failed or any(stream.error or stream.failed for stream in self.streams))

    def to_json(self) -> dict[str, Any]:
        """What `epee run --json` prints for several sources."""
        totals = {name: sum(getattr(stream, name) for stream in self.streams) for name in TOTALS}
        return {"streams": [stream.to_json() for stream in self.streams], **totals,
                "seconds": round(self.seconds, 6),
                "fps": round(totals["frames"] / self.seconds, 3) if self.seconds else 0.0, "batching": self.batching,
                "files": self.files, "failed": [failure.to_json() for failure in self.failed],
                "interrupted": self.interrupted}

    def to_text(self) -> str:
        """What a person reads at the end."""
        frames = sum(stream.frames for stream in self.streams)
        fps = frames / self.seconds if self.seconds else 0.0
        lines = [stream.to_text() for stream in self.streams]
        lines.append(f"{len(self.streams)} streams: {frames} frames in {self.seconds:.2f} s, {fps:.1f} a second in all")
        lines += [f"{', '.join(entry['streams'])}: {entry['reason']}" for entry in self.batching]
        lines += [f"wrote {file}" for file in self.files]
        return "\n".join(lines + [f"stopped: {failure.error}" for failure in self.failed])


def run_all(runs: Sequence[Run], mosaics: Sequence[Mosaic] = (), *, stop: threading.Event,
            beat: Callable[[Sequence[RunStats]], None] | None = None) -> SiteStats:
    """Runs streams to their ends, a thread each; mosaics are drawn on the calling thread.

    A stream that fails ends alone: one line on standard error says so, its numbers say why, the others go on.

    Args:
        stop: ends all of them.
        beat: called with the numbers so far, several times a second, unless a stream is stuck.
    """
    stats = SiteStats([run.stats for run in runs])
    threads = [threading.Thread(target=_run, args=(run,), name=f"epee-stream-{i}", daemon=True)
               for i, run in enumerate(runs)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            for mosaic in mosaics:
                _tick(mosaic, stop)
            if beat is not None and not any(run.stuck for run in runs):
                beat(stats.streams)
            time.sleep(TICK_S)
    finally:
        if any(thread.is_alive() for thread in threads):
            stop.set()
        for thread in threads:
            thread.join()
    stats.seconds = time.monotonic() - begin
    for mosaic in mosaics:
        _close(mosaic)
        stats.files += mosaic.outlets.files
        stats.failed += mosaic.outlets.failed
    stats.interrupted = stop.is_set() or any(stream.interrupted for stream in stats.streams)
    return stats


def _run(run: Run) -> None:
    try:
        run.to_the_end()
    except Exception as error:  # nothing that happens to one stream ends the others
        text = str(error) if isinstance(error, EpeeError) else f"{type(error).__name__}: {error}"
        run.stats.error = " ".join(text.split())
        notice(f"stream '{run.stats.source}' ends: {run.stats.error}")


def _close(mosaic: Mosaic) -> None:
    try:
        mosaic.close()
    except EpeeError as error:  # it is in `failed`, too
        notice(str(error))


def _tick(mosaic: Mosaic, stop: threading.Event) -> None:
    if not mosaic.alive:
        return
    try:
        mosaic.tick()
    except SinkEnd:
        stop.set()
    except EpeeError as error:  # its sinks are closed; the streams go on
        mosaic.alive = False
        notice(f"the mosaic ends: {error}")
