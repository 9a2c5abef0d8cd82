"""Scores against hand-counted and brute-force values."""

import math

import numpy as np
import pytest
from epee.runtime.scores import Confusion, equal_share, psnr


def test_hand_counted() -> None:
    confusion = Confusion(3)
    confusion.add(np.array([[0, 0, 1], [1, 1, 255]], np.uint8), np.array([[0, 1, 1], [1, 0, 2]], np.uint8))
    assert confusion.matrix.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert confusion.iou()[:2].tolist() == [1 / 3, 2 / 4]
    assert math.isnan(confusion.iou()[2])
    assert confusion.miou() == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert confusion.pixel_accuracy() == pytest.approx(3 / 5)


def test_against_sets_of_pixels() -> None:
    random = np.random.default_rng(0)
    labels, answers = random.integers(0, 6, (2, 4, 30, 40)).astype(np.uint8)
    labels[labels == 5] = 255
    answers[answers == 5] = 4
    confusion = Confusion(5)
    for label, answer in zip(labels, answers, strict=True):
        confusion.add(label, answer)
    keep = labels != 255
    for c in range(5):
        hit = ((labels == c) & (answers == c) & keep).sum()
        union = (((labels == c) | (answers == c)) & keep).sum()
        assert confusion.iou()[c] == pytest.approx(hit / union)
    assert confusion.pixel_accuracy() == pytest.approx((labels == answers)[keep].mean())


def test_sum_of_a_split_is_not_the_mean_of_its_pictures() -> None:
    both, a, b = Confusion(2), Confusion(2), Confusion(2)
    pairs = [([[0, 0, 0, 0]], [[0, 0, 0, 1]]), ([[1, 1, 1, 1]], [[0, 1, 1, 1]])]
    for one, (label, answer) in zip((a, b), pairs, strict=True):
        one.add(np.array(label), np.array(answer))
        both.add(np.array(label), np.array(answer))
    assert both.miou() == pytest.approx(0.6)
    assert both.miou() != pytest.approx((a.miou() + b.miou()) / 2)


def test_an_answer_outside_the_classes_is_wrong() -> None:
    confusion = Confusion(2)
    confusion.add(np.array([[0, 0]], np.uint8), np.array([[0, 200]], np.uint8))
    assert confusion.iou()[0] == 0.5
    assert confusion.pixel_accuracy() == 0.5


def test_nothing_counted_is_nan_without_warnings(recwarn) -> None:
    confusion = Confusion(2)
    confusion.add(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8))
    assert math.isnan(confusion.miou())
    assert math.isnan(confusion.pixel_accuracy())
    assert not recwarn.list


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(2, 3\)"):
        Confusion(2).add(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))


def test_psnr() -> None:
    a = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(a, a) == math.inf
    assert psnr(a, a + 10) == pytest.approx(20 * math.log10(255 / 10))
    assert psnr(a, a - 10) == psnr(a, a + 10)


def test_equal_share() -> None:
    a = np.array([0, 10, 250, 255], np.uint8)
    b = np.array([0, 11, 255, 0], np.uint8)
    assert equal_share(a, b) == 0.25
    assert equal_share(a, b, 1) == 0.5
    assert equal_share(a, b, 5) == 0.75
    assert equal_share(b, a, 5) == 0.75
