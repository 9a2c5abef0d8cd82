"""Augmentation of a picture and its mask with OpenCV: one warp for both, then colour, blur and noise."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Augment:
    """How far a training picture may be from the one on disk.

    Attributes:
        scale: range of the zoom, drawn log-uniformly; below 1 the border is filled (mask: ignore).
        rotate_deg: largest rotation either way.
        flip: probability of a left-right flip.
        brightness, contrast: largest relative change, e.g. 0.25 for 0.75 to 1.25.
        gamma: range of the exponent, drawn log-uniformly.
        channel: range of a gain for each colour channel alone.
        saturation: largest relative change of the colours' distance from grey.
        blur: probability of a Gaussian blur (sigma 0.3 to 1.2 pixels).
        noise: probability of additive Gaussian noise, its deviation drawn up to `noise_levels` grey levels.
        noise_levels: see noise.
        focus: probability that the view is laid around a pixel of a rare class.
        paste: probability that a rare class of another picture is copied in (Ghiasi 2020, arXiv 2012.07177).
        rare: a class with a smaller share of the labelled pixels is rare.
        small_steps: share of the steps whose views are smaller, which take less time.
        small_size: their sides, as a share of the training size.
    """

    scale: tuple[float, float] = (0.75, 2.0)
    rotate_deg: float = 0.0
    flip: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    gamma: tuple[float, float] = (0.85, 1.18)
    channel: tuple[float, float] = (0.95, 1.05)
    blur: float = 0.05
    noise: float = 0.05
    noise_levels: float = 8.0
    saturation: float = 0.0
    focus: float = 0.0
    paste: float = 0.0
    rare: float = 0.02
    small_steps: float = 0.0
    small_size: float = 2 / 3

    def view_wh(self, size_wh: tuple[int, int], step: int, seed: int) -> tuple[int, int]:
        """Width and height of the views of a step."""
        if self.small_steps == 0 or np.random.default_rng((seed, 1 << 22, step)).random() >= self.small_steps:
            return size_wh
        return round(size_wh[0] * self.small_size), round(size_wh[1] * self.small_size)


Pair = tuple[NDArray[Any], NDArray[Any]]


def augment(image: NDArray[Any], mask: NDArray[Any], a: Augment, ignore: int, rng: np.random.Generator, *,
            view_wh: tuple[int, int] | None = None, around_xy: tuple[int, int] | None = None) -> Pair:
    """Gives a changed picture and the mask that still fits it.

    Args:
        image: (H, W, 3) uint8, BGR.
        mask: (H, W) uint8 class ids.
        a: how far.
        ignore: id for mask pixels from outside the picture.
        rng: the only source of chance.
        view_wh: size of what is given; None keeps the picture's.
        around_xy: a pixel that the view is laid around, as nearly as it stays inside; None lays it anywhere.

    Returns:
        New arrays of the same dtypes.
    """
    image, mask = warp(image, mask, a, ignore, rng, view_wh=view_wh, around_xy=around_xy)
    return recolour(image, a, rng), mask


def recolour(image: NDArray[Any], a: Augment, rng: np.random.Generator) -> NDArray[Any]:
    """Gives (H, W, 3) uint8 BGR of other colours, blurred or noisy: the part of `augment` that leaves masks alone."""
    if a.saturation:
        image = cv2.transform(image, _saturation(a.saturation, rng))
    image = cv2.LUT(image, _tone(a, rng))
    if rng.random() < a.blur:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < a.noise:
        image = _noisy(image, rng.uniform(0, a.noise_levels), rng)
    return image


def warp(image: NDArray[Any], mask: NDArray[Any], a: Augment, ignore: int, rng: np.random.Generator, *,
         view_wh: tuple[int, int] | None = None, around_xy: tuple[int, int] | None = None) -> Pair:
    """Gives another view of a picture and its mask: the part of `augment` that leaves colours alone."""
    (h, w), (view_w, view_h) = mask.shape, view_wh or (mask.shape[1], mask.shape[0])
    zoom = math.exp(rng.uniform(math.log(a.scale[0]), math.log(a.scale[1])))
    angle = math.radians(rng.uniform(-a.rotate_deg, a.rotate_deg))
    flip = -1.0 if rng.random() < a.flip else 1.0
    # Where the view's centre lies in the picture: anywhere that keeps the view inside (or the picture in the view).
    reach_x, reach_y = abs(w - view_w / zoom) / 2, abs(h - view_h / zoom) / 2
    dx, dy = rng.uniform(-reach_x, reach_x), rng.uniform(-reach_y, reach_y)
    if around_xy is not None:  # off its middle by up to a quarter of the view, so that it is not always there
        dx = around_xy[0] - w / 2 + dx * min(1.0, view_w / zoom / 4 / max(reach_x, 1e-6))
        dy = around_xy[1] - h / 2 + dy * min(1.0, view_h / zoom / 4 / max(reach_y, 1e-6))
        dx, dy = min(max(dx, -reach_x), reach_x), min(max(dy, -reach_y), reach_y)
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    matrix = np.array([[flip * cos, -flip * sin, 0.0], [sin, cos, 0.0]])
    centre = np.array([w / 2 + dx - 0.5, h / 2 + dy - 0.5])
    matrix[:, 2] = np.array([(view_w - 1) / 2, (view_h - 1) / 2]) - matrix[:, :2] @ centre
    image = cv2.warpAffine(image, matrix, (view_w, view_h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
                           borderValue=(114, 114, 114))
    mask = cv2.warpAffine(mask, matrix, (view_w, view_h), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT,
                          borderValue=ignore)
    return image, mask


def _saturation(most: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(3, 3) that moves colours away from their grey (BT.601) or towards it."""
    keep = rng.uniform(1 - most, 1 + most)
    return (keep * np.eye(3) + (1 - keep) * np.array([0.114, 0.587, 0.299])).astype(np.float32)


def _tone(a: Augment, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(256, 1, 3) lookup table: gamma, contrast about mid-grey, brightness, channel gains, in one."""
    x = np.linspace(0, 1, 256)[:, None]
    x = x ** math.exp(rng.uniform(math.log(a.gamma[0]), math.log(a.gamma[1])))
    x = (x - 0.5) * rng.uniform(1 - a.contrast, 1 + a.contrast) + 0.5
    x = x * rng.uniform(1 - a.brightness, 1 + a.brightness) * rng.uniform(*a.channel, 3)
    return np.rint(255 * x).clip(0, 255).astype(np.uint8)[:, None, :]


@functools.cache
def _noise_bank() -> NDArray[np.float32]:
    """A picture of unit noise to cut from; drawing it anew for each picture would cost more than the rest."""
    return np.random.default_rng(0).standard_normal(1 << 22).astype(np.float32)


def _noisy(image: NDArray[Any], levels: float, rng: np.random.Generator) -> NDArray[Any]:
    bank = _noise_bank()
    if image.size > bank.size:
        noise = rng.standard_normal(image.size, np.float32)
    else:
        start = int(rng.integers(0, bank.size - image.size + 1))
        noise = bank[start:start + image.size]
    return np.clip(image + levels * noise.reshape(image.shape), 0, 255).astype(np.uint8)
