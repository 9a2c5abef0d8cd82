"""The ground as a texture seen from above, and the sky with the town's outline as a backdrop."""

from __future__ import annotations

import cv2
import numpy as np

from .classes import BUILDING, PAVEMENT, ROAD, SKY, VEGETATION
from .facades import blocks, mottle
from .look import Look, Rng, any_colour, hsv, leaf_colour, paving_colour
from .view import lit

HALF_M = 18.0
PERIOD_M = 24.0
KERB_M = 0.22


def asphalt(rng: Rng, look: Look, shape_hw: tuple[int, int], ppm: float) -> np.ndarray:
    """Road surface, BGR float: grain, worn tracks, patches, cracks, manholes."""
    h, w = shape_hw
    colour = paving_colour(rng)
    road = np.zeros((h, w, 3), np.float32) + lit(colour, look, rng.uniform(0.6, 1.0)).astype(np.float32)
    across = (np.arange(w) / ppm - w / ppm / 2) % look.lane_m
    tracks = np.exp(-(((across - look.lane_m * 0.26) / 0.3) ** 2)) + np.exp(
        -(((across - look.lane_m * 0.74) / 0.3) ** 2)
    )
    road *= (1 - rng.uniform(-0.06, 0.12) * tracks[None, :, None]).astype(np.float32)
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        size = rng.uniform(0.6, 3.5, 2) * ppm
        patch = road[int(y) : int(y + size[1] * 2), int(x) : int(x + size[0])]
        patch *= rng.uniform(0.78, 1.12)
    for _ in range(int(rng.integers(0, 6))):
        turns = rng.uniform(0, 6.28) + np.cumsum(rng.normal(0, 0.5, 24))
        steps = np.cumsum(np.stack((np.cos(turns), np.sin(turns)), axis=1), axis=0) * 0.2 * ppm
        crack = (steps + rng.uniform((0, 0), (w, h))).astype(np.int32)
        cv2.polylines(road, [crack], False, (road.mean(axis=(0, 1)) * 0.8).tolist(), 1)
    for _ in range(int(rng.integers(0, 3))):
        centre = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        cv2.circle(road, centre, int(0.36 * ppm), lit((62, 64, 66), look).tolist(), -1)
        cv2.circle(road, centre, int(0.36 * ppm), lit((40, 40, 42), look).tolist(), 1)
    return (
        road * mottle(rng, shape_hw, 1.5 * ppm, 0.03) * (1 + 0.035 * rng.standard_normal((h, w, 1), dtype=np.float32))
    )


def paint_lines(road: np.ndarray, rng: Rng, look: Look, ppm: float) -> None:
    """Paints the lane marking: middle line, edge or parking lines."""
    h, w = road.shape[:2]
    paint = lit((222, 226, 228) if rng.random() < 0.8 else (70, 190, 225), look, rng.uniform(0.75, 1.0))
    half = max(0.075 * ppm, 0.6)
    middle = w / 2
    kind = rng.choice(["dashed", "solid", "double", "none"], p=[0.55, 0.15, 0.15, 0.15])
    dash = rng.choice([4.0, 6.0, 8.0])
    for line in {"dashed": [0.0], "solid": [0.0], "double": [-0.16, 0.16], "none": []}[str(kind)]:
        at = middle + line * ppm
        for start in np.arange(0, h, dash * ppm) if kind == "dashed" else [0.0]:
            end = start + (dash * 0.45 * ppm if kind == "dashed" else h)
            road[int(start) : int(end), int(at - half) : int(at + half) + 1] = paint
    if rng.random() < 0.6:
        for side in (-1, 1):
            at = middle + side * look.lane_m * ppm
            if abs(at - middle) < w / 2 - 0.3 * ppm:
                road[:, int(at - half) : int(at + half) + 1] = paint


def paving(rng: Rng, look: Look, shape_hw: tuple[int, int], ppm: float) -> np.ndarray:
    """Pavement, BGR float: slabs, bricks or setts with visible joints."""
    kind = rng.choice(["slab", "brick", "sett", "plank"])
    size, stagger = {
        "slab": ((0.62, 0.62), 0.0),
        "brick": ((0.5, 0.26), 0.5),
        "sett": ((0.36, 0.36), 0.5),
        "plank": ((0.9, 0.6), 0.5),
    }[str(kind)]
    pave = np.zeros((*shape_hw, 3), np.float32) + lit(paving_colour(rng), look).astype(np.float32)
    pave *= blocks(rng, shape_hw, (size[0] * ppm, size[1] * ppm), stagger, 0.10, rng.choice([0.5, 0.6, 1.4]))
    return np.asarray(pave * mottle(rng, shape_hw, 2 * ppm, 0.05))


def lawn(rng: Rng, look: Look, shape_hw: tuple[int, int], ppm: float) -> np.ndarray:
    """Grass, BGR float, with tufts and fallen leaves."""
    grass = np.zeros((*shape_hw, 3), np.float32) + lit(leaf_colour(rng), look, 0.9).astype(np.float32)
    grass *= mottle(rng, shape_hw, 0.18 * ppm, 0.24) * mottle(rng, shape_hw, 1.2 * ppm, 0.1)
    return np.asarray(grass * (1 + 0.2 * rng.standard_normal((*shape_hw, 1), dtype=np.float32)))


def ground(rng: Rng, look: Look, ppm: float) -> tuple[np.ndarray, np.ndarray]:
    """The street from above.

    Returns:
        The texture (PERIOD_M ppm, 2 HALF_M ppm, 3) uint8 BGR, rows along the street, and its row of class ids (1, w).
    """
    h, w = round(PERIOD_M * ppm), round(2 * HALF_M * ppm)
    out = np.empty((h, w, 3), np.float32)
    labels = np.empty((1, w), np.uint8)
    middle, kerb = w / 2, round(KERB_M * ppm)
    left, right = round(middle - look.road_half_m * ppm), round(middle + look.road_half_m * ppm)
    road = asphalt(rng, look, (h, right - left), ppm)
    paint_lines(road, rng, look, ppm)
    out[:, left:right] = road
    labels[:, left:right] = ROAD
    same = rng.random() < 0.7
    seed = int(rng.integers(1 << 30))
    for side in (0, 1):
        width = round(look.pavement_m[side] * ppm)
        pave = paving(np.random.default_rng(seed if same else seed + side), look, (h, width), ppm)
        stone = blocks(rng, (h, kerb), (kerb + 1, 1.0 * ppm), 0.0, 0.05, 0.6)
        stone = stone * lit(paving_colour(rng), look, 1.1).astype(np.float32)
        rest = (left - width) if side == 0 else (w - right - width)
        cover = (lawn if look.cover[side] == "lawn" else paving)(rng, look, (h, rest), ppm)
        label = VEGETATION if look.cover[side] == "lawn" else PAVEMENT
        if side == 0:
            out[:, left - width : left], out[:, left - kerb : left], out[:, :rest] = pave, stone, cover
            labels[:, rest:left], labels[:, :rest] = PAVEMENT, label
        else:
            out[:, right : right + width], out[:, right : right + kerb], out[:, w - rest :] = pave, stone, cover
            labels[:, right : right + width], labels[:, w - rest :] = PAVEMENT, label
    return np.clip(out, 0, 255).astype(np.uint8), labels


def clouds(rng: Rng, shape_hw: tuple[int, int]) -> np.ndarray:
    """Cloud cover (h, w) float32 around 0, streaky, with detail at many sizes."""
    h, w = shape_hw
    cover = np.zeros((h, w), np.float32)
    for octave in range(5):
        cells = rng.standard_normal((3 * 2**octave, max(3 * 2**octave * w // (h * 3), 2)), dtype=np.float32)
        cover += cv2.resize(cells, (w, h), interpolation=cv2.INTER_CUBIC) * 0.6**octave
    return cover


def backdrop(rng: Rng, look: Look, shape_hw: tuple[int, int], unit: float) -> np.ndarray:
    """Sky, and far houses and trees that stand on its lower edge.

    Args:
        rng: where the clouds and the outline come from.
        look: the scene's look.
        shape_hw: size; the lower edge is the horizon.
        unit: pixels a metre takes at the end of the street.

    Returns:
        A (h, w, 4) uint8 texture, BGR and class ids.
    """
    h, w = shape_hw
    rise = np.linspace(0, 1, h, dtype=np.float32)[:, None, None] ** rng.uniform(0.6, 1.4)
    turn = hsv(rng.random(), rng.uniform(0, 0.35), 1.0)
    zenith = np.array(look.light.zenith) * (0.6 + 0.4 * np.array(turn) / 255)
    low_sky = np.array(look.light.low_sky, np.float32)
    sky = zenith.astype(np.float32) * (1 - rise) + low_sky * rise
    cover = clouds(rng, (h, w))
    share = np.clip((cover + look.light.clouds * 2 - 1) * 0.9, 0, 1)[..., None] * min(look.light.clouds + 0.3, 0.9)
    bright = low_sky * (0.97 + 0.1 * np.clip(cover, -1.5, 1.0))[..., None]
    sky = sky * (1 - share) + bright * share
    out = np.empty((h, w, 4), np.uint8)
    out[..., :3], out[..., 3] = np.clip(sky, 0, 255), SKY
    haze = np.array(look.light.low_sky)
    thick = 1 - np.exp(-170 * look.light.haze_per_m)
    tall = rng.uniform(0.6, 1.4)
    x = -5.0
    while x < w:
        if rng.random() < 0.6:
            wide, high = rng.uniform(8, 26) * unit, rng.uniform(5, 22) * unit * tall
            colour = lit(any_colour(rng), look, 0.85) * (1 - thick) + haze * thick
            block = out[max(h - int(high), 0) :, max(int(x), 0) : max(int(x + wide), 0)]
            block[:] = (*colour, BUILDING)
            step = max(int(2.6 * unit), 3)
            for row in range(1, block.shape[0] - 1, step):
                block[row : row + max(step // 2, 1), 1::step, :3] = colour * 0.72
                block[row : row + max(step // 2, 1), 2::step, :3] = colour * 0.72
            x += wide + rng.uniform(-4, 6) * unit
        else:
            for _ in range(int(rng.integers(2, 6))):
                colour = lit(leaf_colour(rng), look, rng.uniform(0.6, 0.9)) * (1 - thick) + haze * thick
                radius = rng.uniform(4.0, 8.0) * unit
                for _ in range(14):
                    at = (int(x + rng.normal(0, radius * 0.6)), int(h - radius * rng.uniform(0, 1.3)))
                    dab = colour * rng.uniform(0.75, 1.15)
                    cv2.circle(out, at, max(int(radius * 0.5), 1), (*dab.tolist(), VEGETATION), -1)
                x += radius * 1.2
    return out
