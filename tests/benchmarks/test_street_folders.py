"""Streets in folders: what a training of pictures to pictures reads, by name."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from epee.benchmarks import street_folders
from epee.runtime.colour_masks import classes_of
from epee.runtime.street import COLOURS, StreetDataset
from epee.train.pairs import open_sides


def test_a_mask_is_the_classes_of_the_frame_with_its_name(tmp_path: Path, monkeypatch) -> None:
    words = ["street_folders", "--out", str(tmp_path), "--split", "val", "--count", "3", "--size", "96x72"]
    monkeypatch.setattr(sys, "argv", words)
    street_folders.main()
    streets = StreetDataset("val", (96, 72), 3)
    for i in range(3):
        frame, mask = streets[i]
        assert np.array_equal(cv2.imread(str(tmp_path / f"frames/0000{i}.png")), frame)
        assert np.array_equal(classes_of(cv2.imread(str(tmp_path / f"masks/0000{i}.png")), COLOURS, 255), mask)
    assert len(open_sides(tmp_path / "masks", tmp_path / "frames", 64).inputs) == 3


def test_an_unknown_split_is_refused(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["street_folders", "--out", str(tmp_path), "--split", "dev"])
    with pytest.raises(SystemExit):
        street_folders.main()
    assert "invalid choice: 'dev'" in capsys.readouterr().err
