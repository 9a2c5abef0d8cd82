"""The nearest training pictures of generated ones, so that a generator that only remembers is seen to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 1024
"""Rows of a distance matrix that are in memory at once."""
SHOWN, NEAREST, GAP = 16, 5, 4
"""Samples in the picture, neighbours beside each, and pixels between the two."""
CLOSE = 0.01
"""Share of unseen pictures that lie nearer to a training picture than what counts as a copy does."""


@dataclass(frozen=True)
class Memory:
    """How near samples lie to training pictures, compared with pictures that nobody trained on.

    Attributes:
        copies: share of samples that lie nearer to a training picture than 99 of 100 unseen pictures do; about 0.01
            where nothing is remembered.
        samples: median distance of a sample to its nearest training picture.
        unseen: median distance of an unseen picture to its nearest training picture.
    """

    copies: float
    samples: float
    unseen: float


def memory(samples: NDArray[Any], unseen: NDArray[Any], train: NDArray[Any]) -> Memory:
    """Compares distances to the nearest training picture, in features (N, D), (M, D) and (T, D) float."""
    ours, theirs = (nearest(x, train, 1)[1][:, 0] for x in (samples, unseen))
    limit = np.quantile(theirs, CLOSE)
    return Memory(float((ours < limit).mean()), float(np.median(ours)), float(np.median(theirs)))


def nearest(queries: NDArray[Any], among: NDArray[Any], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Gives the k nearest rows of each query, nearest first: indices and distances, (N, k) each."""
    indices, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    for start in range(0, len(queries), ROWS):
        squares = squared_distances(queries[start:start + ROWS], among)
        order = np.argsort(squares, axis=1, kind="stable")[:, :k]
        indices[start:start + ROWS] = order
        distances[start:start + ROWS] = np.sqrt(np.maximum(np.take_along_axis(squares, order, 1), 0.0))
    return indices, distances


def squared_distances(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """(N, M) squared distances of rows, (N, D) and (M, D) float; rounding may leave some just below 0."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    products = a @ b.T
    products *= -2.0
    products += (a * a).sum(1)[:, None]
    products += (b * b).sum(1)
    return products


def picture(samples: NDArray[np.uint8], train: NDArray[np.uint8], indices: NDArray[np.int64],
            scale: int = 2) -> NDArray[np.uint8]:
    """Draws samples at the left, each beside its nearest training pictures.

    Args:
        samples: (N, H, W, 3) uint8, BGR.
        train: (T, H, W, 3) uint8, BGR.
        indices: (N, k) of `train`, nearest first.
        scale: how large a pixel becomes.

    Returns:
        (N H scale, (W + GAP + k W) scale, 3) uint8, BGR.
    """
    white = np.full((samples.shape[1], GAP, 3), 255, np.uint8)
    rows = [np.hstack([sample, white, *train[chosen]]) for sample, chosen in zip(samples, indices, strict=True)]
    return np.vstack(rows).repeat(scale, 0).repeat(scale, 1)
