"""Dataset YAMLs: what is read, and that each thing that does not fit gets one clear line."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from epee.runtime.cli import main
from epee.runtime.dataset import open_dataset
from epee.runtime.description import IGNORE, default_colours, read_description
from epee.runtime.errors import DataError, EpeeError
from epee.runtime.picture_files import read_mask, read_picture

NAMES = {0: "sky", 1: "road", 2: "car"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two labelled pictures of 20x10, split `train`, with raw ids 0, 1, 2 and 11 in the masks."""
    for name in ("images/train/a", "masks/train/a"):
        (tmp_path / name).mkdir(parents=True)
    for stem in ("a/one", "two"):
        cv2.imwrite(str(tmp_path / f"images/train/{stem}.jpg"), np.full((10, 20, 3), 90, np.uint8))
        mask = np.zeros((10, 20), np.uint8)
        mask[2:4], mask[4:6], mask[6:8] = 1, 2, 11
        cv2.imwrite(str(tmp_path / f"masks/train/{stem}.png"), mask)
    return tmp_path


def describe(folder: Path, **changes: Any) -> str:
    """Writes set.yaml; a change to None leaves the key out. Gives its path."""
    data = {"train": "images/train", "names": NAMES, "label_mapping": {0: 0, 1: 1, 2: 2, 11: "ignore_label"}} | changes
    file = folder / "set.yaml"
    file.write_text(yaml.safe_dump({k: v for k, v in data.items() if v is not None}))
    return str(file)


def test_pairs(folder: Path) -> None:
    dataset = open_dataset(describe(folder), "train")
    assert (len(dataset), dataset.names, dataset.ignore) == (2, ("sky", "road", "car"), IGNORE)
    image, mask = dataset[0]
    assert (image.shape, image.dtype, mask.shape, mask.dtype) == ((10, 20, 3), np.uint8, (10, 20), np.uint8)
    assert mask[::2, 0].tolist() == [0, 1, 2, IGNORE, 0]


def test_mapping_sends_raw_ids_to_classes(folder: Path) -> None:
    mapping = {0: 2, 1: 1, 2: 0, 11: 255}
    assert open_dataset(describe(folder, label_mapping=mapping), "train")[0][1][::2, 0].tolist() == [2, 1, 0, 255, 2]


def test_count_takes_the_first(folder: Path) -> None:
    assert len(open_dataset(describe(folder), "train", count=1)) == 1


COLOURS = {0: [0, 0, 200], 1: [200, 0, 0], 2: [0, 200, 0]}


def coloured(noise: int) -> np.ndarray:
    """A mask of 10x20 in RGB colours of classes 0, 1, 2 and void, as BGR, with noise of so many grey levels."""
    ids = np.zeros((10, 20), int)
    ids[2:4], ids[4:6], ids[6:8] = 1, 2, 3
    picture = np.array([*COLOURS.values(), [255, 255, 255]])[ids][..., ::-1]
    return (picture + np.random.default_rng(0).integers(-noise, noise + 1, picture.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("noise", [0, 20])
def test_masks_may_show_colours(folder: Path, noise: int) -> None:
    for mask in folder.glob("masks/**/*.png"):
        cv2.imwrite(str(mask), coloured(noise))
    data = open_dataset(describe(folder, labels="colours", colours=COLOURS, label_mapping=None), "train")
    assert data[0][1][::2].tolist() == [[i] * 20 for i in (0, 1, 2, IGNORE, 0)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_file_may_hold_picture_and_mask_side_by_side(tmp_path: Path, side: str) -> None:
    (tmp_path / "pairs").mkdir()
    halves = [np.full((10, 20, 3), 90, np.uint8), coloured(0)]
    cv2.imwrite(str(tmp_path / "pairs/one.png"), np.hstack(halves if side == "left" else halves[::-1]))
    data = open_dataset(describe(tmp_path, train="pairs", labels="colours", colours=COLOURS, picture_side=side,
                                 label_mapping=None), "train")
    image, mask = data[0]
    assert (image == 90).all()
    assert mask[::2, 0].tolist() == [0, 1, 2, IGNORE, 0]


def test_colours_without_colours_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="labels: colours: got no colours"):
        read_description(Path(describe(folder, labels="colours")))
    with pytest.raises(DataError, match="picture_side: got 'top', expected left or right"):
        read_description(Path(describe(folder, picture_side="top")))


def test_path_may_name_a_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_FOLDER", str(folder))
    assert len(open_dataset(describe(folder, path="$SOME_FOLDER"), "train")) == 2
    monkeypatch.delenv("SOME_FOLDER")
    with pytest.raises(DataError, match=r"got '\$SOME_FOLDER', expected environment variables that are set"):
        read_description(Path(describe(folder, path="$SOME_FOLDER")))


def test_path_is_relative_to_the_file(folder: Path) -> None:
    (folder / "yaml").mkdir()
    text = Path(describe(folder)).read_text() + "path: ..\n"
    (folder / "yaml/set.yaml").write_text(text)
    assert len(open_dataset(str(folder / "yaml/set.yaml"), "train")) == 2


def test_names_may_be_a_list_and_nc_may_stand(folder: Path) -> None:
    assert open_dataset(describe(folder, names=["sky", "road", "car"], nc=3), "train").names == ("sky", "road", "car")


def test_colours_are_read_or_made(folder: Path) -> None:
    colours = {0: [1, 2, 3], 1: [4, 5, 6], 2: [7, 8, 9]}
    assert open_dataset(describe(folder, colours=colours), "train").colours[2] == (7, 8, 9)
    made = open_dataset(describe(folder), "train").colours
    assert len(set(made)) == 3
    assert len(set(default_colours(32))) == 32


def test_masks_may_be_palette_or_triple_grey(folder: Path) -> None:
    ids = np.arange(200, dtype=np.uint8).reshape(10, 20) % 3
    image = pytest.importorskip("PIL.Image").fromarray(ids, "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(folder / "palette.png")
    cv2.imwrite(str(folder / "triple.png"), np.repeat(ids[..., None], 3, axis=2))
    assert (read_mask(folder / "palette.png") == ids).all()
    assert (read_mask(folder / "triple.png") == ids).all()


def test_grey_pictures_are_expanded(folder: Path) -> None:
    cv2.imwrite(str(folder / "grey.png"), np.full((4, 5), 7, np.uint8))
    assert read_picture(folder / "grey.png").shape == (4, 5, 3)


def test_synthetic_street() -> None:
    dataset = open_dataset("synthetic:street", "test", size_wh=(96, 72), count=1)
    image, mask = dataset[0]
    assert (len(dataset), image.shape, mask.shape) == (1, (72, 96, 3), (72, 96))
    assert mask.max() < len(dataset.names)


@pytest.mark.parametrize(("changes", "line"), [
    ({"trian": "images/train"}, "unknown key 'trian'; did you mean 'train'?"),
    ({"names": None}, "names: got None, expected at least two names"),
    ({"names": {0: "sky", 2: "road"}}, "names: got"),
    ({"nc": 4}, "nc: got 4, expected 3, as in names"),
    ({"colours": {0: [1, 2, 3]}}, r"colours: got .* expected \[r, g, b\] for each id 0 to 2"),
    ({"label_mapping": {0: 9}}, "label_mapping entry: got 0: 9, expected raw id 0 to 255: class id 0 to 2"),
    ({"label_mapping": [0, 1]}, r"label_mapping: got \[0, 1\], expected raw id: class id"),
    ({"train": "images/nowhere"}, "train pictures: got no folder, expected .*images/nowhere"),
    ({"train": None, "val": "images/train"}, "split 'train': got not in the file, expected one of val"),
    ({"train": None}, "split 'train': got not in the file"),
    ({"masks_dir": "labels"}, "2 of 2 train masks: got missing, expected .*labels"),
])
def test_a_yaml_that_does_not_fit(folder: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(DataError, match=line) as caught:
        open_dataset(describe(folder, **changes), "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "line"), [("a: [", "is no YAML"), ("- a\n- b\n", "got list, expected keys such as"),
                                            ("", "got NoneType"), ("\x00", "is no YAML")])
def test_a_file_that_is_no_description(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "set.yaml").write_text(text)
    with pytest.raises(DataError, match=line) as caught:
        read_description(tmp_path / "set.yaml")
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.yaml': got No such file .*; name a file, or synthetic:street"):
        open_dataset(str(tmp_path / "nowhere.yaml"), "val")


def test_another_scene() -> None:
    with pytest.raises(DataError, match="got no such scene, expected synthetic:street"):
        open_dataset("synthetic:moon", "val")


def test_an_unknown_split_of_the_street() -> None:
    with pytest.raises(EpeeError, match=r"split .*'vall'.*expected train, val, test"):
        open_dataset("synthetic:street", "vall")


def test_an_empty_folder(folder: Path) -> None:
    (folder / "images/empty").mkdir()
    with pytest.raises(DataError, match=r"train pictures in .*: got none, expected \.png"):
        open_dataset(describe(folder, train="images/empty"), "train")


def test_a_missing_mask_is_counted_and_named(folder: Path) -> None:
    (folder / "masks/train/two.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 train masks: got missing, expected .*masks/train/two\.png"):
        open_dataset(describe(folder), "train")


def test_a_mask_of_another_size(folder: Path) -> None:
    cv2.imwrite(str(folder / "masks/train/two.png"), np.zeros((10, 21), np.uint8))
    with pytest.raises(DataError, match=r"two\.png': got 21x10, expected 20x10, as its picture"):
        open_dataset(describe(folder), "train")[1]


def test_ids_that_do_not_fit(folder: Path) -> None:
    with pytest.raises(DataError, match=r"got ids \[11\], expected ids 0 to 2, .*; add them to label_mapping"):
        open_dataset(describe(folder, label_mapping=None), "train")[0]


def test_a_mask_of_colours(folder: Path) -> None:
    mask = np.zeros((10, 20, 3), np.uint8)
    mask[..., 1] = 9
    cv2.imwrite(str(folder / "masks/train/two.png"), mask)
    with pytest.raises(DataError, match=r"got \(10, 20, 3\) uint8, expected \(H, W\) uint8 class ids; save it as"):
        open_dataset(describe(folder), "train")[1]


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\3" * 20])
def test_broken_files(folder: Path, content: bytes) -> None:
    (folder / "images/train/two.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"picture '.*two\.jpg'"):
        open_dataset(describe(folder), "train")[1]
    (folder / "masks/train/a/one.png").write_bytes(content)
    with pytest.raises(DataError, match=r"mask '.*one\.png'"):
        open_dataset(describe(folder), "train")[0]


def test_the_command_says_it_in_one_line(pictures: Path, tiny_bundle: Path, capsys) -> None:
    pictures.write_text(pictures.read_text() + "vall: images/val\n")
    assert main(["eval", str(tiny_bundle), "--data", str(pictures)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"epee: data set '{pictures}': unknown key 'vall'; did you mean 'val'?\n"
