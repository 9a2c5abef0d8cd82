"""Calibration frames come from real pictures, evenly spread, fitted as the runtime fits, and are written down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("torch")

from epee.export.calibration import check_calibration, read_calibration, spread, thinned, training_data  # noqa: E402
from epee.runtime.errors import DataError, ExportError, SourceError  # noqa: E402
from epee.runtime.manifest import Fit  # noqa: E402

FIT = Fit("stretch", "linear")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten pictures of 30x20, grey level 10 i, one of them deeper."""
    place = tmp_path / "pictures"
    (place / "more").mkdir(parents=True)
    for i in range(10):
        cv2.imwrite(str(place / ("more" if i == 9 else ".") / f"{i}.png"), np.full((20, 30, 3), 10 * i, np.uint8))
    return place


def test_the_train_split_of_a_data_set(labelled: Path) -> None:
    found = read_calibration(str(labelled), (64, 96), FIT, count=4)
    assert found.names == ("00.png", "04.png", "07.png", "11.png")
    assert all(sample["frame"].shape == (1, 64, 96, 3) for sample in found.samples)
    assert found.held_back == ()
    assert found.to_json() == {"source": "stills.yaml", "frames": list(found.names), "sha256": found.sha256}


def test_a_folder_of_another_size_is_fitted(folder: Path) -> None:
    found = read_calibration(str(folder), (64, 96), Fit("letterbox", "area"), count=100)
    assert found.names == (*(f"{i}.png" for i in range(9)), "more/9.png")
    assert {sample["frame"].shape for sample in found.samples} == {(1, 64, 96, 3)}
    assert found.samples[3]["frame"][0, 32, 48].tolist() == [30, 30, 30]


def test_what_is_held_back_is_not_used(folder: Path) -> None:
    found = read_calibration(str(folder), (20, 30), FIT, count=3, hold_back=True)
    used, held = ({int(s["frame"][0, 0, 0, 0]) for s in samples} for samples in (found.samples, found.held_back))
    assert (len(used), len(held)) == (3, 3)
    assert not used & held


def test_a_video_of_unknown_length(clip: Path) -> None:
    found = read_calibration(str(clip), (120, 160), FIT, count=4)
    assert len(found.names) == 4
    assert [int(name) for name in found.names] == sorted(int(name) for name in found.names)
    assert int(found.names[-1]) - int(found.names[0]) >= 20


def test_the_synthetic_street() -> None:
    found = read_calibration("synthetic:street", (48, 64), FIT, count=2)
    assert found.names == ("0", "1999")
    assert found.samples[0]["frame"].shape == (1, 48, 64, 3)


def test_the_hash_tells_frames_apart(folder: Path) -> None:
    one, two = (read_calibration(str(folder), (20, 30), FIT, count=n).sha256 for n in (3, 4))
    assert one != two
    assert one == read_calibration(str(folder), (20, 30), FIT, count=3).sha256


def test_what_cannot_be_calibrated_on(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"calibration data: got none, .*name it with --calibration PATH"):
        read_calibration("", (20, 30), FIT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExportError, match="got no picture in it"):
        read_calibration(str(tmp_path / "empty"), (20, 30), FIT)
    with pytest.raises(ExportError, match=r"got 'rtsp://camera/1'"):
        read_calibration("rtsp://camera/1", (20, 30), FIT)
    (folder / "5.png").write_bytes(b"\x89PNG cut")
    with pytest.raises(DataError, match=r"5\.png': got a broken or unknown file"):
        read_calibration(str(folder), (20, 30), FIT)
    (tmp_path / "cut.mp4").write_bytes(b"not a video at all")
    with pytest.raises(SourceError):
        read_calibration(str(tmp_path / "cut.mp4"), (20, 30), FIT)


def test_what_is_wrong_is_found_before_a_network_is_traced(folder: Path, labelled: Path, clip: Path,
                                                          tmp_path: Path) -> None:
    for text in (str(folder), str(labelled), str(clip)):
        check_calibration(text)
    (tmp_path / "empty").mkdir()
    (folder / "5.png").write_bytes(b"\x89PNG cut")
    (tmp_path / "cut.mp4").write_bytes(b"not a video at all")
    for text, kind, message in (
            ("", ExportError, "calibration data: got none"), (str(tmp_path / "empty"), ExportError, "no picture in it"),
            (str(folder), DataError, r"5\.png"), (str(tmp_path / "cut.mp4"), SourceError, r"cut\.mp4"),
            (str(tmp_path / "gone"), SourceError, "gone"), (str(tmp_path / "gone.yaml"), DataError, "gone")):
        with pytest.raises(kind, match=message):
            check_calibration(text)


def test_the_trainings_data_is_taken_where_it_is_at_hand(labelled: Path) -> None:
    assert training_data(str(labelled), None) == str(labelled)
    assert training_data("/gone/streets.yaml", None) == ""
    assert training_data("/gone/streets.yaml", "clip.mp4") == "clip.mp4"


def test_spread_and_thinned() -> None:
    assert spread(5, 9) == [0, 1, 2, 3, 4]
    assert spread(9, 3) == [0, 4, 8]
    image = np.zeros((1, 1, 3), np.uint8)
    names = [int(name) for name, _ in thinned(((str(i), image) for i in range(1000)), 10)]
    assert len(names) == 10
    steps = np.diff(names)
    assert steps.max() <= 2 * steps.min()
    assert names[-1] > 800
