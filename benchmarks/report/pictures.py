"""latency.png and quality.png: the two pictures that one pastes elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...runtime.errors import need
from ..choosing import front, less_is_better, score_name
from ..rows import Row
from .charts import LEAST_SPAN, hue

HUES = ("#2166ac", "#c2570c", "#2e7d4f", "#8e44ad", "#957000", "#b02a5b", "#6b7280")
"""As the page's, in light."""


def latency(path: Path, rows: Sequence[Row]) -> Path:
    """Bars at the median with its interval, a thin line on to the 99th percentile; fastest on top."""
    figure, axes = _figure(1.2 + 0.42 * len(rows))
    for y, row in enumerate(rows):
        if row.headline is None:
            continue
        ms, far = row.headline.ms, row.headline.latency_ms.get("p99", row.headline.ms)
        axes.barh(y, ms, color=HUES[hue(row)], height=0.62, alpha=0.35 if row.wrong else 1.0)
        axes.plot((ms, far), (y, y), color="black", linewidth=1)
        if row.headline.interval_ms:
            axes.plot(row.headline.interval_ms, (y, y), color="black", linewidth=4, solid_capstyle="butt")
        axes.text(max(far, ms), y, f"  {ms:.2f}", va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [row.name + " · wrong" * bool(row.wrong) for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel("milliseconds: median and its 95% interval (thick), line to the 99th percentile")
    figure.savefig(path, dpi=120)
    return path


def quality(path: Path, rows: Sequence[Row], score: str) -> Path:
    """Time against a score; a line joins the rows that no other beats in both."""
    shown = [row for row in rows if row.headline and score in row.quality]
    figure, axes = _figure(4.5)
    for row in shown:
        if row.headline is not None:
            ms, ends = row.headline.ms, row.headline.interval_ms or (row.headline.ms, row.headline.ms)
            axes.plot(ends, (row.quality[score],) * 2, color=HUES[hue(row)], linewidth=1.5)
            axes.plot(ms, row.quality[score], "o", color=HUES[hue(row)], alpha=0.35 if row.wrong else 1.0)
            axes.annotate(row.name, (ms, row.quality[score]), (6, 5), textcoords="offset points", fontsize=8)
    best = [(row.headline.ms, row.quality[score]) for row in front(shown, score) if row.headline]
    if best:
        axes.step(*zip(*best, strict=True), where="post", color="#999999", linestyle="--", linewidth=1)
    axes.margins(x=0.2, y=0.2)
    low, high = axes.get_ylim()
    if high - low < LEAST_SPAN:  # equal answers shall look equal
        axes.set_ylim((low + high - LEAST_SPAN) / 2, (low + high + LEAST_SPAN) / 2)
    axes.ticklabel_format(useOffset=False)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.set_xlabel("milliseconds, median and 95% interval")
    axes.set_ylabel(score_name(score) + (" (less is better)" if less_is_better(score) else ""))
    figure.savefig(path, dpi=120)
    return path


def _figure(height_in: float) -> tuple[Any, Any]:
    need("matplotlib").use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height_in), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
