"""Smoothing and the score that judges it, on drawn streets whose labels are known."""

import numpy as np
import pytest

pytest.importorskip("cv2")
from epee.runtime.errors import DataError
from epee.runtime.flicker import Flicker, paths
from epee.runtime.manifest import Fit
from epee.runtime.scores import Confusion
from epee.runtime.smoothing import Smoother
from epee.runtime.street import Street
from epee.runtime.street.classes import NAMES

FRAMES, SIZE_WH = 12, (240, 180)


@pytest.fixture(scope="module")
def drive():
    """Images and labels of a short drive."""
    street = Street(5, SIZE_WH)
    pairs = [street.render(i) for i in range(FRAMES)]
    return [image for image, _ in pairs], [label for _, label in pairs]


@pytest.fixture(scope="module")
def ways(drive):
    return paths(drive[0])


def noisy(labels, share=0.1, block=6):
    """Labels with blocks that change to another class, other blocks in each frame: a network that flickers."""
    rng = np.random.default_rng(0)
    answers = []
    for label in labels:
        h, w = label.shape
        wrong = np.kron(rng.random((-(-h // block), -(-w // block))) < share, np.ones((block, block), bool))[:h, :w]
        answers.append(np.where(wrong & (label < len(NAMES)), (label + 1) % len(NAMES), label).astype(np.uint8))
    return answers


def flicker_of(masks, ways):
    flicker = Flicker()
    for mask, way in zip(masks, ways, strict=True):
        flicker.add(mask, way)
    return flicker.share


def miou(labels, masks):
    confusion = Confusion(len(NAMES))
    for label, mask in zip(labels, masks, strict=True):
        confusion.add(label, mask)
    return confusion.miou()


def test_a_flickering_mask_becomes_steadier_and_no_worse(drive, ways):
    images, labels = drive
    masks = noisy(labels)
    smoother = Smoother(Fit())
    smooth = [smoother(image, mask) for image, mask in zip(images, masks, strict=True)]
    assert flicker_of(smooth, ways) < 0.7 * flicker_of(masks, ways)
    assert miou(labels[1:], smooth[1:]) > miou(labels[1:], masks[1:])


def test_a_right_mask_stays_nearly_as_it_is(drive):
    images, labels = drive
    smoother = Smoother(Fit())
    smooth = [smoother(image, label) for image, label in zip(images, labels, strict=True)]
    assert miou(labels, smooth) > 0.95


def test_what_looks_new_is_taken_at_once():
    image = np.full((96, 128, 3), 90, np.uint8)
    mask = np.zeros((96, 128), np.uint8)
    smoother = Smoother(Fit())
    smoother(image, mask)
    image, mask = image.copy(), mask.copy()
    image[30:60, 40:80] = 230
    mask[30:60, 40:80] = 3
    assert np.mean(smoother(image, mask)[32:58, 42:78] == 3) > 0.95


def test_what_looks_the_same_is_taken_the_second_time():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 255, (96, 128, 3), np.uint8)
    old, new = np.zeros((96, 128), np.uint8), np.full((96, 128), 4, np.uint8)
    smoother = Smoother(Fit())
    smoother(image, old)
    assert np.mean(smoother(image, new) == 0) > 0.99
    assert np.mean(smoother(image, new) == 4) > 0.99


def test_after_a_reset_nothing_is_held():
    image = np.full((96, 128, 3), 90, np.uint8)
    smoother = Smoother(Fit())
    smoother(image, np.zeros((96, 128), np.uint8))
    smoother.reset()
    assert (smoother(image, np.full((96, 128), 2, np.uint8)) == 2).all()


@pytest.mark.parametrize("size_hw", [(8, 8), (33, 47), (360, 480)])
def test_any_size_of_mask_and_frame(size_hw):
    rng = np.random.default_rng(2)
    smoother = Smoother(Fit("letterbox"))
    for _ in range(3):
        mask = rng.integers(0, 5, size_hw).astype(np.uint8)
        answer = smoother(rng.integers(0, 255, (90, 160, 3), np.uint8), mask)
        assert answer.shape == size_hw
        assert answer.dtype == np.uint8


def test_a_change_of_size_starts_anew():
    smoother = Smoother(Fit())
    image = np.full((96, 128, 3), 90, np.uint8)
    smoother(image, np.zeros((96, 128), np.uint8))
    assert (smoother(image, np.full((48, 64), 1, np.uint8)) == 1).all()


def test_a_mask_of_floats_is_refused():
    with pytest.raises(DataError, match="uint8 class ids"):
        Smoother(Fit())(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.float32))


def test_flicker_of_labels_that_move_with_the_scene_is_low_and_of_noise_is_its_share(drive, ways):
    _, labels = drive
    still, changing = flicker_of(labels, ways), flicker_of(noisy(labels, 0.1), ways)
    assert still < 0.03
    assert 0.1 < changing - still < 0.25  # two frames of noise at 10%: about 19%


def test_a_frozen_mask_flickers_when_the_scene_moves(drive, ways):
    _, labels = drive
    assert flicker_of([labels[0]] * FRAMES, ways) > flicker_of(labels, ways)


def test_frames_of_two_sizes_are_no_video():
    with pytest.raises(DataError, match="frame 1"):
        paths([np.zeros((64, 64, 3), np.uint8), np.zeros((32, 64, 3), np.uint8)])


def test_nothing_followed_is_nan():
    assert np.isnan(Flicker().share)
