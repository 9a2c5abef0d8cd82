"""The Wilcoxon signed-rank test turned round: bounds of a shift that hold whatever the noise looks like.

Old and new are measured one right after the other, which of them first by lot. If they are equally fast, the sign of
each round's difference is a coin's, however wild the machine is. So the distribution of the signed-rank statistic is
known exactly, and its quantiles pick two of the means of pairs of rounds (Walsh averages) as bounds; their median is
the estimate (Hodges and Lehmann 1963). A wild round moves neither far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

EFFICIENCY = 3 / math.pi
"""Of the rank test beside Student's t where the noise is normal; elsewhere it is mostly better."""


def estimate(differences: Sequence[float]) -> float:
    """The Hodges-Lehmann estimate of the differences' centre.

    Args:
        differences: one a round, at least one.
    """
    return float(np.median(_walsh(differences)))


def lower_bound(differences: Sequence[float], alpha: float) -> float:
    """What the centre is not below, but for a share `alpha` of such bounds; minus infinity of too few rounds.

    Args:
        differences: one a round.
        alpha: one-sided share of errors, above 0 and below 1.
    """
    n = len(differences)
    counts = np.ones(1)
    for rank in range(1, n + 1):  # how many of the 2^n sets of signs give each rank sum
        counts = np.concatenate([counts, np.zeros(rank)]) + np.concatenate([np.zeros(rank), counts])
    below = np.cumsum(counts) / 2.0 ** n
    k = int(np.searchsorted(below, alpha, side="right"))  # the largest k with P(sum < k) <= alpha
    return float(np.sort(_walsh(differences))[k - 1]) if k else -math.inf


def upper_bound(differences: Sequence[float], alpha: float) -> float:
    """What the centre is not above; see `lower_bound`."""
    return -lower_bound([-d for d in differences], alpha)


def rounds_for(differences: Sequence[float], alpha: float, distance: float, power: float = 0.95) -> int:
    """How many rounds find a centre that is `distance` above the limit, by the spread of the rounds at hand.

    Args:
        differences: one a round, at least two.
        alpha: of `lower_bound`.
        distance: positive, in the differences' unit.
        power: share of comparisons that shall find it.
    """
    values = np.asarray(differences, np.float64)
    middle = float(np.median(values))
    spread = max(1.4826 * float(np.median(np.abs(values - middle))), 1e-9)  # of a normal, its standard deviation
    reach = NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power)
    least = math.ceil(math.log2(1 / alpha))  # fewer can't tell, whatever they show
    return max(least + 2, math.ceil((reach * spread / distance) ** 2 / EFFICIENCY) + 2)


def _walsh(differences: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(differences, np.float64)
    i, j = np.triu_indices(len(values))
    means: NDArray[np.float64] = (values[i] + values[j]) / 2
    return means
