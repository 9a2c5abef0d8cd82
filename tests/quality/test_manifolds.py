"""Precision and recall, and nearest neighbours, on points that can be counted by hand."""

import numpy as np
import pytest
from epee.runtime.quality import neighbours, precision_recall
from epee.runtime.quality.neighbours import memory, nearest, picture


def by_hand(queries, manifold, k):
    """Share of queries within a ball of the manifold, with loops."""
    def distance(a, b):
        return float(np.sqrt(((a - b) ** 2).sum()))

    radii = [sorted(distance(a, b) for j, b in enumerate(manifold) if j != i)[k - 1] for i, a in enumerate(manifold)]
    return np.mean([any(distance(q, a) <= r for a, r in zip(manifold, radii, strict=True)) for q in queries])


def test_precision_and_recall_are_those_counted_by_hand(monkeypatch):
    monkeypatch.setattr(precision_recall, "ROWS", 7)
    rng = np.random.default_rng(0)
    real, fake = rng.standard_normal((40, 3)), 0.7 * rng.standard_normal((30, 3)) + 0.5
    got = precision_recall.precision_recall(real, fake)
    assert got == (by_hand(fake, real, 3), by_hand(real, fake, 3))
    assert 0 < got[1] < got[0]


def test_a_collapsed_set_is_precise_and_recalls_nothing():
    rng = np.random.default_rng(1)
    real = rng.standard_normal((200, 4))
    precision, recall = precision_recall.precision_recall(real, real[:1] + 1e-3 * rng.standard_normal((200, 4)))
    assert precision == 1.0
    assert recall < 0.02


def test_pictures_that_are_all_over_the_place_are_not_precise():
    rng = np.random.default_rng(2)
    precision, recall = precision_recall.precision_recall(rng.standard_normal((200, 4)),
                                                          9 * rng.standard_normal((200, 4)))
    assert precision < 0.1
    assert recall > 0.9


def test_nearest_are_those_of_all_distances(monkeypatch):
    monkeypatch.setattr(neighbours, "ROWS", 4)
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((10, 5)), rng.standard_normal((20, 5))
    indices, distances = nearest(a, b, 3)
    whole = np.linalg.norm(a[:, None] - b[None], axis=2)
    assert (indices == np.argsort(whole, 1)[:, :3]).all()
    assert distances == pytest.approx(np.sort(whole, 1)[:, :3])


def test_what_only_remembers_is_seen():
    rng = np.random.default_rng(4)
    train, unseen = rng.standard_normal((300, 6)), rng.standard_normal((200, 6))
    honest = memory(rng.standard_normal((200, 6)), unseen, train)
    copying = memory(train[:200] + 1e-3 * rng.standard_normal((200, 6)), unseen, train)
    assert honest.copies < 0.05
    assert honest.samples == pytest.approx(honest.unseen, rel=0.15)
    assert copying.copies == 1.0
    assert copying.samples < 0.01 * copying.unseen


def test_the_picture_shows_samples_and_their_nearest():
    samples = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (10, 20)])
    train = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (100, 110, 120)])
    drawn = picture(samples, train, np.array([[2, 0], [1, 2]]), scale=3)
    assert drawn.shape == (2 * 4 * 3, (4 + neighbours.GAP + 2 * 4) * 3, 3)
    middle = drawn[6::12, [6, 18, 6 + 3 * (4 + neighbours.GAP), 18 + 3 * (4 + neighbours.GAP)], 0]
    assert middle.tolist() == [[10, 255, 120, 100], [20, 255, 110, 120]]
