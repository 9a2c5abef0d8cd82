"""Intervals from a handful of rounds. The unit is the round, a fresh process; nothing is computed over single calls.

Rounds are few, so that percentile intervals of their bootstrap are too narrow: here they are the expanded ones of
Hesterberg (2015, "What Teachers Should Know About the Bootstrap", 1411.5279), which take the quantile of
sqrt(n / (n - 1)) times Student's t in place of the normal's. All is done on logarithms, since what disturbs a
measurement multiplies it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from .rows import Range

LEVEL, LEAST_ROUNDS, RESAMPLES = 0.95, 3, 4000
MOST_CORRELATION = 0.8
"""What more is taken for this: so few rounds cannot tell them apart."""


def interval(values: Sequence[float], correlation: float = 0.0, level: float = LEVEL) -> Range | None:
    """Confidence interval of the median over rounds; None of fewer than LEAST_ROUNDS.

    Where rounds next to each other are alike, n rounds are worth fewer: as in the mean of an AR(1) process, the
    interval grows by sqrt((1 + correlation) / (1 - correlation)).

    Args:
        values: positive, one a round.
        correlation: of neighbouring rounds, see `correlation`.
        level: share of such intervals that hold the true median, 0 to 1.
    """
    if len(values) < LEAST_ROUNDS:
        return None
    logs = np.log(np.asarray(values, np.float64))
    middle = float(np.median(logs))
    return _around(middle, _medians(logs, 0) - middle, len(logs), correlation, level)


def prediction(values: Sequence[float], correlation: float = 0.0, level: float = LEVEL) -> Range | None:
    """Where the median of another run of as many rounds is expected; None of fewer than LEAST_ROUNDS.

    That other median errs as this one does, so it is the difference of two bootstrapped medians that is laid around
    the median. It grows with the rounds' correlation as `interval` does.

    Args:
        values: positive, one a round.
        correlation: of neighbouring rounds, see `correlation`.
        level: share of such intervals that hold the other run's median, 0 to 1.
    """
    if len(values) < LEAST_ROUNDS:
        return None
    logs = np.log(np.asarray(values, np.float64))
    return _around(float(np.median(logs)), _medians(logs, 0) - _medians(logs, 1), len(logs), correlation, level)


def ratio(values: Sequence[float], reference: Sequence[float], level: float = LEVEL) -> tuple[float, Range | None]:
    """How many times the reference's a row's headline is, and its confidence interval.

    Rounds of one number were measured next to each other, so what disturbed both of them cancels: the ratio is the
    median of the rounds' ratios.

    Args:
        values, reference: positive, one a round, in the order of the rounds, equally many.
        level: see `interval`.
    """
    ratios = np.asarray(values, np.float64) / np.asarray(reference, np.float64)
    return float(np.median(ratios)), interval(list(ratios), level=level)


def correlation(rows: Sequence[Sequence[float]]) -> float:
    """How alike neighbouring rounds are, pooled over rows: 0 (not at all) to MOST_CORRELATION.

    Lag-1 autocorrelation of the logarithms around each row's median, in units of their spread. A slow drift of the
    machine shows in all rows, so that together they tell what one cannot. The estimate's own bias, about
    -(1 + 3 r) / n of a series of n (Kendall 1954), is taken back.

    Args:
        rows: positive values, one a round, in the order of the rounds; shorter rows than 4 are left out.
    """
    products, squares, counts = 0.0, 0.0, []
    for values in rows:
        if len(values) >= 4:
            logs = np.log(np.asarray(values, np.float64))
            away = logs - logs.mean()
            spread = float(np.median(np.abs(away))) or 1e-9
            away = np.clip(away, -4 * spread, 4 * spread)  # a single wild round is no drift
            away = (away - away.mean()) / spread
            products += float((away[1:] * away[:-1]).sum())
            squares += float((away * away).sum())
            counts.append(len(values))
    if not squares:
        return 0.0
    n = float(np.mean(counts))
    found = products / squares * n / (n - 1)
    return float(np.clip((found + 1 / n) / (1 - 3 / n), 0.0, MOST_CORRELATION))


def mean_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float, float]:
    """Mean and its confidence interval by Student's t, for paired differences of a few trainings.

    Args:
        values: of any sign, 2 or more.
        level: share of such intervals that hold the true mean, 0 to 1.
    """
    mean, n = float(np.mean(values)), len(values)
    reach = student((1 + level) / 2, n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return mean, mean - reach, mean + reach


@cache
def student(probability: float, freedom: int) -> float:
    """Quantile of Student's t: where a share `probability` lies below."""
    angles = np.linspace(-math.pi / 2, math.pi / 2, 20001)  # t = sqrt(freedom) tan(angle) has density cos^(freedom - 1)
    density = np.maximum(np.cos(angles), 0.0) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return float(math.sqrt(freedom) * math.tan(np.interp(probability, below / below[-1], angles)))


def _medians(logs: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Medians of RESAMPLES draws of the rounds with replacement; the same draws each time."""
    return np.asarray(np.median(logs[_draws(seed, len(logs))], axis=1))


@cache
def _draws(seed: int, rounds: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, rounds)).integers(0, rounds, (RESAMPLES, rounds))


def _quantiles(values: NDArray[np.float64], rounds: int, level: float) -> Range:
    """The expanded interval of bootstrapped values."""
    reach = math.sqrt(rounds / (rounds - 1)) * student((1 + level) / 2, rounds - 1)
    tail = NormalDist().cdf(-reach)
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)


def _around(middle: float, errors: NDArray[np.float64], rounds: int, correlation: float, level: float) -> Range:
    """The expanded interval of bootstrapped errors, grown by the rounds' correlation, around a logarithm's middle."""
    low, high = _quantiles(errors, rounds, level)
    grown = math.sqrt((1 + correlation) / (1 - correlation))
    return math.exp(middle + grown * low), math.exp(middle + grown * high)
