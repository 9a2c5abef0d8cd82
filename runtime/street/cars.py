"""Cars as solids: a body, a cabin with panes, wheels, lamps and a plate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .classes import CAR
from .look import Colour, Look, Rng, any_colour, hsv
from .models import Solid, disc
from .view import lit

LOW_M, SILL_M = 0.24, 0.46


@dataclass(frozen=True)
class CarDesign:
    """Measures of a car in metres, and its colour."""

    long: float
    half: float
    deck: float
    roof: float
    cabin: tuple[float, float, float, float]  # from the rear: foot, top, top, foot, shares of the length
    colour: Colour
    panes: int = 2


def car_design(rng: Rng) -> CarDesign:
    """A hatchback, saloon, tall car, van or bus."""
    kind = int(rng.choice(5, p=[0.3, 0.28, 0.22, 0.14, 0.06]))
    colour = hsv(0.6, rng.uniform(0, 0.15), rng.uniform(0.12, 0.95)) if rng.random() < 0.45 else any_colour(rng)
    return [
        CarDesign(4.0, 0.86, 0.92, 1.50, (0.02, 0.12, 0.52, 0.72), colour),
        CarDesign(4.6, 0.88, 0.90, 1.44, (0.16, 0.30, 0.56, 0.74), colour),
        CarDesign(4.6, 0.94, 1.08, 1.75, (0.02, 0.08, 0.56, 0.74), colour),
        CarDesign(5.2, 1.00, 1.20, 2.20, (0.0, 0.02, 0.76, 0.90), colour, 3),
        CarDesign(9.5, 1.22, 1.15, 3.00, (0.0, 0.005, 0.985, 1.0), colour, 6),
    ][kind]


def car(design: CarDesign, look: Look, side: int, front: bool) -> Solid:
    """A car as seen with its `side` (-1 left, +1 right) and its front or its rear towards the camera.

    x 0 and z 0 are its middle; z grows away from the camera.
    """
    d, end = design, design.long / 2
    shares = [1 - share for share in d.cabin[::-1]] if front else list(d.cabin)
    foot0, top0, top1, foot1 = [share * d.long - end for share in shares]
    nose = d.deck - (0.0 if d.cabin[0] < 0.1 and not front else 0.12)
    side_light = 1.0 if side == look.sun_side or look.light.sun == 0 else 0.72
    out = Solid(CAR)
    body(out, design, look, side * d.half, (foot0, foot1, nose), side_light)
    wheels(out, design, look, side * d.half)
    face(out, design, look, nose, front)
    cabin(out, design, look, side, (foot0, top0, top1, foot1), side_light)
    return out.freeze()


def body(out: Solid, d: CarDesign, look: Look, flank: float, at: tuple[float, float, float], light: float) -> None:
    """Adds the lower body: hull, tyres, flank and deck; the flank is the one the camera sees."""
    foot0, foot1, nose = at
    end, tail = d.long / 2, d.deck - 0.1
    profile = [(LOW_M, -end), (nose, -end), (d.deck, foot0), (d.deck, foot1), (tail, end), (LOW_M, end)]
    shell = [(x, y, z) for x in (-d.half, d.half) for y, z in profile]
    out.add(shell, lit(d.colour, look, 0.7), hull=True)
    rubber = lit((28, 27, 27), look)
    for x in (-1, 1):
        x0, x1, z = x * (d.half - 0.26), x * d.half, 0.5 - end
        out.add([(x0, 0, z), (x1, 0, z), (x1, 0.5, z), (x0, 0.5, z)], rubber, 0.25)
    out.add([(flank, y, z) for y, z in profile], lit(d.colour, look, light * 0.9))
    skirt = [(LOW_M, -end), (SILL_M - 0.06, -end), (SILL_M - 0.06, end), (LOW_M, end)]
    out.add([(flank, y, z) for y, z in skirt], lit(d.colour, look, 0.45), 0.2)
    crease = [(d.deck - 0.2, -end), (d.deck - 0.14, -end), (d.deck - 0.14, end), (d.deck - 0.2, end)]
    out.add([(flank, y, z) for y, z in crease], lit(d.colour, look, light * 0.75), 0.06)
    deck = [(-d.half, nose, -end), (d.half, nose, -end), (d.half, d.deck, foot0), (-d.half, d.deck, foot0)]
    out.add(deck, lit(d.colour, look, 1.15))


def wheels(out: Solid, d: CarDesign, look: Look, flank: float) -> None:
    """Adds two wheels in their arches."""
    arch, rubber, rim = lit((20, 18, 16), look), lit((30, 29, 29), look), lit((158, 158, 160), look)
    for z in (-0.31 * d.long, 0.31 * d.long):
        out.add(disc(flank * 1.005, 0.34, z, 0.40, True), arch, 0.3)
        out.add(disc(flank * 1.010, 0.32, z, 0.32, True), rubber, 0.3)
        out.add(disc(flank * 1.015, 0.32, z, 0.19, True, 9), rim, 0.2)
        out.add(disc(flank * 1.020, 0.32, z, 0.08, True, 6), rubber, 0.08)


def face(out: Solid, d: CarDesign, look: Look, nose: float, front: bool) -> None:
    """Adds the end that the camera sees: bumper, lamps, grille, plate."""
    z = -d.long / 2
    shape = [(-d.half, LOW_M + 0.1), (0.1 - d.half, LOW_M), (d.half - 0.1, LOW_M), (d.half, LOW_M + 0.1),
             (d.half, nose - 0.1), (d.half - 0.08, nose), (0.08 - d.half, nose), (-d.half, nose - 0.1)]  # fmt: skip
    out.add([(x, y, z) for x, y in shape], lit(d.colour, look, 0.95 if front else 0.82))
    dark = lit((48, 42, 38), look, 0.9)

    def bar(x0: float, y0: float, x1: float, y1: float, colour: np.ndarray, size: float = 0.12) -> None:
        out.add([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], colour, size)

    bar(0.08 - d.half, LOW_M + 0.02, d.half - 0.08, SILL_M, dark)
    shines = look.light.lamps > 0.25
    if front:
        lamp = np.array((215.0, 245.0, 255.0)) if shines else lit((226, 228, 224), look)
    else:
        lamp = np.array((40.0, 40.0, 250.0)) if shines else lit((36, 34, 176), look)
    top = nose - 0.12
    for x in (-1, 1):
        bar(x * (d.half - 0.05), top - (0.17 if front else 0.22), x * (d.half - 0.38), top, lamp, 0.22)
    if front:
        bar(-0.42, SILL_M + 0.06, 0.42, top - 0.02, dark, 0.2)
    bar(-0.27, SILL_M - 0.04, 0.27, SILL_M + 0.09, lit((196, 222, 226), look))


def cabin(out: Solid, d: CarDesign, look: Look, side: int, at: tuple[float, ...], light: float) -> None:
    """Adds the cabin: hull, pillars, side panes, roof, the pane towards the camera with the sky in it."""
    foot0, top0, top1, foot1 = at
    wide, narrow = d.half - 0.04, d.half - (0.08 if d.panes > 4 else 0.22)
    sky = np.asarray(look.light.low_sky)
    glass = lit((52, 44, 38), look, 0.6) + sky * 0.22
    ends = [(wide, d.deck, foot0), (narrow, d.roof, top0), (narrow, d.roof, top1), (wide, d.deck, foot1)]
    out.add([(s * x, y, z) for s in (-1, 1) for x, y, z in ends], lit(d.colour, look, 0.7), hull=True)
    out.add([(side * x, y, z) for x, y, z in ends], lit(d.colour, look, light * 0.84))

    def spot(share: float, up: float) -> tuple[float, float, float]:
        foot, top = foot0 + (foot1 - foot0) * share, top0 + (top1 - top0) * share
        return side * (wide + (narrow - wide) * up) * 1.01, d.deck + (d.roof - d.deck) * up, foot + (top - foot) * up

    for pane in range(d.panes):
        a, b = pane / d.panes + 0.03, (pane + 1) / d.panes - 0.03
        out.add([spot(a, 0.1), spot(b, 0.1), spot(b, 0.86), spot(a, 0.86)], glass * (0.9 + 0.15 * (pane % 2)), 0.25)
    roof = [(-narrow, d.roof, top0), (narrow, d.roof, top0), (narrow, d.roof, top1), (-narrow, d.roof, top1)]
    out.add(roof, lit(d.colour, look, 1.2))
    slope = [(-wide, d.deck, foot0), (wide, d.deck, foot0), (narrow, d.roof, top0), (-narrow, d.roof, top0)]
    out.add(slope, lit(d.colour, look, 0.88))

    def facing(x: float, up: float) -> tuple[float, float, float]:
        reach = (wide + (narrow - wide) * up) * 0.9
        return x * reach, d.deck + (d.roof - d.deck) * up, foot0 + (top0 - foot0) * up - 0.02

    out.add([facing(-1, 0.1), facing(1, 0.1), facing(1, 0.9), facing(-1, 0.9)], glass, 0.25)
    gleam = [facing(-0.3, 0.1), facing(0.5, 0.1), facing(1, 0.6), facing(1, 0.9), facing(0.5, 0.9)]
    out.add(gleam, glass * 0.72 + sky * 0.28, 0.35)
