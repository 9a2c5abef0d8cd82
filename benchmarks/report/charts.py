"""The report's charts: time against quality, how times are spread, what the stages of a whole frame take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ...runtime.backends import BACKENDS
from ..choosing import brief, front, less_is_better, score_name
from ..rows import PIPELINE, Row
from . import svg

LEAST_SPAN = 0.02
"""Least range of a score from 0 to 1 that is shown, so that equal answers look equal."""
BINS, TAIL = 120, 99.5
"""Of a histogram; what is above this percentile over all rows is counted in its last bin."""
LEFT, RIGHT = 12.0, svg.WIDTH - 16


def hue(row: Row) -> int:
    """A colour a backend, in BACKENDS' order; other people's runs come after them."""
    known = list(BACKENDS)
    return known.index(row.backend) % 6 if row.backend in known and not row.label else 6


def quality(rows: Sequence[Row], score: str) -> str:
    """Median time with its interval against a score; a line joins the rows that no other beats in both.

    Args:
        rows: right ones; those without the score are left out.
        score: one of the rows' `quality`.
    """
    shown = [row for row in rows if row.good and score in row.quality]
    names, (height, left, top, bottom) = brief(shown), (380.0, 70.0, 16.0, 330.0)
    most_ms = 1.12 * max(_ends(row)[1] for row in shown)
    values = [row.quality[score] for row in shown]
    low, high = _span(values, LEAST_SPAN if max(values) <= 1 else 0.1 * max(values))
    place = [(left + (RIGHT - left) * _ms(row) / most_ms,
              bottom - (bottom - top) * (row.quality[score] - low) / (high - low)) for row in shown]
    parts = _grid(left, top, bottom, most_ms)
    for value in svg.ticks(low, high, 5):
        y = bottom - (bottom - top) * (value - low) / (high - low)
        parts += [svg.line(left, y, RIGHT, y, "grid"), svg.text(left - 8, y + 4, svg.number(value), anchor="end")]
    best = [place[shown.index(row)] for row in front(shown, score)]
    steps = [best[0]] + [p for a, b in pairwise(best) for p in ((b[0], a[1]), b)] if best else []
    parts.append(svg.path(steps, "front"))
    taken = [(x - 8, y, 16.0) for x, y in place]
    for row, (x, y) in zip(shown, place, strict=True):
        ends = [left + (RIGHT - left) * ms / most_ms for ms in _ends(row)]
        parts += [svg.line(ends[0], y, ends[1], y, "whisker", hue(row)), svg.dot(x, y, 6, hue(row), title=row.name)]
    for row, (x, y) in zip(shown, place, strict=True):
        parts.append(_label(names[id(row)], x, y, taken, top, bottom))
    parts += [svg.text((left + RIGHT) / 2, height - 8, "milliseconds, median and 95% interval; left is faster",
                       anchor="middle"),
              svg.text(left, top - 4, score_name(score) + (", less is better" if less_is_better(score) else ""))]
    return svg.chart(parts, height, f"time against {score_name(score)}")


def spread(rows: Sequence[Row]) -> str:
    """A histogram of every right row's calls on one scale; ticks at the median and the 90th and 99th percentiles."""
    timed = [row for row in rows if row.headline and _samples(row).size]
    shown = [row for row in timed if not row.wrong] or timed
    names, edge = brief(shown), max(float(np.percentile(_samples(row), TAIL)) for row in shown)
    edge = min(edge, 4 * max(_ms(row) for row in shown))
    step, tall = 58.0, 30.0
    bottom = 14 + step * len(shown)
    parts = _grid(LEFT, 8, bottom, edge)
    for i, row in enumerate(shown):
        samples, base = _samples(row), 14 + step * (i + 1) - 8
        counts, _ = np.histogram(np.minimum(samples, edge), BINS, (0, edge))
        width = (RIGHT - LEFT) / BINS
        heights = tall * counts / counts.max()
        parts += [svg.bar(LEFT + width * k, base - h, width - 0.6, h, hue(row)) for k, h in enumerate(heights) if h]
        beyond = int((samples > edge).sum())
        marks = {p: float(np.percentile(samples, p)) for p in (50, 90, 99)}
        parts += [svg.line(x, base - 4, x, base + 5, "mark") for x in
                  (LEFT + (RIGHT - LEFT) * min(ms, edge) / edge for ms in marks.values())]
        said = " · ".join(f"p{p} {ms:.2f}" for p, ms in marks.items()) + (f" · {beyond} beyond" if beyond else "")
        parts += [svg.text(LEFT, base - tall - 4, names[id(row)], kind="name"),
                  svg.text(RIGHT, base - tall - 4, said, anchor="end")]
    parts.append(svg.text((LEFT + RIGHT) / 2, bottom + 32, "milliseconds a call", anchor="middle"))
    return svg.chart(parts, bottom + 40, "how the times of calls are spread")


def stages(rows: Sequence[Row]) -> str:
    """What each stage of a whole frame takes, side by side; stages of different frames overlap."""
    shown = [row for row in rows if PIPELINE in row.scenarios]
    names = list(dict.fromkeys(name for row in shown for name in row.scenarios[PIPELINE].stages_ms))
    total = max(sum(row.scenarios[PIPELINE].stages_ms.values()) for row in shown)
    step, names_of = 46.0, brief(shown)
    parts = []
    for i, name in enumerate(names):
        x = LEFT + 118 * i
        parts += [svg.bar(x, 4, 12, 12, kind=f"s{i % 6}"), svg.text(x + 17, 14, name)]
    for i, row in enumerate(shown):
        scenario, x, y = row.scenarios[PIPELINE], LEFT, 48 + step * i
        parts += [svg.text(LEFT, y - 5, names_of[id(row)], kind="name"),
                  svg.text(RIGHT, y - 5, f"{scenario.ms:.2f} ms a frame, {scenario.fps:.0f} frames/s", anchor="end")]
        for k, name in enumerate(names):
            ms = scenario.stages_ms.get(name, 0.0)
            width = (RIGHT - LEFT) * ms / total
            parts.append(svg.bar(x, y, width, 18, kind=f"s{k % 6}", title=f"{name} {ms:.2f} ms"))
            if width > 44:
                parts.append(svg.text(x + width / 2, y + 13, f"{ms:.2f}", anchor="middle", kind="on"))
            x += width
    return svg.chart(parts, 44 + step * len(shown), "milliseconds of each stage")


def _grid(left: float, top: float, bottom: float, most: float) -> list[str]:
    """Upright lines and labels of an axis of milliseconds from 0."""
    parts = [svg.line(left, bottom, RIGHT, bottom, "axis")]
    for value in svg.ticks(0, most, 6):
        x = left + (RIGHT - left) * value / most
        parts += [svg.line(x, top, x, bottom, "grid"), svg.text(x, bottom + 16, svg.number(value), anchor="middle")]
    return parts


def _label(words: str, x: float, y: float, taken: list[tuple[float, float, float]], top: float, bottom: float) -> str:
    """A point's name beside it: to its left near the right edge, and moved up or down where another lies there."""
    wide = 6.7 * len(words)
    start = x + 10 if x + 10 + wide < RIGHT else x - 10 - wide
    for shift in (4, -10, 18, -24, 32, -38, 46, -52, 60):
        at = y + shift
        free = all(abs(at - ty) > 13 or start + wide < tx or tx + tw < start for tx, ty, tw in taken)
        if free and top + 8 < at < bottom - 2:
            break
    taken.append((start, at, wide))
    return svg.text(start, at, words, kind="name")


def _span(values: Sequence[float], least: float) -> tuple[float, float]:
    """The values' range with a margin, no smaller than `least`."""
    low, high = min(values), max(values)
    margin = max(0.15 * (high - low), (least - (high - low)) / 2)
    return low - margin, high + margin


def _ends(row: Row) -> tuple[float, float]:
    return (row.headline and row.headline.interval_ms) or (_ms(row), _ms(row))


def _ms(row: Row) -> float:
    return row.headline.ms if row.headline else 0.0


def _samples(row: Row) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray([ms for r in row.headline.rounds for ms in r.samples_ms] if row.headline else [], np.float64)
