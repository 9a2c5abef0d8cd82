"""`epee bench --compare`: whether the new bundle is slower than the old one, by intervals that hold for all rows.

A row fails only where its whole interval lies above the limit: where it is shown, not guessed, that it is more than
`--max-slower` slower. The bounds of m rows are each taken at 5% / m (Bonferroni), so that not one row in any of 19 of
20 comparisons is blamed falsely. A row whose interval holds the limit is undecided; it fails nothing, and the rounds
that would decide it are named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .rows import Row
from .signed_rank import estimate, lower_bound, rounds_for, upper_bound
from .statistics import correlation, prediction

ALPHA = 0.05
"""Share of comparisons that may blame a row falsely, over all their rows."""
SLOWER, FINE, UNDECIDED, BROKEN, NEW = "slower", "fine", "undecided", "broken", "new"
VERDICTS: dict[str, str] = {
    SLOWER: "the whole interval is above the limit",
    FINE: "the whole interval is below the limit",
    UNDECIDED: "the interval holds the limit: more rounds tell",
    BROKEN: "worked before, and fails or answers wrong now",
    NEW: "not in the baseline",
}
FAILING = (SLOWER, BROKEN)
Bounds = tuple[float, float, float, list[float]]
"""Logarithms of the ratio new over old: the middle, what it is not below, not above, and the rounds behind it."""


@dataclass(frozen=True)
class Compared:
    """One row beside its baseline.

    Attributes:
        name: the row's.
        verdict: one of VERDICTS.
        old_ms, new_ms: medians of the rounds' headlines; None where not measured.
        ratio: new over old, Hodges-Lehmann; 1.1 is 10% slower.
        low, high: what the ratio is not below and not above, for all rows together; 0 and None where too few rounds
            were measured to say.
        rounds: pairs of rounds behind it.
        wanted: rounds that would tell a slowdown of twice the limit from the limit; 0 where it is decided.
        note: why it is broken.
    """

    name: str
    verdict: str
    old_ms: float | None = None
    new_ms: float | None = None
    ratio: float | None = None
    low: float = 0.0
    high: float | None = None
    rounds: int = 0
    wanted: int = 0
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """All rows beside their baseline.

    Attributes:
        baseline: what the old one is, in a few words.
        max_slower: limit, as a share: 0.05 is 5%.
        rows: in the order of the matrix.
    """

    baseline: str
    max_slower: float
    rows: tuple[Compared, ...]

    @property
    def ok(self) -> bool:
        """Whether no row is shown to be slower, and none broke."""
        return not any(row.verdict in FAILING for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """All of it, with `ok`."""
        return {**asdict(self), "ok": self.ok}


def compare(rows: Sequence[Row], old: Sequence[Row], max_slower: float, baseline: str, *,
            paired: bool = True) -> Comparison:
    """Sets each row beside the row of the same backend, variant, batch and threads.

    Args:
        rows: measured now.
        old: the baseline's.
        max_slower: limit, as a share.
        baseline: see Comparison.
        paired: whether both were measured in the same rounds. Where they were not, the new median is set against the
            prediction interval of the old one: where it would lie in another run if nothing had changed.
    """
    pairs = [(row, next((then for then in old if alike(row, then)), None)) for row in rows]
    alpha = ALPHA / max(1, sum(then is not None for _, then in pairs))
    bounds = _paired if paired else _apart
    compared = tuple(_compared(row, then, max_slower, alpha, bounds) for row, then in pairs)
    return Comparison(baseline, max_slower, compared)


def alike(row: Row, old: Row) -> bool:
    """Whether two rows may be compared: the same backend, device, variant, batch and threads.

    A row that failed may not know its device; that one may be any.
    """
    devices = {r.device.partition(".")[0] for r in (row, old) if r.device}
    return len(devices) < 2 and (row.backend, row.variant, row.batch, row.threads) == (
        old.backend, old.variant, old.batch, old.threads)


def differences(row: Row, old: Row) -> list[float]:
    """Logarithms of new over old, one for each round that both have in the row's first scenario."""
    if row.headline is None or old.headline is None:
        return []
    then = {r.number: r.ms for r in old.headline.rounds}
    return [math.log(r.ms / then[r.number]) for r in row.headline.rounds if r.number in then]


def _paired(row: Row, old: Row, alpha: float) -> Bounds | None:
    """Bounds from rounds that both have."""
    logs = differences(row, old)
    return (estimate(logs), lower_bound(logs, alpha), upper_bound(logs, alpha), logs) if logs else None


def _apart(row: Row, old: Row, alpha: float) -> Bounds | None:
    """Bounds from the prediction interval of figures that were measured at another time."""
    if row.headline is None or old.headline is None:
        return None
    then = [r.ms for r in old.headline.rounds]
    expected = prediction(then, correlation([then]), 1 - 2 * alpha)
    low, high = (math.log(row.headline.ms / end) for end in (expected[1], expected[0])) if expected else (
        -math.inf, math.inf)
    return math.log(row.headline.ms / old.headline.ms), low, high, [math.log(ms) for ms in then]


def _compared(row: Row, old: Row | None, max_slower: float, alpha: float,
              bounds: Callable[[Row, Row, float], Bounds | None]) -> Compared:
    if old is None and (row.error or row.wrong):
        return Compared(row.name, UNDECIDED, note=row.error or "; ".join(row.wrong))
    if old is None:
        return Compared(row.name, NEW, new_ms=_ms(row))
    old_ms, new_ms = _ms(old), _ms(row)
    if row.error or row.wrong:
        verdict = BROKEN if old.good else UNDECIDED
        return Compared(row.name, verdict, old_ms, new_ms, note=row.error or "; ".join(row.wrong))
    found = bounds(row, old, alpha)
    if found is None:
        return Compared(row.name, NEW, old_ms, new_ms, note=f"the baseline: {old.error or 'nothing to set beside it'}")
    limit, (middle, low, high, logs) = math.log1p(max_slower), found
    verdict = SLOWER if low > limit else FINE if high <= limit else UNDECIDED
    wanted = rounds_for(logs, alpha, math.log1p(2 * max_slower) - limit) if verdict == UNDECIDED and max_slower else 0
    return Compared(row.name, verdict, old_ms, new_ms, math.exp(middle), math.exp(low),
                    math.exp(high) if high < math.inf else None, len(logs), wanted)


def _ms(row: Row) -> float | None:
    return None if row.headline is None else row.headline.ms


def render(comparison: Comparison) -> str:
    """What a person reads: a line a row, and what to do."""
    limit = f"{comparison.max_slower:.1%}".replace(".0%", "%")
    lines = [f"against {comparison.baseline}, at most {limit} slower; intervals hold for all rows together, 95 of 100"]
    width = max(len(row.name) for row in comparison.rows)
    for row in comparison.rows:
        mark = row.verdict.upper() if row.verdict in FAILING else row.verdict
        lines.append(f"  {row.name:<{width}}  {change(row):<34} {mark}{': ' + row.note if row.note else ''}")
    wanted = [row.wanted for row in comparison.rows if row.wanted]
    if wanted:
        lines.append(f"undecided rows: --rounds {max(wanted)} would tell twice the limit from the limit here")
    return "\n".join(lines)


def change(row: Compared) -> str:
    """`4.02 -> 4.41 ms, +9.8% (+7.1 to +12.4)`, as far as it is known."""
    if row.ratio is None:
        return "-" if row.new_ms is None else f"{row.new_ms:.2f} ms"
    spread = (f"({100 * row.low - 100:+.1f} to {100 * row.high - 100:+.1f})" if row.low and row.high is not None
              else "(too few rounds for an interval)")
    return f"{row.old_ms:.2f} -> {row.new_ms:.2f} ms, {100 * row.ratio - 100:+.1f}% {spread}"
