"""Precision: how many generated pictures look real. Recall: how many real ones could have been generated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .distances import check
from .neighbours import ROWS, squared_distances

NEIGHBOURS = 3


def precision_recall(real: NDArray[Any], fake: NDArray[Any], k: int = NEIGHBOURS) -> tuple[float, float]:
    """Shares of pictures that lie within the other set's manifold (Kynkäänniemi 2019, arXiv 1904.06991), 0 to 1.

    A set's manifold is a ball around each picture that reaches to its k-th nearest neighbour in the set. Both shares
    depend on the counts: compare only values of the same.

    Args:
        real: (N, D) float features of real pictures.
        fake: (M, D) float features of generated ones.
        k: which neighbour a ball reaches to; both sets have more pictures than that.

    Raises:
        DataError: too few rows, or different features.
    """
    check(real, fake)
    return inside(fake, real, k), inside(real, fake, k)


def inside(queries: NDArray[Any], manifold: NDArray[Any], k: int = NEIGHBOURS) -> float:
    """Share of `queries` within one ball at least of `manifold`."""
    radii, hits = _radii(manifold, k), 0
    for start in range(0, len(queries), ROWS):
        distances = squared_distances(queries[start:start + ROWS], manifold)
        hits += int((distances <= radii).any(1).sum())
    return hits / len(queries)


def _radii(features: NDArray[Any], k: int) -> NDArray[np.float64]:
    """(N,) squared distance from each row to its k-th nearest other row."""
    radii = np.empty(len(features))
    for start in range(0, len(features), ROWS):
        distances = squared_distances(features[start:start + ROWS], features)
        own = np.arange(start, start + len(distances))
        distances[own - start, own] = -1.0  # itself, before all others
        radii[own] = np.partition(distances, k, axis=1)[:, k]
    return radii
