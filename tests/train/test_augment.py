import numpy as np
import pytest
from epee.train.augment import Augment, augment

STILL = Augment(scale=(1, 1), flip=0, brightness=0, contrast=0, gamma=(1, 1), channel=(1, 1), blur=0, noise=0)


@pytest.fixture
def pair():
    """A picture whose colour says its class, so that alignment can be seen."""
    mask = np.repeat(np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4), 24, 0), 24, 1)
    return np.stack([mask * 20] * 3, -1), mask


def test_nothing_asked_for_changes_nothing(pair):
    image, mask = augment(*pair, STILL, 255, np.random.default_rng(0))
    assert np.array_equal(image, pair[0])
    assert np.array_equal(mask, pair[1])


def test_a_flip_is_a_mirror(pair):
    how = Augment(**{**STILL.__dict__, "flip": 1.0})
    image, mask = augment(*pair, how, 255, np.random.default_rng(0))
    assert np.array_equal(image, pair[0][:, ::-1])
    assert np.array_equal(mask, pair[1][:, ::-1])


@pytest.mark.parametrize("seed", range(8))
def test_picture_and_mask_move_together(pair, seed):
    how = Augment(**{**STILL.__dict__, "scale": (0.5, 2.0), "rotate_deg": 20.0, "flip": 0.5})
    image, mask = augment(*pair, how, 255, np.random.default_rng(seed))
    inside = mask != 255
    agree = np.abs(image[..., 0].astype(int) - mask.astype(int) * 20) <= 1
    assert agree[inside].mean() > 0.85  # the rest lies on borders, where the picture is interpolated
    assert inside.mean() > 0.2


def test_zooming_out_fills_with_ignore(pair):
    how = Augment(**{**STILL.__dict__, "scale": (0.5, 0.5)})
    _, mask = augment(*pair, how, 255, np.random.default_rng(1))
    assert 0.70 < (mask == 255).mean() < 0.80


def test_tone_changes_the_picture_and_not_the_mask(pair):
    how = Augment(**{**STILL.__dict__, "brightness": 0.5, "gamma": (0.5, 2.0), "noise": 1.0, "blur": 1.0})
    image, mask = augment(*pair, how, 255, np.random.default_rng(0))
    assert np.array_equal(mask, pair[1])
    assert not np.array_equal(image, pair[0])
    assert image.dtype == np.uint8


def test_the_same_seed_gives_the_same_pair(pair):
    a = augment(*pair, Augment(), 255, np.random.default_rng((3, 7)))
    b = augment(*pair, Augment(), 255, np.random.default_rng((3, 7)))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("zoom", [0.75, 1.3, 2.0])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_mask_and_picture_agree_to_a_fraction_of_a_pixel(zoom, flip):
    """Both carry the same ramp; half a pixel of shift would blur every pole."""
    ramp = np.tile((np.arange(480) / 2).astype(np.uint8), (360, 1))
    how = Augment(**{**STILL.__dict__, "scale": (zoom, zoom), "flip": flip})
    for seed in range(6):
        image, mask = augment(np.repeat(ramp[..., None], 3, 2), ramp, how, 255, np.random.default_rng(seed))
        inside = (mask != 255) & (image[..., 0] > 4) & (image[..., 0] < 235)
        shift_px = 2 * (image[..., 0].astype(float) - mask)[inside].mean()
        assert abs(shift_px) < 0.4


def test_a_smaller_view_is_a_piece_of_the_picture(pair):
    image, mask = augment(*pair, STILL, 255, np.random.default_rng(0), view_wh=(60, 40))
    assert (image.shape, mask.shape) == ((40, 60, 3), (40, 60))
    assert not (mask == 255).any()  # nothing from outside
    assert (np.abs(image[..., 0].astype(int) - mask.astype(int) * 20) <= 1).mean() > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_a_view_is_laid_around_a_pixel_and_stays_inside(pair, seed):
    how = Augment(**{**STILL.__dict__, "scale": (2.0, 2.0)})
    image, mask = pair[0], np.zeros_like(pair[1])
    mask[6:10, 80:84] = 7
    _, seen = augment(image, mask, how, 255, np.random.default_rng(seed), around_xy=(82, 8))
    assert (seen == 7).sum() == 4 * 16
    assert not (seen == 255).any()


def test_saturation_moves_colours_and_leaves_grey(pair):
    how = Augment(**{**STILL.__dict__, "saturation": 0.8})
    grey, _ = augment(*pair, how, 255, np.random.default_rng(0))
    assert np.all(np.abs(grey.astype(int) - pair[0]) <= 1)
    blue = np.zeros_like(pair[0])
    blue[..., 0] = 200
    assert not np.array_equal(augment(blue, pair[1], how, 255, np.random.default_rng(0))[0], blue)


def test_small_views_come_in_their_share_of_the_steps():
    how = Augment(small_steps=0.6)
    sizes = [how.view_wh((480, 360), step, 0) for step in range(400)]
    assert set(sizes) == {(480, 360), (320, 240)}
    assert 0.5 < sizes.count((320, 240)) / 400 < 0.7
