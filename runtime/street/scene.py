"""One frame of the drive: the ground, what stands on it from far to near, then the camera's own marks."""

from __future__ import annotations

import cv2
import numpy as np

from ..errors import EpeeError
from . import ground
from .look import look_of
from .staging import Stage
from .town import SIGHT_M, Town
from .view import View

SMALLEST_WH = (96, 72)
NOISE_MARGIN = 61


class Street:
    """A drive down a street that never ends.

    A frame depends on seed, size and index alone, so any frame can be asked for at any time, in any order.
    Textures are made when they come into sight and kept; an instance belongs to one thread at a time.

    Args:
        seed: which town, weather and light; 0 and up.
        size_wh: width and height of the frames, at least 96x72.

    Raises:
        EpeeError: the seed or the size is out of range.
    """

    def __init__(self, seed: int, size_wh: tuple[int, int] = (480, 360)) -> None:
        w, h = size_wh
        if w < SMALLEST_WH[0] or h < SMALLEST_WH[1]:
            raise EpeeError("size of the street", got=f"{w}x{h}", expected="at least 96x72", do="ask for a larger one")
        if seed < 0:
            raise EpeeError("seed of the street", got=seed, expected="0 and up", do="name another seed")
        self.seed, self.size_wh = seed, (w, h)
        rng = np.random.default_rng((seed, 1))
        self.look = look_of(rng)
        self.town = Town(seed, self.look)
        self.view = View(self.look, self.size_wh)
        self.ppm = float(np.clip(w / 20, 6, 40))
        self.stage = Stage(seed, self.view, self.ppm)
        self.floors, self.labels = self.lay(*ground.ground(rng, self.look, self.ppm))
        self.turn_max = self.look.bend[0] / 0.021 + self.look.bend[2] / 0.006
        wide = w + 2 * int(self.view.focal * self.turn_max) + 4
        tall = int(self.view.still_horizon + 0.02 * h) + 2
        self.backdrop = ground.backdrop(rng, self.look, (tall, wide), self.view.focal / SIGHT_M)
        self.across = ((np.arange(w) + 0.5 - self.view.centre) / self.view.focal * self.ppm).astype(np.float32)
        self.fade()
        self.expose(rng)

    def lay(self, texture: np.ndarray, labels: np.ndarray) -> tuple[list[tuple[np.ndarray, int, int]], np.ndarray]:
        """The ground at four finenesses, each wrapped at its end, with what it is shrunk by along and across."""
        floors = []
        h, w = texture.shape[:2]
        for along, across in ((1, 1), (4, 1), (16, 2), (64, 4)):
            small = cv2.resize(texture, (w // across, max(h // along, 2)), interpolation=cv2.INTER_AREA)
            floors.append((np.concatenate((small, small[:2])), along, across))
        return floors, labels

    def fade(self) -> None:
        """Prepares what the haze keeps of the ground, row by row from the horizon down, and what it adds."""
        w, h = self.size_wh
        below = np.arange(h) + 0.5
        away = self.view.focal * self.look.eye_m / below
        share = 1 - np.exp(-away * self.look.light.haze_per_m)
        self.faded_rows = int(np.count_nonzero(share > 0.02))
        share = share[: self.faded_rows, None, None]
        self.kept = np.repeat(np.repeat(np.rint(255 * (1 - share)), w, axis=1), 3, axis=2).astype(np.uint8)
        self.added = np.repeat(np.rint(share * self.view.haze), w, axis=1).astype(np.uint8)

    def expose(self, rng: np.random.Generator) -> None:
        """Prepares uneven exposure and a larger field of grain, from which each frame takes another part."""
        w, h = self.size_wh
        grain = rng.standard_normal((h + NOISE_MARGIN, w + NOISE_MARGIN, 3), dtype=np.float32) * self.look.noise
        self.brighter, self.darker = np.maximum(grain, 0).astype(np.uint8), np.maximum(-grain, 0).astype(np.uint8)
        across, down = np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32)[:, None]
        lean = rng.uniform(-0.12, 0.12, 2)
        light = 0.94 - 0.08 * (across**2 + down**2) + lean[0] * across + lean[1] * down
        self.exposure = np.repeat(np.clip(light * 200, 0, 255).astype(np.uint8)[..., None], 3, axis=2)

    def render(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame `index` of the drive, 0 and up, made for 25 frames a second.

        Returns:
            image: (H, W, 3) uint8, BGR.
            mask: (H, W) uint8, class ids.
        """
        if index < 0:
            raise EpeeError("frame of the street", got=index, expected="0 and up", do="count from 0")
        look, view = self.look, self.view
        z = look.speed_m * index
        slow, slow_phase, slower, slower_phase = look.bend
        curvature = slow * np.sin(0.021 * z + slow_phase) + slower * np.sin(0.006 * z + slower_phase)
        turned = -slow / 0.021 * np.cos(0.021 * z + slow_phase) - slower / 0.006 * np.cos(0.006 * z + slower_phase)
        x = look.drive_side * look.lane_m * 0.5 + 0.25 * np.sin(index * 0.013)
        nod = 0.0015 * np.sin(index * 0.21) + 0.0025 * np.sin(index * 0.057)
        view.move(float(x), z, float(curvature), float(nod))
        self.paint_ground(float(turned))
        self.stage.queue(self.town, index)
        self.paint_shade(self.stage.shade)
        self.stage.paint()
        return self.develop(index)

    def paint_ground(self, turned: float) -> None:
        """Paints sky and ground."""
        view = self.view
        w, h, row = view.w, view.h, round(view.horizon)
        start = int(view.focal * (turned + self.turn_max))
        view.canvas[:row] = self.backdrop[len(self.backdrop) - row :, start : start + w]
        away = view.focal * self.look.eye_m / np.maximum(np.arange(row, h) + 0.5 - view.horizon, 0.4)
        middle = (view.x + 0.5 * view.curvature * away * away + ground.HALF_M) * self.ppm
        map_x = away.astype(np.float32)[:, None] * self.across
        map_x += middle.astype(np.float32)[:, None]
        along = ((view.z + away) % ground.PERIOD_M * self.ppm).astype(np.float32)
        finest = away**2 / (view.focal * self.look.eye_m) * self.ppm
        level = np.clip(np.log2(np.maximum(finest, 1)) / 2 + 0.25, 0, 3).astype(int)
        land = np.empty((h - row, w, 3), np.uint8)
        for number, (texture, shrink_z, shrink_x) in enumerate(self.floors):
            rows = np.flatnonzero(level == number)
            if not len(rows):
                continue
            band = slice(int(rows[0]), int(rows[-1]) + 1)
            map_y = np.repeat((along[band] / shrink_z)[:, None], w, axis=1)
            part_x = map_x[band] if shrink_x == 1 else map_x[band] / shrink_x
            cv2.remap(texture, part_x, map_y, cv2.INTER_LINEAR, dst=land[band], borderMode=cv2.BORDER_REPLICATE)
        fading = land[: self.faded_rows]
        if len(fading):
            cv2.multiply(fading, self.kept[: len(fading)], dst=fading, scale=1 / 255)
            cv2.add(fading, self.added[: len(fading)], dst=fading)
        flat = np.zeros_like(map_x)
        labels = cv2.remap(self.labels, map_x, flat, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        cv2.mixChannels([land, labels], [view.canvas[row:]], [0, 0, 1, 1, 2, 2, 3, 3])

    def paint_shade(self, shade: list[np.ndarray]) -> None:
        """Darkens the ground where something keeps the sun away."""
        if not shade:
            return
        view, sun = self.view, self.look.light.sun
        row = round(view.horizon)
        shape = np.zeros((view.h - row, view.w), np.uint8)
        for points in shade:
            cv2.fillConvexPoly(shape, np.rint(points - (0, row)).astype(np.int32), 255)
        table = np.repeat(np.arange(256.0)[None, :, None], 4, axis=2)
        table[..., :3] *= np.array((0.66, 0.6, 0.56)) * sun + (1 - sun)
        below = view.canvas[row:]
        cv2.copyTo(cv2.LUT(below, np.rint(table).astype(np.uint8)), shape, below)

    def develop(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The picture a camera makes of the canvas: a soft lens, uneven light, a grainy sensor."""
        view = self.view
        image = cv2.cvtColor(view.canvas, cv2.COLOR_BGRA2BGR)
        image = cv2.GaussianBlur(image, (3, 3), 0.6)
        cv2.multiply(image, self.exposure, dst=image, scale=1 / 184)
        left, top = (index * 23 + 7) % NOISE_MARGIN, (index * 37 + 11) % NOISE_MARGIN
        cv2.add(image, self.brighter[top : top + view.h, left : left + view.w], dst=image)
        cv2.subtract(image, self.darker[top : top + view.h, left : left + view.w], dst=image)
        return image, cv2.extractChannel(view.canvas, 3)
