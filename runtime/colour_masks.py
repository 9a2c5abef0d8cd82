"""Masks that show each class in its colour, read and painted.

What is read may be a PNG, or nearly so, where it was compressed as photographs are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FARTHEST = 80
"""Distance in RGB, 0 to 441, from which a pixel shows no class: a border that compression has blended, or void."""


def classes_of(mask: NDArray[Any], colours: Sequence[tuple[int, int, int]], ignore: int) -> NDArray[np.uint8]:
    """(H, W) uint8: for each pixel the class whose colour is nearest.

    Args:
        mask: (H, W, 3) uint8, BGR.
        colours: (r, g, b) by class id.
        ignore: what a pixel gets that is `FARTHEST` or more from all of them.
    """
    pixels = mask.astype(np.int32)
    nearest = np.full(mask.shape[:2], FARTHEST**2, np.int32)
    ids = np.full(mask.shape[:2], ignore, np.uint8)
    for i, (r, g, b) in enumerate(colours):
        distance = np.square(pixels - np.array([b, g, r], np.int32)).sum(-1, dtype=np.int32)
        closer = distance < nearest
        nearest[closer], ids[closer] = distance[closer], i
    return ids


def painted(mask: NDArray[Any], colours: Sequence[tuple[int, int, int]]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, BGR: each pixel in the colour of its class, black where it has none; what `classes_of` reads.

    Args:
        mask: (H, W) uint8 class ids.
        colours: (r, g, b) by class id.
    """
    table = np.zeros((256, 3), np.uint8)
    table[:len(colours)] = np.asarray(colours, np.uint8)[:, ::-1]
    return table[mask]
