"""What makes one scene differ from the next: light, weather, camera, the shape of the street, its colours."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
Rng = np.random.Generator


@dataclass(frozen=True)
class Light:
    """The light over a scene. Colours are BGR, 0 to 255; tint multiplies every lit surface."""

    zenith: Colour
    low_sky: Colour
    tint: Colour
    sun: float  # 0 has no shadows, 1 has hard ones
    lamps: float  # share of windows and lamps that are on
    clouds: float
    haze_per_m: float


# name: (zenith, low sky, tint, sun, lamps, clouds, haze per metre)
LIGHTS: dict[str, Light] = {
    "noon": Light((196, 138, 74), (232, 210, 178), (1.02, 1.02, 1.04), 0.9, 0.0, 0.35, 0.002),
    "morning": Light((186, 160, 122), (206, 218, 236), (0.86, 0.96, 1.08), 0.75, 0.05, 0.4, 0.005),
    "overcast": Light((172, 166, 160), (206, 202, 198), (0.90, 0.88, 0.86), 0.0, 0.08, 0.9, 0.004),
    "rain": Light((124, 116, 108), (160, 154, 148), (0.72, 0.69, 0.66), 0.0, 0.3, 1.0, 0.008),
    "fog": Light((190, 188, 186), (202, 200, 198), (0.86, 0.85, 0.84), 0.0, 0.15, 0.1, 0.013),
    "golden": Light((176, 142, 112), (128, 184, 240), (0.66, 0.86, 1.12), 0.8, 0.15, 0.5, 0.005),
    "dusk": Light((128, 86, 78), (120, 132, 208), (0.66, 0.58, 0.62), 0.0, 0.5, 0.6, 0.005),
    "night": Light((58, 38, 30), (82, 64, 58), (0.66, 0.56, 0.52), 0.0, 0.6, 0.5, 0.006),
}
LIGHT_SHARE = (0.22, 0.15, 0.18, 0.10, 0.06, 0.13, 0.10, 0.06)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """The BGR colour, 0 to 255, of a hue in turns, a saturation and a value in 0 to 1."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return (b * 255, g * 255, r * 255)


def any_colour(rng: Rng) -> Colour:
    """A colour of anything made by people: mostly muted, sometimes loud, of any hue."""
    kind = rng.random()
    if kind < 0.35:
        return hsv(rng.random(), rng.uniform(0, 0.12), rng.uniform(0.12, 0.92))
    if kind < 0.60:
        return hsv(rng.uniform(0.0, 0.12), rng.uniform(0.25, 0.65), rng.uniform(0.3, 0.85))
    hue = rng.random() if rng.random() < 0.55 else rng.uniform(0.14, 0.40)
    return hsv(hue, rng.uniform(0.2, 0.7), rng.uniform(0.25, 0.8))


def paving_colour(rng: Rng) -> Colour:
    """A colour of a ground people build: greys from dark to pale, sand, red brick, a hint of any hue."""
    kind = rng.random()
    if kind < 0.5:
        return hsv(rng.random(), rng.uniform(0.0, 0.14), rng.uniform(0.24, 0.72))
    if kind < 0.72:
        return hsv(rng.uniform(0.0, 0.11), rng.uniform(0.2, 0.5), rng.uniform(0.32, 0.72))
    return hsv(rng.uniform(0.12, 0.65), rng.uniform(0.1, 0.4), rng.uniform(0.3, 0.65))


def leaf_colour(rng: Rng) -> Colour:
    """A colour of leaves: greens, autumn from yellow to red-brown, dusty and dark ones."""
    kind = rng.random()
    if kind < 0.55:
        return hsv(rng.uniform(0.19, 0.37), rng.uniform(0.35, 0.7), rng.uniform(0.34, 0.64))
    if kind < 0.85:
        return hsv(rng.uniform(0.01, 0.15), rng.uniform(0.45, 0.8), rng.uniform(0.42, 0.8))
    return hsv(rng.uniform(0.15, 0.45), rng.uniform(0.12, 0.3), rng.uniform(0.34, 0.6))


@dataclass(frozen=True)
class Look:
    """All random choices of a scene that stay the same along the drive. Lengths are metres."""

    light: Light
    focal: float  # in picture widths
    eye_m: float
    horizon: float  # in picture heights
    drive_side: int  # +1 drives on the right
    road_half_m: float
    lane_m: float
    pavement_m: tuple[float, float]  # left, right
    cover: tuple[str, str]  # what lies behind the pavement: lawn or paving
    sun_side: int
    speed_m: float  # a frame
    bend: tuple[float, float, float, float]  # curvature 1/m and phase of a slow and a slower sway
    filled: tuple[float, float]  # share of plots with a building, left and right
    parked: float
    traffic: float
    people: float
    trees: float
    signs: float
    noise: float
    contrast: float


def look_of(rng: Rng) -> Look:
    """The look of a scene, drawn from `rng`."""
    light = list(LIGHTS.values())[int(rng.choice(len(LIGHTS), p=LIGHT_SHARE))]
    lane = float(rng.uniform(2.5, 3.1))
    bend = float(rng.uniform(0.0005, 0.0045))
    return Look(
        light=light,
        focal=float(rng.uniform(0.95, 1.25)),
        eye_m=float(rng.uniform(1.2, 2.1)),
        horizon=float(rng.uniform(0.28, 0.66)),
        drive_side=1 if rng.random() < 0.65 else -1,
        road_half_m=lane + float(rng.choice([0.2, 0.4, 2.1])),
        lane_m=lane,
        pavement_m=(float(rng.uniform(2.6, 5.5)), float(rng.uniform(2.6, 5.5))),
        cover=("lawn" if rng.random() < 0.5 else "paving", "lawn" if rng.random() < 0.5 else "paving"),
        sun_side=1 if rng.random() < 0.5 else -1,
        speed_m=float(rng.uniform(0.22, 0.42)),
        bend=(bend, float(rng.uniform(0, 6.28)), float(rng.uniform(0.0005, 0.003)), float(rng.uniform(0, 6.28))),
        filled=(float(rng.choice([0.3, 0.7, 0.95])), float(rng.choice([0.3, 0.7, 0.95]))),
        parked=float(rng.uniform(0.1, 0.4)),
        traffic=float(rng.uniform(0.3, 1.0)),
        people=float(rng.uniform(0.5, 1.0)),
        trees=float(rng.uniform(0.1, 0.9)),
        signs=float(rng.uniform(0.6, 1.0)),
        noise=float(rng.uniform(1.0, 4.5)),
        contrast=float(rng.uniform(0.85, 1.15)),
    )
