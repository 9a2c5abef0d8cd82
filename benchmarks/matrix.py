"""The matrix of a benchmark: which rows there are, and how each measures one round in a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..runtime.backends import BACKENDS, candidates, load, parse_backend, probe_all
from ..runtime.bundle import Bundle
from ..runtime.errors import ConfigError
from ..runtime.variants import choose_variant, variants_of
from . import children
from .rows import PIPELINE, SCENARIOS, Row, Settings

PIPELINE_ROUNDS = 3
"""At most: one runs over a whole clip."""


@dataclass
class Contestant:
    """A row and a scenario that take part in the rounds.

    Attributes:
        measure: given the round's number, measures in a fresh process: the fields of a `rows.Round` but `number` and
            `at_s`, and perhaps `facts` (fields of the row, and `energy`). Raises EpeeError where it failed.
        rounds: takes part in so many at most.
    """

    row: Row
    scenario: str
    measure: Callable[[int], dict[str, Any]]
    rounds: int = sys.maxsize


def rows_of(bundle: Bundle, backends: Sequence[str], precisions: Sequence[str], threads: Sequence[int] = (0,),
            batches: Sequence[int] = ()) -> list[Row]:
    """The matrix, unmeasured; `all` stands for every available backend, or every variant that a backend may take.

    What is named on both sides has its row in any case, so that it can say why it does not run.

    Args:
        bundle: whose variants.
        backends: `NAME[:DEVICE]` each, or `all`.
        precisions: variants or precisions, or `all`.
        threads: of each row; 0 leaves the choice to the backend.
        batches: of each row; none: what the graph takes, 1 where it is free.

    Raises:
        BackendError: no such backend or variant.
    """
    everywhere, everything = list(backends) == ["all"], list(precisions) == ["all"]
    chosen = [b.name for b in probe_all() if b.available] or list(BACKENDS) if everywhere else dict.fromkeys(backends)
    for text in chosen:
        load(parse_backend(text)[0])
    variants = variants_of(bundle) if everything else [choose_variant(bundle, p) for p in dict.fromkeys(precisions)]
    own = bundle.manifest.inputs[0].shape[0] or 1
    return [Row(*parse_backend(text), v.name, v.precision, v.bytes, count, batch) for text in chosen
            for v in {v.name: v for v in variants}.values()
            if not (everywhere or everything) or v in candidates(bundle, text)
            for batch in dict.fromkeys(batches or (own,)) for count in dict.fromkeys(threads)]


def contestants(bundle: Bundle, rows: Sequence[Row], settings: Settings) -> list[Contestant]:
    """Each row in each scenario; the pipeline has one frame at a time, so that rows of larger batches leave it out."""
    return [_piped(bundle, row, settings) if scenario == PIPELINE else _timed(bundle, row, scenario, settings)
            for row in rows for scenario in settings.scenarios if scenario != PIPELINE or row.batch == 1]


def check_scenarios(names: Sequence[str], source: str) -> tuple[str, ...]:
    """The scenarios that are asked for, in SCENARIOS' order; `all` stands for those that can be measured.

    Args:
        names: as typed.
        source: a video or ''; with one, the pipeline is measured in any case.

    Raises:
        ConfigError: no such scenario, or the pipeline without a source.
    """
    for name in names:
        if name not in (*SCENARIOS, "all"):
            raise ConfigError("--scenario", got=f"'{name}'", expected=f"all, or some of {', '.join(SCENARIOS)}")
    if PIPELINE in names and not source:
        raise ConfigError("--scenario pipeline", got="no --source", expected="a video, or synthetic:street")
    asked = {name for name in SCENARIOS if name in names or ("all" in names and name != PIPELINE)}
    return tuple(name for name in SCENARIOS if name in asked or (name == PIPELINE and source))


def score(bundle: Bundle, row: Row, settings: Settings) -> dict[str, Any]:
    """What the row's variant scores on the data, in a process of its own; the row's `quality`.

    Raises:
        EpeeError: it failed.
    """
    return children.work(_job(bundle, row, settings) | {"kind": "scored"}, settings.timeout_s)


def _timed(bundle: Bundle, row: Row, scenario: str, settings: Settings) -> Contestant:
    def measure(number: int) -> dict[str, Any]:
        job = _job(bundle, row, settings) | {"kind": "timed", "scenario": scenario, "number": number}
        return children.work(job, settings.timeout_s)

    return Contestant(row, scenario, measure)


def _piped(bundle: Bundle, row: Row, settings: Settings) -> Contestant:
    """What `epee run` says of the whole way from the source to an mp4 with the overlay, or with what was made."""
    def measure(number: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="epee-bench-") as folder:
            command = [sys.executable, "-m", "epee", "run", str(bundle.path.resolve()), "--source", settings.source,
                       "--sink", str(Path(folder) / "out.mp4"), "--backend", row.where, "--precision", row.variant,
                       "--frames", str(settings.frames), "--threads", str(row.threads), "--json"]
            ran = json.loads(children.run(command, settings.timeout_s))
        if not ran["frames"]:
            raise children.Failed(f"source '{settings.source}'", got="no frames")
        stages = {"encode" if stage == "mp4" else stage: p["p50"] for stage, p in ran["stages_ms"].items()}
        return {"ms": 1e3 * ran["seconds"] / ran["frames"], "calls": ran["frames"], "frames": ran["frames"],
                "seconds": ran["seconds"], "stages_ms": stages}

    return Contestant(row, PIPELINE, measure, PIPELINE_ROUNDS)


def _job(bundle: Bundle, row: Row, settings: Settings) -> dict[str, Any]:
    return {"bundle": str(bundle.path.resolve()), "backend": row.where, "variant": row.variant,
            "threads": row.threads, "batch": row.batch, "settings": asdict(settings)}
