"""The matrix of a benchmark: backend x variant, each measured in processes of its own, rounds interleaved."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.backends import BACKENDS, candidates, load, parse_backend, probe_all
from ..runtime.bundle import Bundle
from ..runtime.variants import choose_variant, variants_of

Progress = Callable[[str], None]
"""Told what is measured next."""


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        threads: compute threads; 0 leaves the choice to each backend.
        rounds: fresh processes a row; the order of rows is shuffled in each round.
        seconds: timed time a row and round.
        data, split, limit: the labelled split behind mIoU; no data, no mIoU.
        source: a video to run the whole pipeline on, or ''.
        frames: how many of its frames.
        timeout_s: longest time of one process.
        seed: of the rows' order.
    """

    threads: int = 0
    rounds: int = 5
    seconds: float = 1.0
    data: str = ""
    split: str = "val"
    limit: int | None = None
    source: str = ""
    frames: int = 200
    timeout_s: float = 600.0
    seed: int = 0


@dataclass
class Row:
    """One backend and variant. Numbers are None until measured, and stay so where `error` says why.

    Attributes:
        latency_ms: `mean`, `p50`, `p90`, `p99`, `min` over the calls of all rounds; outliers are kept.
        rounds_p50_ms: the median of each round, for the spread between processes.
        cold_start_ms: open to first answer, median of the rounds.
        golden_equal: least share of golden values answered equal; `wrong` says where it is too low.
        pipeline: what `epee run` measured on `source`.
    """

    backend: str
    device: str
    variant: str
    precision: str
    bytes: int
    threads: int
    batch: int = 1
    calls: int = 0
    latency_ms: dict[str, float] | None = None
    rounds_p50_ms: list[float] = field(default_factory=list)
    cold_start_ms: float | None = None
    peak_rss_mb: float | None = None
    golden_equal: float | None = None
    wrong: list[str] = field(default_factory=list)
    miou: float | None = None
    pixel_accuracy: float | None = None
    pipeline: dict[str, Any] | None = None
    error: str = ""

    @property
    def where(self) -> str:
        """`NAME:DEVICE`, as `--backend` takes it."""
        return f"{self.backend}:{self.device}" if self.device else self.backend

    def to_json(self) -> dict[str, Any]:
        """The row of results.json."""
        return asdict(self)


def rows_of(bundle: Bundle, backends: Sequence[str], precisions: Sequence[str], threads: int) -> list[Row]:
    """The matrix, unmeasured; `all` stands for every available backend, or every variant that a backend may take.

    What is named on both sides has its row in any case, so that it can say why it does not run.

    Raises:
        BackendError: no such backend or variant.
    """
    everywhere, everything = list(backends) == ["all"], list(precisions) == ["all"]
    chosen = [b.name for b in probe_all() if b.available] or list(BACKENDS) if everywhere else dict.fromkeys(backends)
    for text in chosen:
        load(parse_backend(text)[0])
    variants = variants_of(bundle) if everything else [choose_variant(bundle, p) for p in dict.fromkeys(precisions)]
    return [Row(*parse_backend(text), v.name, v.precision, v.bytes, threads) for text in chosen
            for v in {v.name: v for v in variants}.values()
            if not (everywhere or everything) or v in candidates(bundle, text)]


def measure(bundle: Bundle, rows: Sequence[Row], settings: Settings, progress: Progress = print) -> None:
    """Fills the rows in. A row that fails keeps its reason in `error` and is not tried again."""
    order = random.Random(settings.seed)
    samples: dict[int, list[dict[str, Any]]] = {id(row): [] for row in rows}
    for number in range(settings.rounds):
        for row in order.sample(list(rows), len(rows)):
            if not row.error:
                progress(f"round {number + 1} of {settings.rounds}: {row.variant} on {row.where}")
                samples[id(row)].append(_work(bundle, row, settings, "latency"))
    for row in rows:
        if not row.error:
            _fill_latency(row, samples[id(row)])
        if not row.error and settings.data:
            progress(f"scores: {row.variant} on {row.where}")
            scores = _work(bundle, row, settings, "quality")
            row.miou, row.pixel_accuracy = scores.get("miou"), scores.get("pixel_accuracy")
        if not row.error and settings.source:
            progress(f"pipeline: {row.variant} on {row.where}")
            row.pipeline = _pipeline(bundle, row, settings)


def _fill_latency(row: Row, rounds: list[dict[str, Any]]) -> None:
    calls = np.concatenate([r["samples_ms"] for r in rounds])
    p50, p90, p99 = (float(x) for x in np.percentile(calls, (50, 90, 99)))
    row.device, row.calls = rounds[0]["device"], len(calls)
    row.latency_ms = {"mean": float(calls.mean()), "p50": p50, "p90": p90, "p99": p99, "min": float(calls.min())}
    row.rounds_p50_ms = [float(np.median(r["samples_ms"])) for r in rounds]
    row.cold_start_ms = float(np.median([r["cold_start_ms"] for r in rounds]))
    row.peak_rss_mb = max(r["peak_rss_mb"] for r in rounds)
    row.golden_equal = min(r["golden_equal"] for r in rounds)
    row.wrong = sorted({line for r in rounds for line in r["wrong"]})


def _work(bundle: Bundle, row: Row, settings: Settings, kind: str) -> dict[str, Any]:
    """Runs one job in a fresh process; a failure goes to the row's `error`."""
    job = {"kind": kind, "bundle": str(bundle.path.resolve()), "backend": row.where, "variant": row.variant,
           **asdict(settings)}
    with tempfile.TemporaryDirectory(prefix="epee-bench-") as folder:
        question, reply = Path(folder, "job.json"), Path(folder, "answer.json")
        question.write_text(json.dumps(job), encoding="utf-8")
        command = [sys.executable, "-m", "epee.benchmarks.worker", str(question), str(reply)]
        row.error = _run(command, settings.timeout_s)[1]
        found: dict[str, Any] = json.loads(reply.read_text(encoding="utf-8")) if reply.exists() else {}
    row.error = row.error or found.get("error", "" if found else "the process ended without an answer")
    return found


def _pipeline(bundle: Bundle, row: Row, settings: Settings) -> dict[str, Any] | None:
    """What `epee run` says of the whole way from the source to a drawn, thrown away overlay."""
    command = [sys.executable, "-m", "epee", "run", str(bundle.path.resolve()), "--source", settings.source,
               "--sink", "null:overlay", "--backend", row.where, "--precision", row.variant, "--frames",
               str(settings.frames), "--threads", str(settings.threads), "--json"]
    text, row.error = _run(command, settings.timeout_s)
    if row.error:
        return None
    found: dict[str, Any] = json.loads(text)
    return found


def _run(command: Sequence[str], timeout_s: float) -> tuple[str, str]:
    """Runs a command to its end. Gives (standard output, why it failed or '')."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "", f"no answer within {timeout_s:g} s"
    if done.returncode < 0:
        return "", f"the process crashed with {signal.Signals(-done.returncode).name}"
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return "", (lines[-1] if lines else f"exit status {done.returncode}").removeprefix("epee: ")[:300]
    return done.stdout, ""
