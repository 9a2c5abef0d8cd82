"""RunStats: what a stream did, for `--json`, for a person, and live while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .outlets import Failure
from .timing import Durations


@dataclass
class RunStats:
    """What the run of one stream did, or has done so far.

    Attributes:
        precision: what really computes.
        variant: which of the bundle's it is made of.
        frames: delivered to the sinks.
        received: frames that the source decoded, delivered or not.
        dropped: frames of the source that were never delivered, for whichever reason.
        dropped_old: those of them that were older than `--max-age`.
        bad: packets or frames that did not decode.
        reconnects: how often a lost source came back.
        state: the source's: `connecting`, `live`, `lost` or `ended`.
        seconds: from the beginning of the first read to the last delivery, start-up left out.
        times, ages: what `stages_ms` and `age_ms` are made of.
        start_ms: from `started_s` to the first read: opening, loading, warming up.
        files: what was written.
        failed: sinks that stopped before the run did.
        swaps: bundles taken and refused while it ran: `{"done", "refused"}`.
        error: why the stream ended before it should have, or ''.
        interrupted: whether it was asked to end before the source did.
    """

    source: str
    backend: str
    device: str
    precision: str
    variant: str = ""
    frames: int = 0
    received: int = 0
    dropped: int = 0
    dropped_old: int = 0
    bad: int = 0
    reconnects: int = 0
    state: str = "live"
    seconds: float = 0.0
    times: Durations = field(default_factory=Durations, repr=False)
    ages: Durations = field(default_factory=Durations, repr=False)
    start_ms: float = 0.0
    files: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    swaps: dict[str, int] = field(default_factory=lambda: {"done": 0, "refused": 0})
    error: str = ""
    interrupted: bool = False

    @property
    def fps(self) -> float:
        """Frames a second over the whole run."""
        return self.frames / self.seconds if self.seconds else 0.0

    @property
    def stages_ms(self) -> dict[str, dict[str, float]]:
        """Percentiles by stage: the time that one frame spent there.

        Stages of different frames overlap, so their sum may be more than `1000 / fps`.
        """
        return self.times.percentiles()

    @property
    def age_ms(self) -> dict[str, float]:
        """Percentiles of the frames' ages when the sinks had them, from capture on."""
        return self.ages.percentiles_of("age")

    def to_json(self) -> dict[str, Any]:
        """What `epee run --json` prints."""
        return {"frames": self.frames, "received": self.received, "dropped": self.dropped,
                "dropped_old": self.dropped_old, "bad": self.bad, "reconnects": self.reconnects,
                "seconds": round(self.seconds, 6), "fps": round(self.fps, 3), "backend": self.backend,
                "device": self.device, "precision": self.precision, "variant": self.variant, "source": self.source,
                "state": self.state,
                "start_ms": round(self.start_ms, 1), "stages_ms": self.stages_ms, "age_ms": self.age_ms,
                "files": self.files, "failed": [failure.to_json() for failure in self.failed], "swaps": self.swaps,
                "error": self.error, "interrupted": self.interrupted}

    def to_text(self) -> str:
        """What a person reads at the end."""
        lines = [f"{self.source}: {self.frames} frames in {self.seconds:.2f} s, {self.fps:.1f} frames a second"
                 + f" ({self.backend}:{self.device}, {self.precision})" + (", interrupted" if self.interrupted else "")]
        counts = {"dropped": self.dropped, "of them too old": self.dropped_old, "bad": self.bad,
                  "reconnects": self.reconnects}
        if any(counts.values()):
            lines.append(", ".join(f"{count} {name}" for name, count in counts.items() if count))
        if self.frames:
            lines.append(f"{'ms a frame':12}{'p50':>9}{'p95':>9}{'p99':>9}")
            for stage, p in {**self.stages_ms, "age": self.age_ms}.items():
                lines.append(f"{stage:12}{p['p50']:9.2f}{p['p95']:9.2f}{p['p99']:9.2f}")
        if any(self.swaps.values()):
            lines.append(f"{self.swaps['done']} bundles taken, {self.swaps['refused']} refused")
        if self.error:
            lines.append(f"stopped early: {self.error}")
        return "\n".join(lines + [f"wrote {file}" for file in self.files]
                         + [f"stopped: {failure.error}" for failure in self.failed])
