import numpy as np
import pytest
from epee.train.rare import look_for, paste, rare_classes


@pytest.fixture
def bare():
    """A grey picture of class 0 alone."""
    return np.full((48, 64, 3), 100, np.uint8), np.zeros((48, 64), np.uint8)


@pytest.fixture
def poled():
    """A picture twice as bright, with a pole of class 2 that is 4 wide and 30 high, and a speck of class 3."""
    image, mask = np.full((48, 64, 3), 200, np.uint8), np.zeros((48, 64), np.uint8)
    image[10:40, 30:34], mask[10:40, 30:34] = 20, 2
    mask[0, 0] = 3
    return image, mask


def test_rare_is_what_occurs_and_is_small():
    assert rare_classes(np.array([0.9, 0.0, 0.01, 0.09]), 0.02) == (2,)


def test_a_pixel_is_found_in_a_rare_class(poled):
    for seed in range(8):
        x, y = look_for(poled[1], (2,), np.random.default_rng(seed))
        assert poled[1][y, x] == 2
    assert look_for(poled[1], (1,), np.random.default_rng(0)) is None


@pytest.mark.parametrize("seed", range(6))
def test_a_rare_thing_is_copied_whole_in_its_rows_and_fitted_in_brightness(bare, poled, seed):
    image, mask = paste(bare, poled, (2, 3), np.random.default_rng(seed))
    assert (mask == 2).sum() == (poled[1] == 2).sum()
    assert sorted(set(np.nonzero(mask == 2)[0])) == list(range(10, 40))
    assert not (mask == 3).any()  # a speck is not worth it
    assert np.all(np.abs(image[mask == 2].astype(int) - 10) <= 1)
    assert np.all(image[mask == 0] == 100)
    assert not bare[1].any()  # not written to


def test_without_rare_things_the_pair_stays(bare):
    assert paste(bare, bare, (2,), np.random.default_rng(0)) is bare
