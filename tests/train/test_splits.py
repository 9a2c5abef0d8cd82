"""Which pictures are learned from and which are scored."""

import numpy as np
import pytest
from epee.runtime.errors import DataError
from epee.train.presets.segment import SegmentConfig
from epee.train.splits import open_splits


def config(drives, *words, **fields):
    return SegmentConfig(data=str(drives), epochs=1, leave_out=words, **fields)


def test_without_words_val_is_scored(drives):
    splits = open_splits(config(drives))
    assert (len(splits.train), len(splits.scored), splits.name) == (12, 3, "val")


def test_a_drive_is_left_out_and_scored(drives):
    whole, splits = open_splits(config(drives)), open_splits(config(drives, "b_"))
    assert (len(splits.train), len(splits.scored), splits.name) == (8, 4, "train frames of b_")
    assert all(np.array_equal(splits.scored[i][0], whole.train[4 + i][0]) for i in range(4))
    assert all(np.array_equal(splits.train[i][0], whole.train[i if i < 4 else i + 4][0]) for i in range(8))


def test_val_may_be_named_along_or_alone(drives):
    splits = open_splits(config(drives, "a_", "val"))
    assert (len(splits.scored), splits.name) == (7, "train frames of a_ and val")
    assert splits.scored[6][1].shape == (72, 96)
    assert open_splits(config(drives, "val")).name == "val"


def test_the_count_is_of_what_is_left(drives):
    assert len(open_splits(config(drives, "a_", train_count=5)).train) == 5


@pytest.mark.parametrize(("words", "line"), [
    (("x",), "--leave-out x: got no training picture of that name, .*e.g. a_0, a_1"),
    (("a_", "b_", "c_"), "got all training pictures")])
def test_words_that_leave_nothing_are_one_clear_line(drives, words, line):
    with pytest.raises(DataError, match=line):
        open_splits(config(drives, *words))


def test_scenes_without_files_have_no_names():
    with pytest.raises(DataError, match="here are no files"):
        open_splits(SegmentConfig(data="synthetic:street", epochs=1, leave_out=("a",), train_count=2))
