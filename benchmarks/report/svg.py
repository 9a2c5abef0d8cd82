"""A few shapes of SVG and an axis: enough for charts that follow the page's light or dark and need no script."""

from __future__ import annotations

import math
from html import escape

WIDTH = 760.0
"""Of every chart, in its own units; the page scales it."""


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    """Words that begin (`start`), end (`end`) or are centred (`middle`) at x."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{_kind(kind)}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "", hue: int | None = None) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{_kind(kind, hue)}/>'


def bar(x: float, y: float, width: float, height: float, hue: int | None = None, kind: str = "",
        title: str = "") -> str:
    """A filled rectangle; the title shows where a mouse rests on it."""
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}"{_kind(kind, hue)}>'
            f"{_title(title)}</rect>")


def dot(x: float, y: float, radius: float, hue: int | None = None, kind: str = "", title: str = "") -> str:
    """A filled circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"{_kind(kind, hue)}>{_title(title)}</circle>'


def path(points: list[tuple[float, float]], kind: str = "", hue: int | None = None) -> str:
    """A line through points."""
    steps = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
    return f'<path d="{steps}"{_kind(kind, hue)}/>'


def chart(parts: list[str], height: float, label: str, width: float = WIDTH) -> str:
    """The chart, as wide as its column lets it be; `label` is read aloud in its place."""
    return (f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">'
            + "".join(parts) + "</svg>")


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values from `low` to `high`, about `count` of them."""
    raw = (high - low) / max(count, 1) or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A tick's label: no more digits than it needs."""
    return f"{value:.10g}" if abs(value) >= 1e-12 else "0"


def _kind(kind: str, hue: int | None = None) -> str:
    names = " ".join(name for name in (kind, "" if hue is None else f"h{hue}") if name)
    return f' class="{names}"' if names else ""


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""
