"""KID and the Fréchet distance against sums written out, closed forms, and many draws."""

import itertools

import numpy as np
import pytest
from epee.runtime.errors import DataError
from epee.runtime.quality import distances
from epee.runtime.quality.distances import frechet, kid


def test_kid_is_the_sum_over_all_pairs(monkeypatch):
    monkeypatch.setattr(distances, "ROWS", 5)  # blocks that do not divide the rows
    rng = np.random.default_rng(0)
    x, y = rng.gamma(2, size=(13, 4)), rng.gamma(2.5, size=(9, 4))

    def k(a, b):
        return (a @ b / 4 + 1) ** 3

    within = [np.mean([k(a, b) for a, b in itertools.permutations(s, 2)]) for s in (x, y)]
    between = np.mean([k(a, b) for a in x for b in y])
    assert kid(x, y).value == pytest.approx(sum(within) - 2 * between, rel=1e-12)


def test_kid_of_one_kind_is_zero_in_the_mean_and_its_error_is_what_it_says():
    rng = np.random.default_rng(1)
    found = [kid(rng.standard_normal((90, 8)), rng.standard_normal((60, 8)), resamples=0) for _ in range(150)]
    values = np.array([f.value for f in found])
    spread, said = values.std(ddof=1), np.sqrt(np.mean([f.se**2 for f in found]))
    assert abs(values.mean()) < 3 * spread / np.sqrt(len(values))
    assert (values < 0).mean() > 0.3  # unbiased, so it lies below as well as above
    assert 0.8 < said / spread < 1.5
    assert np.mean([abs(f.value) <= 2 * f.se for f in found]) > 0.9


def test_the_error_and_the_interval_hold_where_sets_differ():
    rng = np.random.default_rng(2)
    found = [kid(rng.standard_normal((90, 8)), rng.standard_normal((60, 8)) + 0.6, resamples=100, seed=i)
             for i in range(80)]
    values = np.array([f.value for f in found])
    assert 0.75 < np.sqrt(np.mean([f.se**2 for f in found])) / values.std(ddof=1) < 1.35
    assert np.mean([f.interval[0] <= values.mean() <= f.interval[1] for f in found]) > 0.85


def test_the_same_seed_gives_the_same_interval():
    x, y = np.random.default_rng(7).standard_normal((2, 50, 4))
    assert kid(x, y, seed=1) == kid(x, y, seed=1)
    assert kid(x, y, seed=1).interval != kid(x, y, seed=2).interval


def test_the_bootstrap_is_centred_on_the_value():
    """A naive one, which pairs a picture drawn twice with itself, lies far above."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((60, 30)), rng.standard_normal((60, 30))
    found = kid(x, y, resamples=2000)
    middle, width = np.mean(found.interval), found.interval[1] - found.interval[0]
    assert abs(middle - found.value) < 0.2 * width


def test_frechet_of_gaussians_of_known_moments():
    rng = np.random.default_rng(4)
    z = rng.standard_normal((400, 6))
    z = (z - z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z, rowvar=False))).T  # mean 0, covariance 1 exactly
    scale = np.array([1.0, 2.0, 0.5, 3.0, 1.0, 1.5])
    assert frechet(z, z * scale + 2.0) == pytest.approx(6 * 4.0 + ((1 - scale) ** 2).sum(), abs=1e-9)
    assert frechet(z, z[::-1]) == pytest.approx(0.0, abs=1e-9)


def test_frechet_against_scipys_matrix_root():
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((200, 12)) @ rng.standard_normal((12, 12)), rng.gamma(2, size=(200, 12))
    sx, sy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    want = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(sx + sy - 2 * linalg.sqrtm(sx @ sy).real)
    assert frechet(x, y) == pytest.approx(want, rel=1e-9)


def test_both_agree_with_torchmetrics():
    torch = pytest.importorskip("torch")
    fid, kids = pytest.importorskip("torchmetrics.image.fid"), pytest.importorskip("torchmetrics.image.kid")
    rng = np.random.default_rng(6)
    x, y = rng.gamma(2, size=(200, 12)), rng.gamma(2.2, size=(200, 12))
    a, b = torch.tensor(x), torch.tensor(y)
    assert kid(x, y).value == pytest.approx(float(kids.poly_mmd(a, b)), rel=1e-9)
    want = fid._compute_fid(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())
    assert frechet(x, y) == pytest.approx(float(want), rel=1e-6)


@pytest.mark.parametrize(("x", "y", "message"), [
    (np.ones((9, 3)), np.ones((9, 4)), r"features: got \(9, 3\) and \(9, 4\)"),
    (np.ones((3, 3)), np.ones((9, 3)), "got 3 and 9 pictures, expected 4 or more"),
    (np.full((9, 3), np.nan), np.ones((9, 3)), "not finite")])
def test_features_that_cannot_be_compared(x, y, message):
    for distance in (kid, frechet):
        with pytest.raises(DataError, match=message):
            distance(x, y)


@pytest.mark.parametrize(("n", "m", "message"), [(9, 8, "as many of both"), (5, 5, "more than 5 features")])
def test_frechet_needs_equal_counts_and_more_pictures_than_features(n, m, message):
    with pytest.raises(DataError, match=message):
        frechet(np.ones((n, 5)), np.ones((m, 5)))
