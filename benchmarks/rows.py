"""What a benchmark found, as it stands in results.json: `Results` has rows, a row scenarios, a scenario rounds.

A round is what one fresh process measured. Rounds are what statistics are made of: calls within a process agree with
each other far better than processes do, so that intervals over calls would be too narrow. In every scenario the
headline, `ms`, is in milliseconds and less is better.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..runtime.errors import DataError, EpeeError

FORMAT = 1
SINGLE, MULTI, OFFLINE, PACED, PIPELINE = "single-stream", "multi-stream", "offline", "paced", "pipeline"
SCENARIOS: dict[str, str] = {
    SINGLE: "one call after the other; ms: median of a call",
    MULTI: "a query of several frames at once, the next when all are answered; ms: median of a query",
    OFFLINE: "all frames are there, as many calls in flight as the backend overlaps; ms: time a frame",
    PACED: "a call every 1/30 s, whether or not the last was answered; ms: median from due to answered",
    PIPELINE: "`epee run` from a video to a video: decode, infer, overlay, encode; ms: time a frame",
}
"""Name -> what is done, and what its headline is. The first three are MLPerf's (Reddi et al. 2020, 1911.02549)."""
KEPT_SAMPLES = 200
"""Of a round in results.json; figures are made of all."""
Range = tuple[float, float]
"""Lower and upper end."""


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        scenarios: of SCENARIOS.
        rounds: fresh processes a row and scenario; the order is shuffled in each round.
        seconds: timed time a row, scenario and round.
        fps: pace of `paced`.
        streams: frames of a query of `multi-stream`.
        data, split, limit: what quality is scored on; nothing, no score.
        source: a video for `pipeline`, or ''.
        frames: how many of its frames.
        timeout_s: longest time of one process.
        seed: of the order.
    """

    scenarios: tuple[str, ...] = (SINGLE,)
    rounds: int = 9
    seconds: float = 0.5
    fps: float = 30.0
    streams: int = 8
    data: str = ""
    split: str = ""
    limit: int | None = None
    source: str = ""
    frames: int = 200
    timeout_s: float = 600.0
    seed: int = 0


@dataclass(frozen=True)
class Round:
    """What one fresh process measured.

    Attributes:
        number: from 0; rounds of one number of different rows were measured next to each other.
        at_s: when it began, from the benchmark's beginning on.
        ms: the scenario's headline.
        calls: timed calls (or queries); none is left out.
        frames: answered in `seconds` of wall time.
        latency_ms: `mean`, `p50`, `p90`, `p99`, `min`, `max` over all calls; empty where calls overlap.
        samples_ms: the calls' times in order, thinned evenly to KEPT_SAMPLES or fewer.
        cold_start_ms: open to first answer, the runtime's import included.
        peak_rss_mb: largest resident memory of the process.
        cpu_ms: processor time a frame, over all threads.
        energy_mj: millijoules a frame, idle power included; `Results.energy` says of what. None where not measurable.
        stages_ms: medians by stage, of `pipeline`.
        counts: of `paced`: `late` (answered after the next was due) and `dropped` (never asked, since too late).
        conditions: the machine meanwhile, see `conditions.Watch`.
        harness_us: what the clock and the loop around a call cost, measured in the same process.
        steady: whether the warm-up ended because times had settled, not because its time was up.
    """

    number: int
    at_s: float
    ms: float
    calls: int
    frames: int
    seconds: float
    latency_ms: dict[str, float] = field(default_factory=dict)
    samples_ms: list[float] = field(default_factory=list)
    cold_start_ms: float | None = None
    peak_rss_mb: float | None = None
    cpu_ms: float | None = None
    energy_mj: float | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    harness_us: float | None = None
    steady: bool = True

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds


@dataclass
class Scenario:
    """All rounds of one scenario of a row, and what they say together.

    Attributes:
        ms: median of the rounds' headlines.
        interval_ms: 95% confidence for it, by bootstrap of whole rounds; see `statistics.interval`; None of fewer
            than 3.
        prediction_ms: where this figure of another run lies in 95 of 100; see `statistics.prediction`; None likewise.
        latency_ms: as a round's, over the calls of all rounds, outliers kept; `p50` is `ms` where calls do not
            overlap.
        fps: frames a second, median of the rounds.
        cpu_ms, energy_mj: a frame, medians of the rounds.
        stages_ms: medians of the rounds.
        counts: sums of the rounds.
    """

    rounds: list[Round]
    ms: float
    interval_ms: Range | None
    prediction_ms: Range | None
    latency_ms: dict[str, float]
    fps: float
    cpu_ms: float | None = None
    energy_mj: float | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class Row:
    """One backend, variant, batch and number of threads. Numbers are None until measured.

    Attributes:
        label: whose row it is: '' for the bundle's own, else `baseline`, or the name of somebody else's run.
        precision: the variant's; `computed` is what its layers really compute in, as the runtime tells.
        bytes: size of the model's file.
        threads: 0 leaves the choice to the backend.
        scenarios: by name, those that were measured.
        cold_start_ms: median over the rounds; peak_rss_mb: largest.
        golden_equal: least share of golden values answered equal, in any process.
        wrong: why it must not be used though it runs: lines.
        quality: `miou`, `pixel_accuracy`; `psnr_db` (at most 100) and `ssim` against the goldens; `kid-NAME`.
        failed: scenarios after the first that failed, and why; the others stand.
        error: why the first scenario or the scores failed, or ''. Such a row has no place among the fast ones.
    """

    backend: str
    device: str
    variant: str
    precision: str
    bytes: int
    threads: int = 0
    batch: int = 1
    label: str = ""
    computed: str = ""
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    cold_start_ms: float | None = None
    peak_rss_mb: float | None = None
    golden_equal: float | None = None
    wrong: list[str] = field(default_factory=list)
    quality: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def where(self) -> str:
        """`NAME:DEVICE`, as `--backend` takes it."""
        return f"{self.backend}:{self.device}" if self.device else self.backend

    @property
    def headline(self) -> Scenario | None:
        """The first scenario, which the row is listed by."""
        return next(iter(self.scenarios.values()), None)

    @property
    def good(self) -> bool:
        """Whether it was measured and answers right."""
        return bool(self.scenarios) and not self.error and not self.wrong

    @property
    def name(self) -> str:
        """What a person reads: `int8-u8s8 on openvino:cpu, batch 8, 2 threads`."""
        parts = [f"{self.variant} on {self.where}", f"batch {self.batch}" if self.batch > 1 else "",
                 f"{self.threads} thread{'s' * (self.threads > 1)}" if self.threads else "", self.label]
        return ", ".join(part for part in parts if part)

    def to_json(self) -> dict[str, Any]:
        """The row of results.json without its samples: what `--json` prints."""
        row = dataclasses.asdict(self)
        for entry in (entry for scenario in row["scenarios"].values() for entry in scenario["rounds"]):
            del entry["samples_ms"]
        return row


@dataclass
class Results:
    """A whole benchmark.

    Attributes:
        bundle: `name`, `task`, `digest`.
        machine: `runtime.machine.describe()`; its `fingerprint` is equal where figures may be compared.
        settings: as asked for.
        rows: in the order of the matrix.
        began: date and time, UTC, ISO 8601.
        seconds: the whole benchmark.
        energy: by device (`cpu`, `cuda` …): what its figures cover, or `not measurable here: …`.
        interrupted: whether it was ended by Ctrl-C; the rounds measured until then are here.
    """

    bundle: dict[str, str]
    machine: dict[str, Any]
    settings: Settings
    rows: list[Row]
    began: str = ""
    seconds: float = 0.0
    energy: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        """What results.json holds."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    def save(self, path: Path) -> None:
        """Writes results.json.

        Raises:
            EpeeError: the file cannot be written.
        """
        text = json.dumps(self.to_json(), indent=1, allow_nan=False)
        text = re.sub(r"\[\s+([-+.\de,\s]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)
        try:
            path.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise EpeeError(f"cannot write '{path}'", got=error.strerror or str(error),
                            do="free some space or name another --out") from None

    @classmethod
    def load(cls, path: Path) -> Results:
        """Reads results.json; fields that this version does not know are left out.

        Raises:
            DataError: no such file, or it is none of this format.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"results '{path}'", got=error.strerror or str(error),
                            expected="a results.json of `epee bench`") from None
        except ValueError as error:
            raise DataError(f"results '{path}'", got=f"no JSON: {error}", do="run the benchmark again") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            got = repr(data.get("format")) if isinstance(data, dict) else type(data).__name__
            raise DataError(f"results '{path}': format", got=got, expected=FORMAT, do="run the benchmark again")
        try:
            settings = _record(Settings, data["settings"])
            settings = dataclasses.replace(settings, scenarios=tuple(settings.scenarios))
            return _record(cls, data | {"settings": settings, "rows": [_row(row) for row in data["rows"]]})
        except (TypeError, KeyError, AttributeError) as error:
            raise DataError(f"results '{path}' are misshapen", got=str(error), do="run the benchmark again") from None


def _row(data: Mapping[str, Any]) -> Row:
    return _record(Row, dict(data) | {"scenarios": {k: _scenario(v) for k, v in data["scenarios"].items()}})


def _scenario(data: Mapping[str, Any]) -> Scenario:
    return _record(Scenario, dict(data) | {
        "rounds": [_record(Round, entry) for entry in data["rounds"]],
        **{name: data[name] and tuple(data[name]) for name in ("interval_ms", "prediction_ms")}})


def _record(cls: Any, data: Mapping[str, Any]) -> Any:
    """Builds a dataclass of the fields that it knows."""
    names = {f.name for f in dataclasses.fields(cls)}
    return cls(**{k: v for k, v in data.items() if k in names})
