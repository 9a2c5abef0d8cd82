"""Distances between two sets of pictures, from features of each: KID and the Fréchet distance. Numpy only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

ROWS = 1024
"""Rows of a kernel matrix that are in memory at once."""
RESAMPLES = 200
MOST_FEATURES = 128
"""Features beyond this need more pictures for a covariance than we have."""


@dataclass(frozen=True)
class Kid:
    """A kernel distance with what it may be wrong by.

    Attributes:
        value: the unbiased squared distance; about 0 for pictures of one kind, and then as often below as above.
        se: its standard error.
        interval: 95% of the bootstrap, low and high.
    """

    value: float
    se: float
    interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {"value": self.value, "interval": list(self.interval), "se": self.se}


def kid(x: NDArray[Any], y: NDArray[Any], *, seed: int = 0, resamples: int = RESAMPLES) -> Kid:
    """Squared maximum mean discrepancy with the kernel (x'y/D + 1)^3, unbiased (Bińkowski 2018, arXiv 1801.01401).

    All pairs count, not blocks of a thousand. A picture that a bootstrap draws twice would be paired with itself,
    which is no pair of two pictures and pulls the distance up; so pairs of one picture are left out there as well:
    replicates are weighted means over the pairs of different pictures, and centred on the value.

    The standard error follows Hoeffding's decomposition of the U-statistic. With V1 the variance that the pictures'
    own mean kernels show and V2 that of what is left of the kernel without them, V1 contains V2 twice as noise, and
    the variance is V1 - V2, which is V2 where both sets are of one kind and V1 is nothing else. The bootstrap's
    variance is V1 + V2: the same for sets that differ, and wider by up to the root of 3 for sets that do not.

    Args:
        x: (N, D) float features of one set, N being 4 or more.
        y: (M, D) float features of the other.
        seed: of the bootstrap.
        resamples: how many bootstrap replicates; 0 gives an interval of 1.96 standard errors.

    Raises:
        DataError: too few rows, or different features.
    """
    check(x, y)
    x, y = x.astype(np.float64), y.astype(np.float64)
    n, m = len(x), len(y)
    rng = np.random.default_rng(seed)
    wx, wy = _weights(rng, n, resamples), _weights(rng, m, resamples)
    xx, yy, xy = _within(x, wx), _within(y, wy), _between(x, y, wx, wy)
    value = xx.mean + yy.mean - 2 * xy.mean
    first = 4 * (float(np.var(xx.rows - xy.rows, ddof=1)) / n + float(np.var(yy.rows - xy.columns, ddof=1)) / m)
    second = 2 * xx.rest / (n * (n - 1)) + 2 * yy.rest / (m * (m - 1)) + 4 * xy.rest / (n * m)
    se = math.sqrt(max(first - second, second))
    replicates = xx.replicates + yy.replicates - 2 * xy.replicates
    low, high = np.quantile(replicates, (0.025, 0.975)) if resamples else (value - 1.96 * se, value + 1.96 * se)
    return Kid(float(value), se, (float(low), float(high)))


def frechet(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Squared Fréchet distance of two Gaussians fitted to the features (Heusel 2017, arXiv 1706.08500).

    |mx - my|^2 + tr(Sx + Sy - 2 (Sx Sy)^(1/2)); the last trace is that of the square root of Sx^(1/2) Sy Sx^(1/2),
    which is symmetric. It shrinks as pictures get more: compare only values of the same counts.

    Args:
        x: (N, D) float features of one set.
        y: (N, D) float features of as many pictures of the other, N being more than D.

    Raises:
        DataError: different counts or features, or not more pictures than features.
    """
    check(x, y)
    if len(x) != len(y):
        raise DataError("Fréchet distance", got=f"{len(x)} and {len(y)} pictures", expected="as many of both")
    if len(x) <= x.shape[1]:
        raise DataError("Fréchet distance", got=f"{len(x)} pictures", expected=f"more than {x.shape[1]} features",
                        do="score on more pictures")
    x, y = x.astype(np.float64), y.astype(np.float64)
    sx, sy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = np.linalg.eigh(sx)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ sy @ root), 0.0)).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(sx) + np.trace(sy) - 2 * cross)


def check(x: NDArray[Any], y: NDArray[Any]) -> None:
    """Raises DataError where two sets of features cannot be compared."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise DataError("features", got=f"{x.shape} and {y.shape}", expected="(N, D) and (M, D)")
    if min(len(x), len(y)) < 4:
        raise DataError("features", got=f"{len(x)} and {len(y)} pictures", expected="4 or more of both")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("features", got="values that are not finite", expected="numbers")


@dataclass(frozen=True)
class _Sums:
    """What a pass over a kernel matrix leaves.

    Attributes:
        mean: over all pairs.
        rows, columns: each picture's mean over its pairs; columns only between sets.
        rest: variance of the kernel without the rows' and columns' means.
        replicates: (B,) bootstrapped means.
    """

    mean: float
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    rest: float
    replicates: NDArray[np.float64]


def _within(x: NDArray[np.float64], weights: NDArray[np.float64]) -> _Sums:
    n = len(x)
    rows, squares, weighted = np.empty(n), 0.0, np.zeros(weights.shape[1])
    for at, block in _kernel(x, x):
        own = np.arange(at.start, at.stop)
        block[own - at.start, own] = 0.0  # no picture is paired with itself
        rows[at] = block.sum(1) / (n - 1)
        squares += float(np.einsum("ij,ij->", block, block))
        weighted += ((block @ weights) * weights[at]).sum(0)
    mean = float(rows.mean())
    variance = squares / (n * (n - 1)) - mean**2
    pairs = weights.sum(0) ** 2 - (weights**2).sum(0)
    return _Sums(mean, rows, rows, max(0.0, variance - 2 * float(rows.var())), weighted / pairs)


def _between(x: NDArray[np.float64], y: NDArray[np.float64], wx: NDArray[np.float64],
             wy: NDArray[np.float64]) -> _Sums:
    rows, columns, squares, weighted = np.empty(len(x)), np.zeros(len(y)), 0.0, np.zeros(wx.shape[1])
    for at, block in _kernel(x, y):
        rows[at] = block.mean(1)
        columns += block.sum(0) / len(x)
        squares += float(np.einsum("ij,ij->", block, block))
        weighted += ((block @ wy) * wx[at]).sum(0)
    mean = float(rows.mean())
    rest = squares / (len(x) * len(y)) - mean**2 - float(rows.var()) - float(columns.var())
    return _Sums(mean, rows, columns, max(0.0, rest), weighted / (wx.sum(0) * wy.sum(0)))


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Rows of the kernel matrix, block by block, and which they are."""
    for start in range(0, len(x), ROWS):
        at = slice(start, min(start + ROWS, len(x)))
        block = x[at] @ y.T
        block /= x.shape[1]
        block += 1.0
        yield at, block * block * block


def _weights(rng: np.random.Generator, count: int, resamples: int) -> NDArray[np.float64]:
    """(count, resamples): how often each picture is drawn in each replicate."""
    return rng.multinomial(count, np.full(count, 1.0 / count), resamples).T.astype(np.float64)
