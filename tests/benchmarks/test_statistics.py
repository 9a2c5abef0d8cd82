"""Intervals over few rounds: they hold what they promise, on numbers drawn for it."""

import math

import numpy as np
import pytest
from epee.benchmarks.rounds import gather
from epee.benchmarks.rows import KEPT_SAMPLES, Round
from epee.benchmarks.scenarios import summary
from epee.benchmarks.statistics import correlation, interval, prediction, ratio, student


def test_student_is_the_tables() -> None:
    for freedom, value in ((1, 12.7062), (4, 2.7764), (8, 2.3060), (30, 2.0423)):
        assert student(0.975, freedom) == pytest.approx(value, abs=2e-3)
    assert student(0.5, 5) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("rounds", [5, 9])
def test_intervals_hold_the_truth_about_as_often_as_they_say(rounds: int) -> None:
    rng, held, predicted = np.random.default_rng(rounds), 0, 0
    for _ in range(400):
        one, other = np.exp(0.05 * rng.standard_normal((2, rounds)))
        low, high = interval(list(one)) or (0, 0)
        held += low <= 1 <= high
        low, high = prediction(list(one)) or (0, 0)
        predicted += low <= np.median(other) <= high
    assert held / 400 > 0.9
    assert predicted / 400 > 0.92


def test_a_prediction_is_wider_than_an_interval_and_both_are_wider_still_under_drift() -> None:
    values = [1.0, 1.02, 0.99, 1.05, 1.01, 0.98, 1.03]
    (low, high), (below, above), (least, most) = interval(values), prediction(values), prediction(values, 0.6)
    assert least < below < low < np.median(values) < high < above < most
    assert math.log(most) - math.log(1.01) == pytest.approx(2 * (math.log(above) - math.log(1.01)))
    drifted = interval(values, 0.6)
    assert math.log(drifted[0]) - math.log(1.01) == pytest.approx(2 * (math.log(low) - math.log(1.01)))


def test_two_rounds_say_nothing_about_intervals() -> None:
    assert interval([1.0, 1.1]) is None
    assert prediction([1.0, 1.1]) is None


def test_the_ratio_is_of_rounds_that_were_measured_together() -> None:
    machine = np.exp(np.cumsum(0.2 * np.random.default_rng(0).standard_normal(9)))  # drifts twofold
    middle, ends = ratio(list(1.1 * machine), list(machine))
    assert middle == pytest.approx(1.1)
    assert ends == pytest.approx((1.1, 1.1))


def test_correlation_sees_drift_that_all_rows_share() -> None:
    rng = np.random.default_rng(3)
    still = [list(np.exp(0.02 * rng.standard_normal(9))) for _ in range(40)]
    drift = [list(np.exp(0.02 * np.cumsum(rng.standard_normal(9)))) for _ in range(40)]
    assert correlation(still) < 0.15
    assert 0.4 < correlation(drift) <= 0.8
    assert correlation([[1.0, 2.0]]) == 0.0
    assert correlation([[1.0] * 9]) == 0.0


def test_gathering_keeps_outliers_and_thins_what_is_stored() -> None:
    calls = [[1.0] * 999 + [50.0], [2.0] * 1000, [3.0] * 1000]
    rounds = [Round(i, 0.0, summary(c)["p50"], 1000, 1000, sum(c) / 1e3, summary(c), c, 100.0, 20.0, 4.0)
              for i, c in enumerate(calls)]
    found = gather(rounds)
    assert found.ms == found.latency_ms["p50"] == 2.0
    assert (found.latency_ms["min"], found.latency_ms["max"]) == (1.0, 50.0)
    assert found.latency_ms["mean"] == pytest.approx((999 + 50 + 2000 + 3000) / 3000)
    assert found.fps == pytest.approx(500)
    assert (found.cpu_ms, found.energy_mj) == (4.0, None)
    assert all(len(r.samples_ms) == KEPT_SAMPLES for r in found.rounds)
