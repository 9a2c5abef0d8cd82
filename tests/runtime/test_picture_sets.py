"""Folders and zips of pictures, good and bad."""

import os
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from epee.runtime.errors import DataError
from epee.runtime.picture_sets import half_of, open_pictures, to_square


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())


@pytest.fixture
def folder(tmp_path):
    """20 pictures of 48x40: cats are blue, dogs red."""
    root = tmp_path / "pets"
    for i in range(20):
        kind, colour = (("cat", (200, 10, 10)), ("dog", (10, 10, 200)))[i % 2]
        image = np.full((40, 48, 3), colour, np.uint8)
        image[:, :4] = i
        write(root / kind / f"{i:02d}.png", image)
    return root


def packed(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w") as file:
        for p in sorted(folder.rglob("*")):
            if p.is_file():
                file.write(p, prefix + p.relative_to(folder).as_posix())
    return path


def test_a_folder_gives_squares_and_its_folders_are_classes(folder):
    pictures = open_pictures(folder, 32, classes=True)
    assert pictures.images.shape == (20, 32, 32, 3)
    assert pictures.images.dtype == np.uint8
    assert pictures.names == ("cat", "dog")
    assert [tuple(pictures.images[list(pictures.labels).index(k), 16, 16]) for k in (0, 1)] == [(200, 10, 10),
                                                                                              (10, 10, 200)]
    assert np.array_equal(pictures.batch(np.array([3, 0])), pictures.images[[3, 0]])


@pytest.mark.parametrize("prefix", ["", "pets/", "a/b/"])
def test_a_zip_is_as_its_folder(folder, tmp_path, prefix):
    whole = open_pictures(folder, 32, classes=True)
    zipped = open_pictures(packed(folder, tmp_path / "pets.zip", prefix), 32, classes=True)
    assert np.array_equal(whole.images, zipped.images)
    assert np.array_equal(whole.labels, zipped.labels)
    assert whole.names == zipped.names


def test_mixed_sizes_and_grey_pictures_are_brought_to_one_form(folder):
    write(folder / "cat" / "grey.png", np.full((100, 31), 77, np.uint8))
    write(folder / "cat" / "deep.png", np.full((9, 9, 3), 40 * 257, np.uint16))
    write(folder / "dog" / "clear.png", np.full((64, 64, 4), 120, np.uint8))
    pictures = open_pictures(folder, 32)
    assert pictures.images.shape == (23, 32, 32, 3)
    assert pictures.labels is None
    assert {77, 40, 120} <= set(pictures.images[:, 16, 16, 1].tolist())


def test_broken_pictures_are_named_counted_and_skipped(folder):
    photo = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[1].tobytes()
    (folder / "cat" / "cut.jpg").write_bytes(photo[:len(photo) // 2])
    (folder / "dog" / "empty.png").write_bytes(b"")
    (folder / "dog" / "words.png").write_text("this is no picture")
    (folder / "dog" / "notes.txt").write_text("no picture, and not called one")
    pictures = open_pictures(folder, 32, classes=True)
    assert len(pictures) == len(pictures.labels) == 20
    assert dict(pictures.skipped) == {"cat/cut.jpg": "a broken or unknown file", "dog/empty.png": "an empty file",
                                      "dog/words.png": "a broken or unknown file"}


def test_one_picture_is_too_few(tmp_path):
    write(tmp_path / "one" / "only.png", np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "one" / "bad.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"got 1 that can be read and 1 that cannot \(bad.png: .*expected 16 or more"):
        open_pictures(tmp_path / "one", 32)


@pytest.mark.parametrize("name", ["../../evil.png", "/etc/evil.png", "a/../../evil.png", "..\\evil.png", "C:/evil.png"])
def test_a_name_that_leads_out_of_a_zip_is_refused(folder, tmp_path, name):
    path = packed(folder, tmp_path / "trick.zip")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(name, b"x")
    with pytest.raises(DataError, match="a name leads out of it"):
        open_pictures(path, 32)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pets", "trick.zip"]


def test_a_damaged_entry_is_skipped_and_a_damaged_zip_refused(folder, tmp_path):
    path = packed(folder, tmp_path / "pets.zip")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        info = file.getinfo("cat/04.png")
    data[info.header_offset + 30 + len(info.filename) + 20] ^= 0xFF
    path.write_bytes(data)
    pictures = open_pictures(path, 32)
    assert [name for name, _ in pictures.skipped] == ["cat/04.png"]
    path.write_bytes(data[:len(data) // 2])
    with pytest.raises(DataError, match="not a zip"):
        open_pictures(path, 32)


def test_what_macos_adds_to_a_zip_is_no_picture(folder, tmp_path):
    path = packed(folder, tmp_path / "pets.zip")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("__MACOSX/cat/._00.png", b"x")
    assert open_pictures(path, 32).skipped == ()


def test_splits_are_chosen_and_never_mixed_by_accident(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "data" / "train")
    shutil.copytree(folder / "cat", tmp_path / "data" / "test" / "cat")
    with pytest.raises(DataError, match=r"the splits test, train.*--subset train"):
        open_pictures(tmp_path / "data", 32)
    pictures = open_pictures(tmp_path / "data", 32, classes=True, subset="train")
    assert (len(pictures), pictures.names) == (20, ("cat", "dog"))
    with pytest.raises(DataError, match="did you mean 'train'"):
        open_pictures(tmp_path / "data", 32, subset="trian")


def test_classes_need_folders(folder):
    with pytest.raises(DataError, match=r"classes: got '00\.png' in no folder, expected two folders"):
        open_pictures(folder / "cat", 32, classes=True)
    write(folder / "loose.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(DataError, match=r"'loose.png' in no folder"):
        open_pictures(folder, 32, classes=True)


def test_halves_are_two_parts_of_the_whole_that_never_change(tmp_path):
    names = [f"cat/{i:04d}.jpg" for i in range(1000)]
    assert "".join(half_of(name) for name in names[:8]) == "babaabbb"
    assert 450 < sum(half_of(name) == "a" for name in names) < 550
    rng = np.random.default_rng(0)
    for i in range(80):
        write(tmp_path / "p" / f"{i}.png", rng.integers(0, 255, (8, 8, 3), np.uint8))
    whole, *halves = (open_pictures(tmp_path / "p", 8, half=half) for half in (None, "a", "b"))
    together = np.concatenate([half.images for half in halves])
    assert {i.tobytes() for i in together} == {i.tobytes() for i in whole.images}
    assert len(together) == len(whole)


def test_the_square_is_the_centre():
    image = np.zeros((10, 20, 3), np.uint8)
    image[:, 5:15] = 9
    assert (to_square(image, 10) == 9).all()


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="nothing there"):
        open_pictures(tmp_path / "no", 32)


def test_half_of_a_split_of_a_real_zip():
    root = os.environ.get("EPEE_DATA")
    if root is None:
        pytest.skip("EPEE_DATA is not set")
    halves = [open_pictures(Path(root) / "cifar10_12k.zip", 32, classes=True, subset="train", half=half)
              for half in ("a", "b")]
    assert sum(map(len, halves)) == 10_000
    for half in halves:
        assert half.skipped == ()
        assert len(half.names) == 10
        assert 4800 < len(half) < 5200
        assert np.bincount(half.labels).min() > 430
