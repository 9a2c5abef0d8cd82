"""Rounds: contestants take turns in an order that is shuffled anew each time, so that drift hits all alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import datetime, timezone
from typing import Any

import numpy as np

from ..runtime import machine
from ..runtime.bundle import Bundle
from ..runtime.errors import EpeeError
from . import matrix, statistics
from .matrix import Contestant, contestants
from .rows import KEPT_SAMPLES, Results, Round, Row, Scenario, Settings
from .scenarios import summary

Progress = Callable[[str], None]
"""Told what is measured next."""
BUSY = 0.1
"""Share of the processors that others may take before it is worth a word."""


def bench(bundle: Bundle, rows: Sequence[Row], settings: Settings, progress: Progress = print,
          others: Sequence[Contestant] = ()) -> Results:
    """Measures a bundle's rows, and others beside them in the same rounds.

    Args:
        bundle: whose rows.
        rows: unmeasured, see `matrix.rows_of`; what fails keeps its reason in `error`.
        settings: how.
        progress: told what is measured next.
        others: contestants with rows of their own: a baseline, other people's runs.
    """
    start_s, began = time.monotonic(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    described = machine.describe()
    taking_part = [*contestants(bundle, rows, settings), *others]
    energy, interrupted = take_turns(taking_part, settings, progress)
    if settings.data and not interrupted:
        _score(bundle, rows, settings, progress)
    named = {"name": bundle.manifest.name, "task": bundle.manifest.task, "digest": bundle.digest()}
    every = {id(row): row for row in (*rows, *(other.row for other in others))}
    return Results(named, described, settings, list(every.values()), began, time.monotonic() - start_s, energy,
                   interrupted)


def take_turns(taking_part: Sequence[Contestant], settings: Settings,
               progress: Progress) -> tuple[dict[str, str], bool]:
    """Fills the contestants' rows in. What fails is not tried again: a row's other scenarios go on without it, unless
    it is the first, which the row is listed by. Ctrl-C ends the rounds, and those measured until then are kept.

    Returns:
        `Results.energy` and `Results.interrupted`.
    """
    order, start_s = random.Random(settings.seed), time.monotonic()
    rounds: dict[int, list[Round]] = {id(c): [] for c in taking_part}
    facts: dict[int, list[dict[str, Any]]] = {id(c.row): [] for c in taking_part}
    first = {id(c.row): c.scenario for c in reversed(taking_part)}

    def take_turn(c: Contestant, number: int) -> None:
        progress(f"round {number + 1} of {settings.rounds}: {c.row.name}, {c.scenario}")
        at_s = time.monotonic() - start_s
        try:
            found = c.measure(number)
        except EpeeError as error:
            if c.scenario == first[id(c.row)]:
                c.row.error = str(error)
            else:
                c.row.failed[c.scenario] = str(error)
        else:
            facts[id(c.row)].append(found.pop("facts", {}))
            rounds[id(c)].append(Round(number=number, at_s=round(at_s, 3), **found))

    interrupted = False
    try:
        for number in range(settings.rounds):
            for c in order.sample(list(taking_part), len(taking_part)):
                if number < c.rounds and not c.row.error and c.scenario not in c.row.failed:
                    take_turn(c, number)
    except KeyboardInterrupt:
        if not any(rounds.values()):
            raise
        interrupted = True
        for c in taking_part:
            if c.scenario == first[id(c.row)] and not rounds[id(c)]:
                c.row.error = c.row.error or "interrupted before its first round"
    whole = [c for c in taking_part if not c.row.error and c.scenario not in c.row.failed and rounds[id(c)]]
    alike = statistics.correlation([[r.ms for r in rounds[id(c)]] for c in whole])
    for c in whole:
        c.row.scenarios[c.scenario] = gather(rounds[id(c)], alike)
    for c in {id(c.row): c for c in whole}.values():
        _fill(c.row, facts[id(c.row)])
    known = [fact for c in whole for fact in facts[id(c.row)] if "energy" in fact]
    return {fact["device"]: fact["energy"] for fact in known}, interrupted


def gather(rounds: list[Round], correlation: float = 0.0) -> Scenario:
    """What rounds say together.

    Args:
        rounds: at least one, in order.
        correlation: of neighbouring rounds, see `statistics.correlation`.
    """
    each_ms = [r.ms for r in rounds]
    latency_ms = summary([ms for r in rounds for ms in r.samples_ms]) if rounds[0].samples_ms else {}
    if latency_ms:
        latency_ms["p50"] = float(np.median(each_ms))
    stages = {name: [r.stages_ms[name] for r in rounds if name in r.stages_ms] for name in rounds[0].stages_ms}
    counts = {name: sum(r.counts.get(name, 0) for r in rounds) for name in rounds[0].counts}
    thin = [replace(r, samples_ms=r.samples_ms[::-(-len(r.samples_ms) // KEPT_SAMPLES) or 1]) for r in rounds]
    return Scenario(thin, float(np.median(each_ms)), statistics.interval(each_ms, correlation),
                    statistics.prediction(each_ms, correlation), latency_ms, float(np.median([r.fps for r in rounds])),
                    _median([r.cpu_ms for r in rounds]), _median([r.energy_mj for r in rounds]),
                    {name: float(np.median(values)) for name, values in stages.items()}, counts)


def disturbed(results: Results) -> str:
    """A line that warns where other processes took part of the machine or a processor was throttled; else ''."""
    found = [r.conditions for row in results.rows for s in row.scenarios.values() for r in s.rounds if r.conditions]
    others = _median([c["others"] for c in found]) or 0.0
    slowed = sum(c["throttled"] or 0 for c in found)
    parts = [f"other processes took {others:.0%} of the processors"] if others > BUSY else []
    parts += [f"processors were slowed down for their heat {slowed} times"] if slowed else []
    return f"{' and '.join(parts)}: intervals are wider for it; a quiet machine tells more" if parts else ""


def _fill(row: Row, facts: Sequence[dict[str, Any]]) -> None:
    """What the row's processes say of it beside their times."""
    rounds = [r for scenario in row.scenarios.values() for r in scenario.rounds]
    row.cold_start_ms = _median([r.cold_start_ms for r in rounds])
    row.peak_rss_mb = max((r.peak_rss_mb for r in rounds if r.peak_rss_mb is not None), default=None)
    known = {f.name for f in fields(Row)}
    for fact in facts:
        for name, value in fact.items():
            if name == "wrong":
                row.wrong = sorted({*row.wrong, *value})
            elif name == "quality":
                row.quality |= value
            elif name == "golden_equal":
                row.golden_equal = min(value, 1.0 if row.golden_equal is None else row.golden_equal)
            elif name in known:
                setattr(row, name, value)


def _score(bundle: Bundle, rows: Sequence[Row], settings: Settings, progress: Progress) -> None:
    """Quality on data, once for each variant on each backend: batch and threads do not change it."""
    scores: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if not row.error:
            try:
                if (row.where, row.variant) not in scores:
                    progress(f"scores: {row.variant} on {row.where}")
                    scores[row.where, row.variant] = matrix.score(bundle, row, settings)
                row.quality |= scores[row.where, row.variant]
            except EpeeError as error:
                row.error = f"scores: {error}"


def _median(values: Sequence[float | None]) -> float | None:
    known = [x for x in values if x is not None]
    return float(np.median(known)) if known else None
