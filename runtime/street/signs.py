"""What a street puts up on its pavements: lamps, traffic lights, signs, advertising columns and boards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .classes import SIGN
from .look import Look, Rng, any_colour, hsv
from .models import Solid, disc
from .view import lit

Bar = Callable[..., None]


def sign(kind: str, look: Look, rng: Rng) -> Solid:
    """One of `KINDS` as a solid that faces the camera."""
    out = Solid(SIGN)
    steel = lit(hsv(rng.choice([0.4, 0.6]), rng.uniform(0, 0.3), rng.uniform(0.12, 0.26)), look)

    def bar(x0: float, y0: float, x1: float, y1: float, colour: np.ndarray, size: float = 9) -> None:
        out.add([(x0, y0, 0), (x1, y0, 0), (x1, y1, 0), (x0, y1, 0)], colour, size)

    KINDS[kind](out, bar, steel, look, rng)
    return out.freeze()


def mast(bar: Bar, steel: np.ndarray, tall: float, half: float) -> None:
    """Adds a round mast with a foot."""
    bar(-half, 0, half, tall, steel)
    bar(-half, 0, -half * 0.2, tall, steel * 0.7, 0.15)
    bar(-half * 1.6, 0, half * 1.6, 0.5, steel * 0.8)


def lamp(out: Solid, bar: Bar, steel: np.ndarray, look: Look, rng: Rng) -> None:
    """Adds a lantern on a mast."""
    tall = float(rng.uniform(3.4, 4.6))
    mast(bar, steel, tall, 0.2)
    glass = np.array((190.0, 235.0, 255.0)) if look.light.lamps > 0.25 else lit((205, 214, 214), look)
    lantern = [(-0.24, tall, 0), (0.24, tall, 0), (0.42, tall + 0.8, 0), (-0.42, tall + 0.8, 0)]
    out.add(lantern, glass)
    bar(-0.05, tall, 0.05, tall + 0.8, steel * 0.7, 0.15)
    bar(-0.3, tall - 0.12, 0.3, tall, steel * 0.8)
    out.add([(-0.52, tall + 0.8, 0), (0.52, tall + 0.8, 0), (0, tall + 1.15, 0)], steel * 0.8)


def lights(out: Solid, bar: Bar, steel: np.ndarray, look: Look, rng: Rng) -> None:
    """Adds traffic lights."""
    mast(bar, steel, 2.4, 0.2)
    bar(-0.38, 1.95, 0.38, 3.75, lit((222, 224, 226), look))
    bar(-0.33, 2.0, 0.33, 3.7, lit((34, 38, 36), look))
    on = int(rng.integers(3))
    for step, colour in enumerate(((60, 220, 60), (40, 190, 250), (50, 50, 250))):
        glow = np.array(colour, dtype=float) * (1.0 if step == on else 0.3)
        out.add(disc(0, 2.32 + 0.53 * step, 0, 0.21, corners=10), glow, 0.2)


def column(out: Solid, bar: Bar, steel: np.ndarray, look: Look, rng: Rng) -> None:
    """Adds an advertising column, round, with posters and a cap."""
    half, tall = 0.68, float(rng.uniform(2.9, 3.4))
    wall = lit(hsv(rng.random(), rng.uniform(0.0, 0.12), rng.uniform(0.8, 0.92)), look)
    bar(-half, 0, half, tall, wall)
    bar(-half * 1.08, 0, half * 1.08, 0.35, steel * 0.8)
    for row in range(2):
        for x0, x1, shade in ((-0.94, -0.5, 0.75), (-0.42, 0.34, 1.0), (0.42, 0.94, 0.85)):
            y0 = 0.5 + row * (tall - 0.6) / 2
            y1, poster = y0 + (tall - 0.9) / 2, any_colour(rng)
            bar(x0 * half, y0, x1 * half, y1, lit(poster, look, shade), 0.3)
            middle = (x0 + x1) / 2 * half
            out.add(disc(middle, (y0 + y1) / 2, 0, 0.13, corners=9), lit(any_colour(rng), look, shade), 0.2)
    bar(-half * 1.12, tall, half * 1.12, tall + 0.22, steel)
    out.add([(-half, tall + 0.22, 0), (half, tall + 0.22, 0), (0.2, tall + 0.6, 0), (-0.2, tall + 0.6, 0)], steel * 0.8)


def board(out: Solid, bar: Bar, steel: np.ndarray, look: Look, rng: Rng) -> None:
    """Adds a poster in a frame on two legs."""
    half, low, top = 0.7, 0.7, float(rng.uniform(2.7, 3.0))
    for x in (-1, 1):
        bar(x * half * 0.75 - 0.11, 0, x * half * 0.75 + 0.11, low + 0.1, steel * 0.8)
    bar(-half, low, half, top, lit((225, 228, 230), look))
    bar(-half + 0.13, low + 0.13, half - 0.13, top - 0.13, steel * 0.7)
    shines = look.light.lamps > 0.25
    poster, ink = np.array(any_colour(rng)), np.array(any_colour(rng))
    poster, ink = (poster, ink) if shines else (lit(poster, look), lit(ink, look))
    bar(-half + 0.18, low + 0.18, half - 0.18, top - 0.18, poster)
    bar(-half + 0.18, top - 0.5, half - 0.18, top - 0.18, ink)
    out.add(disc(0.1, (low + top) / 2 + 0.12, 0, 0.34, corners=11), ink, 0.3)
    for line in range(3):
        bar(
            -half + 0.25,
            low + 0.25 + 0.2 * line,
            half - rng.uniform(0.25, 0.7),
            low + 0.36 + 0.2 * line,
            ink * 0.8,
            0.2,
        )


def plate(out: Solid, bar: Bar, steel: np.ndarray, look: Look, rng: Rng) -> None:
    """Adds a traffic sign: a limit, no entry, a warning, an order, a right of way, a place for parking."""
    y = float(rng.uniform(2.6, 3.0))
    mast(bar, steel, y, 0.18)
    white, black = lit((232, 234, 236), look), lit((36, 34, 34), look)
    red, blue, yellow = lit((44, 36, 200), look), lit((176, 84, 30), look), lit((40, 188, 236), look)

    def ring(radius: float, colour: np.ndarray, corners: int = 14, turn: float = 0.0) -> None:
        angle = (np.linspace(0, 1, corners, endpoint=False) + turn) * 2 * np.pi
        out.add(
            np.stack((1.35 * radius * np.cos(angle), y + 1.35 * radius * np.sin(angle), 0 * angle), axis=1),
            colour,
            radius,
        )

    def mark(x0: float, y0: float, x1: float, y1: float, colour: np.ndarray) -> None:
        out.add([(1.3 * x, y + 1.3 * v, 0) for x, v in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))], colour, 0.25)

    kind = rng.choice(["limit", "no entry", "warning", "order", "priority", "parking"])
    if kind == "limit":
        ring(0.5, red)
        ring(0.36, white)
        mark(-0.18, -0.16, -0.04, 0.16, black)
        mark(0.04, -0.16, 0.18, 0.16, black)
    elif kind == "no entry":
        ring(0.5, red)
        mark(-0.34, -0.09, 0.34, 0.09, white)
    elif kind == "warning":
        ring(0.66, red, 3, 0.25)
        ring(0.40, white, 3, 0.25)
        mark(-0.05, -0.12, 0.05, 0.16, black)
    elif kind == "order":
        ring(0.5, white)
        ring(0.46, blue)
        mark(-0.06, -0.25, 0.06, 0.25, white)
    elif kind == "priority":
        ring(0.6, white, 4)
        ring(0.44, yellow, 4)
    else:
        ring(0.62, blue, 4, 0.125)
        mark(-0.16, -0.26, -0.05, 0.28, white)
        mark(-0.05, 0.0, 0.18, 0.28, white)


KINDS: dict[str, Callable[[Solid, Bar, np.ndarray, Look, Rng], None]] = {
    "lamp": lamp,
    "lights": lights,
    "plate": plate,
    "column": column,
    "board": board,
}
