"""One frame being painted: where a point of the world falls, and the three ways to paint there.

The canvas has four channels, BGR and the class id, so that every stroke paints picture and mask alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from .look import Colour, Look

NEAR_M = 1.0
HAZE_LEVELS = 64
SUBPIXEL_BITS = 3
Corners = list[tuple[float, float]]


def pyramid(texture: np.ndarray, levels: int = 5) -> list[np.ndarray]:
    """The texture and its halves, for painting it small without flicker."""
    out = [texture]
    while len(out) < levels and min(out[-1].shape[:2]) >= 8:
        h, w = out[-1].shape[:2]
        out.append(cv2.resize(out[-1], (w // 2, h // 2), interpolation=cv2.INTER_AREA))
    return out


class View:
    """A pinhole camera on the drive, and the canvas in front of it.

    Args:
        look: the scene's look: focal length, height of the eye, horizon, light.
        size_wh: width and height of the canvas.
    """

    def __init__(self, look: Look, size_wh: tuple[int, int]) -> None:
        self.w, self.h = size_wh
        self.focal = look.focal * self.w
        self.centre = self.w / 2
        self.still_horizon = self.h / 2 + (look.horizon - 0.5) * min(self.h, self.w)
        self.look = look
        self.canvas = np.zeros((self.h, self.w, 4), np.uint8)
        self.haze = np.array(look.light.low_sky)
        steps = np.arange(HAZE_LEVELS)[:, None, None] / HAZE_LEVELS
        ramp = np.arange(256.0)[None, :, None]
        tables = np.repeat(ramp, 4, axis=2) + np.zeros((HAZE_LEVELS, 1, 1))
        tables[..., :3] = ramp * (1 - steps) + self.haze * steps
        self.haze_tables = np.rint(tables).astype(np.uint8)[:, None]
        self.move(0.0, 0.0, 0.0, 0.0)

    def move(self, x_m: float, z_m: float, curvature: float, nod: float) -> None:
        """Sets the camera: across and along the street, the bend ahead in 1/m, the nod in picture heights."""
        self.x, self.z, self.curvature = x_m, z_m, curvature
        self.horizon = self.still_horizon + nod * self.h

    def project(self, x: np.ndarray, y: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) of points (N,): `x` across, `y` up and `ahead` of the camera, all metres."""
        scale = self.focal / ahead
        out = np.empty((len(ahead), 2))
        out[:, 0] = self.centre + scale * (x - self.x - 0.5 * self.curvature * ahead * ahead)
        out[:, 1] = self.horizon + scale * (self.look.eye_m - y)
        return out

    def foot(self, x: float, ahead: float) -> tuple[float, float, float]:
        """The pixel where something stands, and the pixels a metre takes there."""
        scale = self.focal / ahead
        across = self.centre + scale * (x - self.x - 0.5 * self.curvature * ahead * ahead)
        return across, self.horizon + scale * self.look.eye_m, scale

    def haze_level(self, ahead: float) -> int:
        """Which haze table belongs to a distance."""
        return int((1 - math.exp(-ahead * self.look.light.haze_per_m)) * HAZE_LEVELS)

    def hazed(self, colours: np.ndarray, ahead: float) -> list[Any]:
        """Colours (N, 3) or a colour (3,), BGR, as seen from a distance."""
        share = 1 - math.exp(-ahead * self.look.light.haze_per_m)
        return (colours * (1 - share) + self.haze * share).tolist()

    def fixed(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels in the whole numbers that OpenCV's drawing takes, with `SUBPIXEL_BITS` of fraction."""
        return np.rint(pixels * (1 << SUBPIXEL_BITS)).astype(np.int32)

    def floor(self, x0: float, x1: float, near: float, far: float) -> np.ndarray:
        """Pixels (4, 2) of a patch of ground."""
        near, far = max(near, NEAR_M), max(far, NEAR_M)
        left, y0, scale0 = self.foot(x0, near)
        other, y1, scale1 = self.foot(x0, far)
        return np.array([(left, y0), (left + (x1 - x0) * scale0, y0), (other + (x1 - x0) * scale1, y1), (other, y1)])

    def upright(self, ends_x: tuple[float, float], ends_ahead: tuple[float, float], high: float) -> Corners:
        """Pixels of an upright wall's corners: top here, top there, bottom there, bottom here."""
        x0, y0, scale0 = self.foot(ends_x[0], ends_ahead[0])
        x1, y1, scale1 = self.foot(ends_x[1], ends_ahead[1])
        return [(x0, y0 - high * scale0), (x1, y1 - high * scale1), (x1, y1), (x0, y0)]

    def fill(self, points: np.ndarray, colour: Sequence[float], label: int) -> None:
        """Paints a convex polygon of pixels (N, 2)."""
        cv2.fillConvexPoly(self.canvas, self.fixed(points), (*colour, label), cv2.LINE_8, SUBPIXEL_BITS)

    def wall(self, textures: list[np.ndarray], corners: Corners, ahead: float, span: tuple[float, float]) -> None:
        """Paints a texture on an upright wall.

        Args:
            textures: `pyramid` of a (h, w, 4) texture.
            corners: pixels as from `upright`.
            ahead: the distance that sets the haze.
            span: which part of the texture's width, 0 to 1, lies between the ends.
        """
        (far_left, top), (far_right, top_there), (_, low_there), (_, low) = corners
        x0, x1 = max(math.floor(min(far_left, far_right)), 0), min(math.ceil(max(far_left, far_right)) + 1, self.w)
        y0, y1 = max(math.floor(min(top, top_there)), 0), min(math.ceil(max(low, low_there)) + 1, self.h)
        tall = max(low - top, low_there - top_there)
        if x1 <= x0 or y1 <= y0 or tall < 1:
            return
        full_h, full_w = textures[0].shape[:2]
        shrink = full_h / tall * full_w * (span[1] - span[0]) / max(abs(far_right - far_left), 1)
        texture = textures[min(max(int(math.log2(max(shrink, 1)) / 2 + 0.3), 0), len(textures) - 1)]
        h, w = texture.shape[:2]
        left, right = span[0] * w, span[1] * w
        source = np.array([[left, 0], [right, 0], [right, h], [left, h]], np.float32)
        target = np.array(corners, np.float32) - (x0, y0)
        matrix = cv2.getPerspectiveTransform(source, target.astype(np.float32))
        size = (x1 - x0, y1 - y0)
        piece = cv2.warpPerspective(texture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        level = self.haze_level(ahead)
        if level:
            piece = cv2.LUT(piece, self.haze_tables[level])
        shape = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillConvexPoly(shape, self.fixed(target), 255, cv2.LINE_8, SUBPIXEL_BITS)
        cv2.copyTo(piece, shape, self.canvas[y0:y1, x0:x1])

    def sprite(self, textures: list[np.ndarray], shapes: list[np.ndarray], box: Sequence[float], ahead: float) -> None:
        """Paints an upright cut-out: a (h, w, 4) texture where its (h, w) shape is set, into x0, y0, x1, y1."""
        left, top, right, bottom = box
        x0, y0, x1, y1 = max(int(left), 0), max(int(top), 0), min(int(right) + 1, self.w), min(int(bottom) + 1, self.h)
        if x1 <= x0 or y1 <= y0:
            return
        shrink = textures[0].shape[0] / max(bottom - top, 1)
        level = min(int(math.log2(max(shrink, 1)) + 0.3), len(textures) - 1)
        h, w = shapes[level].shape
        scale_x, scale_y = (right - left) / w, (bottom - top) / h
        matrix = np.array([[scale_x, 0, left - x0], [0, scale_y, top - y0]])
        size = (x1 - x0, y1 - y0)
        piece = cv2.warpAffine(textures[level], matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        shape = cv2.warpAffine(shapes[level], matrix, size, flags=cv2.INTER_LINEAR)
        shape = cv2.threshold(shape, 127, 255, cv2.THRESH_BINARY)[1]
        haze = self.haze_level(ahead)
        if haze:
            piece = cv2.LUT(piece, self.haze_tables[haze])
        cv2.copyTo(piece, shape, self.canvas[y0:y1, x0:x1])


def lit(colour: Colour | np.ndarray, look: Look, factor: float = 1.0) -> np.ndarray:
    """A surface's colour in the scene's light, BGR, 0 to 255."""
    keep, lift = look.contrast * factor, 110.0 * (1 - look.contrast)
    pairs = zip(colour, look.light.tint, strict=True)
    return np.array([min(max((value * keep + lift) * tint, 0.0), 255.0) for value, tint in pairs])
