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
        blur: probability of a Gaussian blur (sigma 0.3 to 1.2 pixels).
        noise: probability of additive Gaussian noise, its deviation drawn up to `noise_levels` grey levels.
        noise_levels: see noise.
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


Pair = tuple[NDArray[Any], NDArray[Any]]


def augment(image: NDArray[Any], mask: NDArray[Any], a: Augment, ignore: int, rng: np.random.Generator) -> Pair:
    """Gives a changed picture and the mask that still fits it.

    Args:
        image: (H, W, 3) uint8, BGR.
        mask: (H, W) uint8 class ids.
        a: how far.
        ignore: id for mask pixels from outside the picture.
        rng: the only source of chance.

    Returns:
        New arrays of the same shapes and dtypes.
    """
    image, mask = _warp(image, mask, a, ignore, rng)
    image = cv2.LUT(image, _tone(a, rng))
    if rng.random() < a.blur:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < a.noise:
        image = _noisy(image, rng.uniform(0, a.noise_levels), rng)
    return image, mask


def _warp(image: NDArray[Any], mask: NDArray[Any], a: Augment, ignore: int, rng: np.random.Generator) -> Pair:
    h, w = mask.shape
    zoom = math.exp(rng.uniform(math.log(a.scale[0]), math.log(a.scale[1])))
    angle = math.radians(rng.uniform(-a.rotate_deg, a.rotate_deg))
    flip = -1.0 if rng.random() < a.flip else 1.0
    # Where the view's centre lies in the picture: anywhere that keeps the view inside (or the picture in the view).
    reach_x, reach_y = abs(w - w / zoom) / 2, abs(h - h / zoom) / 2
    cx, cy = w / 2 + rng.uniform(-reach_x, reach_x), h / 2 + rng.uniform(-reach_y, reach_y)
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    matrix = np.array([[flip * cos, -flip * sin, 0.0], [sin, cos, 0.0]])
    matrix[:, 2] = np.array([(w - 1) / 2, (h - 1) / 2]) - matrix[:, :2] @ np.array([cx - 0.5, cy - 0.5])
    image = cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
                           borderValue=(114, 114, 114))
    mask = cv2.warpAffine(mask, matrix, (w, h), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT,
                          borderValue=ignore)
    return image, mask


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
