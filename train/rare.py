"""Classes with few pixels: where a view finds them, and how they get into more pictures."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..runtime.dataset import Pair

FEWEST = 24
"""Pixels of a class that are worth copying."""
STEP = 4
"""A pixel to look around is sought on every fourth row and column."""


def rare_classes(frequency: NDArray[np.float64], share: float) -> tuple[int, ...]:
    """Ids of the classes that occur, but in less than `share` of the pixels. `frequency` is (C,), sums to 1."""
    return tuple(int(i) for i in np.flatnonzero((frequency > 0) & (frequency < share)))


def look_for(mask: NDArray[Any], classes: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int] | None:
    """(x, y) of a pixel of one of the classes, each class that is there being equally likely; None without any."""
    coarse = mask[STEP // 2::STEP, STEP // 2::STEP]
    there = [c for c in classes if (coarse == c).any()]
    if not there:
        return None
    ys, xs = np.nonzero(coarse == there[int(rng.integers(len(there)))])
    chosen = int(rng.integers(len(ys)))
    return int(xs[chosen]) * STEP + STEP // 2, int(ys[chosen]) * STEP + STEP // 2


def paste(pair: Pair, other: Pair, classes: tuple[int, ...], rng: np.random.Generator) -> Pair:
    """Copies all pixels of one rare class from another picture, moved sideways and fitted in brightness.

    Rows stay: in pictures of one kind of camera a thing's row says how far away it is, and so how large.

    Args:
        pair: image (H, W, 3) uint8 and mask (H, W) uint8; not written to.
        other: of the same size; not written to.
        classes: which are rare.
        rng: the only source of chance.

    Returns:
        New arrays, or `pair` itself where the other has too little of any rare class.
    """
    (image, mask), (there, labels) = pair, other
    counts = np.bincount(labels.ravel(), minlength=256)
    found = [c for c in classes if counts[c] >= FEWEST]
    if not found:
        return pair
    chosen = found[int(rng.integers(len(found)))]
    region = cv2.compare(labels, float(chosen), cv2.CMP_EQ)
    x, y, w, h = cv2.boundingRect(region)
    to = min(max(0, x + int(rng.integers(-mask.shape[1] // 4, mask.shape[1] // 4 + 1))), mask.shape[1] - w)
    region, piece = region[y:y + h, x:x + w], there[y:y + h, x:x + w]
    if rng.random() < 0.5:
        region, piece = np.ascontiguousarray(region[:, ::-1]), np.ascontiguousarray(piece[:, ::-1])
    gain = min(2.0, max(0.5, sum(cv2.mean(image)) / max(1.0, sum(cv2.mean(there)))))
    image, mask = image.copy(), mask.copy()
    cv2.copyTo(cv2.convertScaleAbs(piece, alpha=gain), region, image[y:y + h, to:to + w])
    mask[y:y + h, to:to + w][region > 0] = chosen
    return image, mask
