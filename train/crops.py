"""Training pairs of an enhancer: crops of good pictures and what damage makes of them, by (seed, step) alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .data import Order
from .degrade import Damage, degrade
from .scenes import Scenes

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
HELD_OUT = 1 << 23
"""Marks the chance of held-out pictures, which is the same at every score."""


class Crops:
    """Batches of damaged and good crops.

    Args:
        scenes: the good pictures, none smaller than `crop`.
        crop: height and width of good crops.
        scale: how many times smaller the damaged ones are.
        damage: what may happen to them.
        batch: crops a step.
        seed: of order, places, turns and damage.
    """

    def __init__(self, scenes: Scenes, crop: int, scale: int, damage: Damage, batch: int, seed: int) -> None:
        self._scenes, self._crop, self._scale, self._damage, self._seed = scenes, crop, scale, damage, seed
        self._order = Order(len(scenes), batch, seed)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each picture gives one crop."""
        return self._order.steps_per_epoch

    def __call__(self, step: int) -> Pair:
        """Gives damaged (N, crop / scale, crop / scale, 3) and good (N, crop, crop, 3), both uint8, BGR."""
        pairs = [self._make(step, slot, int(index)) for slot, index in enumerate(self._order(step))]
        return np.stack([bad for bad, _ in pairs]), np.stack([good for _, good in pairs])

    def _make(self, step: int, slot: int, index: int) -> Pair:
        """One crop, in one of the eight positions of a square."""
        rng = np.random.default_rng((self._seed, step, slot))
        image, side = self._scenes.images[index], self._crop
        y, x = (int(rng.integers(n - side + 1)) for n in image.shape[:2])
        good = np.rot90(image[y:y + side, x:x + side], int(rng.integers(4)))
        good = np.ascontiguousarray(good[:, ::-1] if rng.random() < 0.5 else good)
        return degrade(good, self._damage, self._scale, rng), good


def whole(scenes: Scenes, scale: int, damage: Damage, seed: int) -> list[Pair]:
    """Damaged and good whole pictures, the same at each call; what goes beyond a multiple of the scale is cut off."""
    pairs = []
    for index, image in enumerate(scenes.images):
        h, w = (n - n % scale for n in image.shape[:2])
        good = np.ascontiguousarray(image[:h, :w])
        pairs.append((degrade(good, damage, scale, np.random.default_rng((seed, HELD_OUT, index))), good))
    return pairs
