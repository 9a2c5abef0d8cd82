"""Textures of what stands behind the pavement: fronts and sides of houses, hedges, garden walls."""

from __future__ import annotations

import cv2
import numpy as np

from .classes import BUILDING, VEGETATION
from .look import Colour, Look, Rng, any_colour, hsv, leaf_colour
from .view import lit

FLOOR_M = 3.1
LEAVES = 560


def mottle(rng: Rng, shape_hw: tuple[int, int], cell_px: float, amount: float) -> np.ndarray:
    """A soft random pattern (h, w, 1) float32 around 1, for weathered surfaces."""
    h, w = shape_hw
    small = rng.standard_normal((max(int(h / cell_px), 2), max(int(w / cell_px), 2)), dtype=np.float32)
    soft = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
    return np.asarray(1 + amount * soft)[..., None]


def blocks(
    rng: Rng, shape_hw: tuple[int, int], block_wh: tuple[float, float], stagger: float, spread: float, joint: float
) -> np.ndarray:
    """A pattern (h, w, 1) float32 around 1 of laid blocks: bricks, slabs, panels, tiles.

    Args:
        rng: where the shade of each block comes from.
        shape_hw: size of the pattern.
        block_wh: size of a block in pixels.
        stagger: by which share of a block every other course is moved.
        spread: how much blocks differ.
        joint: what the joints are multiplied by.
    """
    h, w = shape_hw
    rows, cols = np.arange(h), np.arange(w)
    course = (rows / block_wh[1]).astype(int)
    along = cols[None, :] / block_wh[0] + (course % 2)[:, None] * stagger
    column = along.astype(int)
    shades = (1 + spread * rng.standard_normal((course[-1] + 1, column.max() + 1))).astype(np.float32)
    pattern = shades[course[:, None], column]
    if min(block_wh) >= 2.5:
        pattern[np.diff(course, prepend=-1) > 0] = joint
        pattern[np.diff(column, axis=1, prepend=-1) > 0] = joint
    return np.asarray(pattern[..., None])


def labelled(picture: np.ndarray, label: int) -> np.ndarray:
    """A BGR float picture as a (h, w, 4) uint8 texture with its class id in the fourth channel."""
    out = np.empty((*picture.shape[:2], 4), np.uint8)
    out[..., :3] = np.clip(picture, 0, 255)
    out[..., 3] = label
    return out


def masonry(rng: Rng, look: Look, colour: Colour, shape_hw: tuple[int, int], ppm: float, shade: float) -> np.ndarray:
    """A bare wall, BGR float: bricks, stone blocks, panels or plaster."""
    kind = rng.choice(["brick", "stone", "panel", "plaster"], p=[0.4, 0.25, 0.2, 0.15])
    wall = np.zeros((*shape_hw, 3), np.float32) + lit(colour, look, shade).astype(np.float32)
    if kind == "brick":
        wall *= blocks(rng, shape_hw, (0.46 * ppm, 0.19 * ppm), 0.5, 0.11, rng.choice([0.72, 1.25]))
    elif kind == "stone":
        wall *= blocks(rng, shape_hw, (0.9 * ppm, 0.5 * ppm), 0.5, 0.07, 0.75)
    elif kind == "panel":
        wall *= blocks(rng, shape_hw, (2.4 * ppm, FLOOR_M * ppm), 0.0, 0.04, 0.7)
    wall *= mottle(rng, shape_hw, 0.25 * ppm, 0.03) * mottle(rng, shape_hw, 3 * ppm, 0.06)
    return wall


def box(picture: np.ndarray, x0: float, y0: float, x1: float, y1: float, colour: np.ndarray) -> None:
    """Fills a rectangle."""
    cv2.rectangle(picture, (round(x0), round(y0)), (round(x1) - 1, round(y1) - 1), colour.tolist(), -1)


def window(
    picture: np.ndarray, rng: Rng, look: Look, at: tuple[float, float, float, float], frame: np.ndarray, ppm: float
) -> None:
    """Paints one window into x0, y0, x1, y1: frame, sill, glass that mirrors the sky or shines, panes."""
    x0, y0, x1, y1 = at
    rim = max(0.09 * ppm, 1)
    box(picture, x0 - rim, y0 - rim, x1 + rim, y1 + rim, frame)
    box(picture, x0 - 2 * rim, y1 + rim, x1 + 2 * rim, y1 + 2.2 * rim, frame * 0.7)
    if rng.random() < look.light.lamps:
        glass = np.array(hsv(rng.uniform(0.08, 0.15), rng.uniform(0.15, 0.6), rng.uniform(0.75, 1.0)))
        box(picture, x0, y0, x1, y1, glass)
    else:
        sky = np.asarray(look.light.low_sky)
        dark = lit(hsv(rng.uniform(0.5, 0.65), 0.3, rng.uniform(0.1, 0.3)), look)
        glint = rng.uniform(0.1, 0.5)
        box(picture, x0, y0, x1, y1, dark)
        box(picture, x0, y0, x1, y0 + (y1 - y0) * rng.uniform(0.25, 0.6), dark * (1 - glint) + sky * glint)
        if rng.random() < 0.3:
            box(picture, x0, y0, x1, y0 + (y1 - y0) * rng.uniform(0.2, 0.7), lit((205, 215, 220), look, 0.8))
    middle = (x0 + x1) / 2
    box(picture, middle - rim / 2, y0, middle + rim / 2, y1, frame)
    if y1 - y0 > 1.2 * ppm:
        bar = y0 + (y1 - y0) * 0.4
        box(picture, x0, bar - rim / 2, x1, bar + rim / 2, frame)


def shopfront(picture: np.ndarray, rng: Rng, look: Look, top: float, frame: np.ndarray, ppm: float) -> None:
    """Paints the ground floor as shops: sign board, striped awning, wide panes, a door."""
    h, w = picture.shape[:2]
    shops = max(round(w / (6 * ppm)), 1)
    for shop in range(shops):
        x0, x1 = w * shop / shops + 0.2 * ppm, w * (shop + 1) / shops - 0.2 * ppm
        box(picture, x0, top + 0.1 * ppm, x1, h, frame)
        sign = lit(any_colour(rng), look)
        box(picture, x0, top + 0.15 * ppm, x1, top + 0.75 * ppm, sign)
        letters = lit((230, 235, 240) if sign.mean() < 130 else (40, 30, 30), look)
        for at in np.arange(x0 + 0.6 * ppm, x1 - 0.8 * ppm, 0.42 * ppm):
            box(picture, at, top + 0.32 * ppm, at + 0.26 * ppm * rng.uniform(0.5, 1), top + 0.6 * ppm, letters)
        shines = rng.random() < 0.25 + look.light.lamps
        inside = np.array(hsv(0.12, 0.3, 0.9)) if shines else lit(hsv(0.58, 0.25, rng.uniform(0.15, 0.35)), look)
        for pane in range(3):
            left = x0 + (x1 - x0) * pane / 3 + 0.1 * ppm
            box(picture, left, top + 0.9 * ppm, left + (x1 - x0) / 3 - 0.2 * ppm, h - 0.4 * ppm, inside)
            box(picture, left, h - 1.0 * ppm, left + (x1 - x0) / 3 - 0.2 * ppm, h - 0.7 * ppm, inside * 0.6)
        if rng.random() < 0.6:
            stripes, pale = lit(any_colour(rng), look), lit((225, 228, 230), look)
            for step, at in enumerate(np.arange(x0, x1, 0.4 * ppm)):
                colour = stripes if step % 2 else pale
                box(picture, at, top + 0.75 * ppm, min(at + 0.4 * ppm, x1), top + 1.35 * ppm, colour)


def facade(rng: Rng, look: Look, length_m: float, floors: int, ppm: float, shade: float) -> np.ndarray:
    """The front of a house, (h, w, 4) uint8, `floors` of `FLOOR_M` tall."""
    h, w = round(floors * FLOOR_M * ppm), round(length_m * ppm)
    picture = np.ascontiguousarray(masonry(rng, look, any_colour(rng), (h, w), ppm, shade))
    frame = lit(hsv(rng.random(), rng.uniform(0, 0.3), rng.choice([0.2, 0.5, 0.9])), look, shade)
    trim = lit(any_colour(rng), look, shade)
    bays = max(round(length_m / rng.uniform(2.1, 3.4)), 2)
    bay = w / bays
    half, tall = bay * rng.uniform(0.2, 0.36), rng.uniform(1.35, 2.1) * ppm
    balconies, bands = rng.random() < 0.3, rng.random() < 0.5
    for floor in range(floors):
        top = (floors - 1 - floor) * FLOOR_M * ppm
        if floor == 0 and rng.random() < 0.55:
            shopfront(picture, rng, look, top, frame, ppm)
            continue
        if bands:
            box(picture, 0, top + FLOOR_M * ppm - 0.18 * ppm, w, top + FLOOR_M * ppm, trim)
        for column in range(bays):
            middle, y0 = (column + 0.5) * bay, top + 0.65 * ppm
            if floor == 0 and column == bays // 2:
                door = lit(any_colour(rng), look, shade * 0.8)
                box(picture, middle - 0.65 * ppm, y0 + 0.1 * ppm, middle + 0.65 * ppm, h, frame)
                box(picture, middle - 0.5 * ppm, y0 + 0.25 * ppm, middle + 0.5 * ppm, h, door)
                continue
            window(picture, rng, look, (middle - half, y0, middle + half, y0 + tall), frame, ppm)
            if balconies and floor > 0:
                box(picture, middle - half * 1.3, y0 + tall, middle + half * 1.3, y0 + tall + 0.15 * ppm, trim * 0.6)
                for bar in np.arange(-1.3, 1.31, 0.3):
                    x = middle + half * bar
                    box(picture, x, y0 + tall - 0.7 * ppm, x + max(0.05 * ppm, 1), y0 + tall, trim * 0.5)
    box(picture, 0, 0, w, 0.35 * ppm, trim)
    box(picture, 0, 0.35 * ppm, w, 0.5 * ppm, trim * 0.55)
    box(picture, 0, h - 0.3 * ppm, w, h, lit((90, 92, 95), look, shade))
    picture *= 1 + 0.02 * rng.standard_normal((h, w, 1), dtype=np.float32)
    return labelled(picture, BUILDING)


def bare_wall(rng: Rng, look: Look, size_m: tuple[float, float], ppm: float, shade: float) -> np.ndarray:
    """A garden wall, (h, w, 4) uint8, `size_m` wide and high."""
    shape_hw = (round(size_m[1] * ppm), max(round(size_m[0] * ppm), 2))
    return labelled(masonry(rng, look, any_colour(rng), shape_hw, ppm, shade), BUILDING)


def side_wall(rng: Rng, look: Look, ppm: float, shade: float) -> np.ndarray:
    """The side of a house, (h, w, 4) uint8: bare masonry with a few windows."""
    h, w = round(10 * ppm), round(10 * ppm)
    picture = np.ascontiguousarray(masonry(rng, look, any_colour(rng), (h, w), ppm, shade))
    frame = lit((200, 205, 210), look, shade)
    for floor in range(3):
        for column in range(3):
            if rng.random() < 0.7:
                x, y = (1.2 + column * 3.0) * ppm, (0.9 + floor * FLOOR_M) * ppm
                window(picture, rng, look, (x, y, x + 1.0 * ppm, y + 1.4 * ppm), frame, ppm)
    return labelled(picture, BUILDING)


def leaves(
    rng: Rng, look: Look, picture: np.ndarray, colour: Colour, spots: np.ndarray, radius: float, glow: np.ndarray
) -> None:
    """Dabs leaves of many shades at `spots` (N, 2); `glow` (N,) is how much light falls on each."""
    shades = np.clip(glow * rng.normal(1.0, 0.34, len(spots)), 0.25, 1.6)
    radii = radius * rng.uniform(0.5, 1.25, len(spots))
    steps = [lit(colour, look, step / 16).tolist() for step in range(27)]
    lit_colours = [steps[round(shade * 16)] for shade in shades.tolist()]
    for (x, y), r, dab in zip(spots.tolist(), radii.tolist(), lit_colours, strict=True):
        cv2.circle(picture, (int(x), int(y)), max(int(r), 1), dab, -1)


def hedge(rng: Rng, look: Look, length_m: float, height_m: float, ppm: float) -> np.ndarray:
    """A clipped hedge, (h, w, 4) uint8."""
    h, w = round(height_m * ppm), round(length_m * ppm)
    colour = leaf_colour(rng)
    picture = np.zeros((h, w, 3), np.float32) + lit(colour, look, 0.45).astype(np.float32)
    count = int(length_m * height_m * 14)
    spots = rng.uniform((0, 0), (w, h), (count, 2))
    leaves(rng, look, picture, colour, spots, 0.16 * ppm, 1.15 - 0.6 * spots[:, 1] / h)
    picture *= 1 + 0.2 * rng.standard_normal((h, w, 1), dtype=np.float32)
    return labelled(picture, VEGETATION)


def crown(rng: Rng, look: Look, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The crown of a tree: its texture (size, size, 4) uint8 and its shape (size, size) uint8, 0 or 255."""
    colour = leaf_colour(rng)
    slim = rng.uniform(0.65, 1.0)
    lumps = rng.uniform(-1, 1, (int(rng.integers(7, 13)), 2)) * (0.27 * slim, 0.27) + 0.5
    radii = rng.uniform(0.11, 0.2, len(lumps))
    owner = rng.integers(0, len(lumps), LEAVES)
    angle, reach = rng.uniform(0, 2 * np.pi, LEAVES), np.sqrt(rng.uniform(0, 1, LEAVES))
    offset = np.stack((np.cos(angle), np.sin(angle)), axis=1) * reach[:, None]
    spots = lumps[owner] + offset * radii[owner][:, None]
    sun = np.array([0.45 * look.sun_side * (look.light.sun > 0), -0.8])
    glow = 0.82 + 0.34 * offset @ sun + 0.35 * (0.5 - spots[:, 1])
    order = np.argsort(glow + rng.normal(0, 0.12, LEAVES))
    picture = np.zeros((size, size, 3), np.float32) + lit(colour, look, 0.5).astype(np.float32)
    leaves(rng, look, picture, colour, spots[order] * size, 0.027 * size, glow[order])
    picture *= 1 + 0.2 * rng.standard_normal((size, size, 1), dtype=np.float32)
    shape = np.zeros((size, size), np.uint8)
    for (x, y), r in zip((spots * size).tolist(), rng.uniform(0.018, 0.034, LEAVES) * size, strict=True):
        cv2.circle(shape, (int(x), int(y)), max(int(r), 1), 255, -1)
    closing = np.ones((max(size // 14, 3),) * 2, np.uint8)
    return labelled(picture, VEGETATION), cv2.morphologyEx(shape, cv2.MORPH_CLOSE, closing)
