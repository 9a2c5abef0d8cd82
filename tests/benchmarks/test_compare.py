"""Comparisons: exact bounds, verdicts for all rows together, and how often they are right and wrong."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from epee.benchmarks.compare import ALPHA, BROKEN, FINE, NEW, SLOWER, UNDECIDED, compare, render
from epee.benchmarks.rounds import gather
from epee.benchmarks.rows import SINGLE, Round, Row
from epee.benchmarks.signed_rank import estimate, lower_bound, rounds_for, upper_bound


def row(rounds_ms: Sequence[float], variant: str = "fp32", **facts: object) -> Row:
    """A measured row with these rounds."""
    rounds = [Round(i, float(i), ms, 10, 10, 0.1) for i, ms in enumerate(rounds_ms)]
    return Row("onnxruntime", "cpu", variant, "fp32", 1000, 1, scenarios={SINGLE: gather(rounds)} if rounds else {},
               **facts)  # type: ignore[arg-type]


def test_bounds_are_walsh_averages_at_exact_ranks() -> None:
    differences = [1.0, 2.0, 4.0, 8.0, 16.0]
    assert lower_bound(differences, 0.05) == 1.0  # P(no rank negative) = 1/32; one more would be 2/32
    assert lower_bound(differences, 2 / 32) == 1.5
    assert upper_bound(differences, 0.05) == 16.0
    assert lower_bound(differences, 0.03) == -math.inf
    assert estimate([1.0, 2.0, 9.0]) == 3.5


@pytest.mark.parametrize("noise", ["normal", "wild"])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 6])
def test_bounds_err_as_seldom_as_they_say(noise: str, alpha: float) -> None:
    rng = np.random.default_rng(0)
    draws = rng.standard_t(2, (2000, 9)) if noise == "wild" else rng.normal(size=(2000, 9))
    wrong = np.mean([lower_bound(d, alpha) > 0 for d in draws])
    assert wrong < alpha + 3 * math.sqrt(alpha / 2000)


def test_verdicts_are_by_interval() -> None:
    rng = np.random.default_rng(1)
    drift = np.exp(rng.normal(0, 0.2, 12))  # the machine's, common to both
    old = [row(10 * drift, name) for name in ("same", "slow", "noisy", "broken")]
    new = [row(10 * drift * np.exp(rng.normal(0, 0.005, 12)), "same"), row(11 * drift, "slow"),
           row(10.5 * drift * np.exp(rng.normal(0, 0.3, 12)), "noisy"), row((), "broken", error="no memory"),
           row(5 * drift, "added")]
    found = compare(new, old, 0.05, "bundle 'old'")
    assert [r.verdict for r in found.rows] == [FINE, SLOWER, UNDECIDED, BROKEN, NEW]
    assert not found.ok
    assert found.rows[1].ratio == pytest.approx(1.1)
    assert found.rows[2].wanted > 12
    assert found.rows[3].note == "no memory"
    text = render(found)
    assert "10.0% (+10.0 to +10.0)" in text
    assert "SLOWER" in text
    assert f"--rounds {found.rows[2].wanted}" in text
    assert compare(new[:1], old, 0.05, "").ok


def test_a_wrong_answer_breaks_a_row_that_was_right() -> None:
    found = compare([row([10.0] * 5, wrong=["output 'mask': got 0.5 equal"])], [row([10.0] * 5)], 0.05, "")
    assert (found.ok, found.rows[0].verdict) == (False, BROKEN)


def test_too_few_rounds_blame_nobody_and_say_how_many_it_takes() -> None:
    found = compare([row([20.0] * 3)], [row([10.0] * 3)], 0.05, "")
    assert (found.ok, found.rows[0].verdict, found.rows[0].low, found.rows[0].high) == (True, UNDECIDED, 0.0, None)
    assert found.rows[0].wanted >= 5
    assert "too few rounds" in render(found)


def test_figures_of_another_time_are_compared_by_their_prediction() -> None:
    rng = np.random.default_rng(2)
    old = [row(10 * np.exp(rng.normal(0, 0.01, 9)))]
    assert compare([row([10.1] * 9)], old, 0.05, "", paired=False).rows[0].verdict != SLOWER
    found = compare([row([12.0] * 9)], old, 0.05, "", paired=False)
    assert found.rows[0].verdict == SLOWER
    assert 1.05 < found.rows[0].low < 1.2 < (found.rows[0].high or 0)


def test_a_tenth_is_found_and_nothing_is_not_blamed_over_six_rows() -> None:
    rng = np.random.default_rng(3)
    found = blamed = 0
    for _ in range(200):
        noise = rng.normal(0, 0.02, (6, 12)) + rng.normal(0, 0.01, (1, 12))  # some of it common to all rows
        noise[:, rng.integers(12)] += 0.2  # and one wild round
        blamed += any(lower_bound(n, ALPHA / 6) > math.log(1.05) for n in noise)
        found += lower_bound(noise[0] + math.log(1.1), ALPHA / 6) > math.log(1.05)
    assert blamed <= 10
    assert found >= 190


def test_rounds_for_grow_with_the_spread() -> None:
    rng = np.random.default_rng(4)
    calm, wild = rng.normal(0, 0.01, 9), rng.normal(0, 0.05, 9)
    assert 7 <= rounds_for(calm, 0.01, 0.05) < rounds_for(wild, 0.01, 0.05)
