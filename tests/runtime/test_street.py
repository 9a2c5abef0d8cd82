"""The drawn street: the same everywhere, moving smoothly, labelled to the pixel, in splits that share nothing."""

import hashlib
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from epee.runtime.errors import EpeeError
from epee.runtime.street import COLOURS, NAMES, Street, StreetDataset
from epee.runtime.street.dataset import SEEDS_PER_SPLIT, SPLITS

SMALL_WH = (160, 120)


def digest(seed: int, index: int) -> str:
    image, mask = Street(seed, SMALL_WH).render(index)
    return hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest()


def test_a_frame_depends_on_seed_size_and_index_alone():
    drive = Street(5, SMALL_WH)
    in_turn = [drive.render(i) for i in (0, 1, 300, 2)]
    for index, (image, mask) in zip((0, 1, 300, 2), in_turn, strict=True):
        alone = Street(5, SMALL_WH).render(index)
        np.testing.assert_array_equal(image, alone[0])
        np.testing.assert_array_equal(mask, alone[1])


def test_a_fresh_process_draws_the_same_frame():
    code = (
        "import hashlib; from epee.runtime.street import Street\n"
        f"image, mask = Street(5, {SMALL_WH}).render(40)\n"
        "print(hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == digest(5, 40)


def test_a_frame_stays_as_it_was_when_the_next_one_is_drawn():
    drive = Street(3, SMALL_WH)
    image, mask = drive.render(0)
    before = image.copy(), mask.copy()
    drive.render(50)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_other_seeds_are_other_streets():
    assert len({digest(seed, 0) for seed in range(8)}) == 8


@pytest.mark.parametrize("size_wh", [(96, 72), (97, 75), (320, 240), (240, 320), (640, 360)])
def test_any_size(size_wh):
    w, h = size_wh
    for seed in range(3):
        image, mask = Street(seed, size_wh).render(17)
        assert image.shape == (h, w, 3)
        assert mask.shape == (h, w)
        assert image.dtype == mask.dtype == np.uint8
        assert mask.max() < len(NAMES)
        assert image.flags.c_contiguous
        assert mask.flags.c_contiguous


def test_the_drive_never_ends():
    drive = Street(1, SMALL_WH)
    for index in (0, 99_999, 10**7, 10**9):
        image, mask = drive.render(index)
        assert image.std() > 5
        assert len(np.unique(mask)) >= 4


@pytest.mark.parametrize("seed", [0, 4, 9])
def test_frames_follow_each_other_smoothly(seed):
    drive = Street(seed, SMALL_WH)
    frames = [drive.render(index) for index in range(100, 116)]
    for (image, mask), (next_image, next_mask) in pairwise(frames):
        change = np.abs(next_image.astype(int) - image).mean()
        assert 0.3 < change < 20
        assert (mask != next_mask).mean() < 0.12
    assert (frames[0][1] != frames[-1][1]).mean() > 0.01


def test_every_class_appears_and_none_is_rare():
    data = StreetDataset("val", SMALL_WH, 24)
    seen = np.stack([np.bincount(data[i][1].ravel(), minlength=len(NAMES)) for i in range(len(data))])
    assert ((seen > 0).mean(axis=0) > 0.6).all()
    assert (seen.sum(axis=0) / seen.sum() > 0.005).all()


def test_the_picture_changes_where_the_mask_does():
    """Neighbours across a class border differ far more than neighbours inside a class."""
    across, inside = [], []
    data = StreetDataset("val", (320, 240), 12)
    for i in range(len(data)):
        image, mask = data[i]
        step = np.abs(np.diff(image.astype(int), axis=1)).sum(axis=2)
        border = mask[:, 1:] != mask[:, :-1]
        across.append(step[border].mean())
        inside.append(step[~border].mean())
        shifted = np.roll(border, 4, axis=1)
        assert step[border].mean() > 1.2 * step[shifted & ~border].mean()
    assert np.mean(across) > 3 * np.mean(inside)


def test_splits_share_no_seed():
    blocks = [block for block, _ in SPLITS.values()]
    assert len(set(blocks)) == len(blocks)
    assert 0 not in blocks, "seeds below a million are for live drives"
    ranges = [StreetDataset(split, SMALL_WH, SEEDS_PER_SPLIT) for split in SPLITS]
    spans = sorted((data.first_seed, data.first_seed + len(data)) for data in ranges)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


def test_the_data_set_says_what_it_holds():
    assert [len(StreetDataset(split, SMALL_WH)) for split in ("train", "val", "test")] == [2000, 100, 100]
    data = StreetDataset("train", SMALL_WH, 3)
    assert data.names == NAMES
    assert data.colours == COLOURS
    assert data.ignore == 255
    assert len(NAMES) == len(COLOURS) == len(set(COLOURS))
    first, again, other = data[0], StreetDataset("train", SMALL_WH, 3)[0], data[1]
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])
    np.testing.assert_array_equal(data[-1][1], data[2][1])
    assert len(list(data)) == 3
    with pytest.raises(IndexError):
        data[3]


def test_wrong_requests_say_what_is_wrong():
    with pytest.raises(EpeeError, match="train, val, test"):
        StreetDataset("training", SMALL_WH)
    with pytest.raises(EpeeError, match="count"):
        StreetDataset("train", SMALL_WH, 0)
    with pytest.raises(EpeeError, match="96x72"):
        Street(0, (64, 48))
    with pytest.raises(EpeeError, match="frame"):
        Street(0, SMALL_WH).render(-1)
    with pytest.raises(EpeeError, match="seed"):
        Street(-1, SMALL_WH)


def test_a_train_picture_is_the_same_in_whatever_order_it_is_asked_for() -> None:
    order, other = [0, 1, 2, 3, 4, 5, 6], [6, 2, 5, 0, 3, 2, 1, 4]
    first, second = StreetDataset("train", (96, 72), 7), StreetDataset("train", (96, 72), 7)
    forward = {i: first[i] for i in order}
    for i in other:
        image, mask = second[i]
        assert np.array_equal(image, forward[i][0])
        assert np.array_equal(mask, forward[i][1])


def test_views_of_a_street_differ_and_test_streets_have_one() -> None:
    train, test = StreetDataset("train", (96, 72), 4), StreetDataset("test", (96, 72), 4)
    assert train.views > test.views == 1
    assert all((train[0][1] != train[i][1]).mean() > 0.05 for i in range(1, 4))
