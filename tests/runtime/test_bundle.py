"""Bundles: opened by path or name, checked against their hashes, written whole or not at all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from epee.runtime import bundle as module
from epee.runtime.bundle import Bundle, find, save, sha256, shipped_names, writing
from epee.runtime.cli import main
from epee.runtime.errors import BundleError


def test_opens_by_path(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    assert bundle.manifest.variants
    assert Bundle.open(str(tiny_bundle) + "/") == Bundle.open(str(tiny_bundle))
    assert len(bundle.digest()) == 16


def test_opens_by_the_name_of_one_that_ships(tiny_copy: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "SHIPPED", tiny_copy.parent)
    assert find("copy") == tiny_copy
    assert "copy" in shipped_names()


def test_a_name_is_looked_for_in_the_users_folders(tiny_copy: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(BundleError, match=r"a folder that \$EPEE_WEIGHTS names.*epee/weights"):
        find("copy")
    cached = tmp_path / "epee/weights/copy.epee"
    shutil.copytree(tiny_copy, cached)
    assert find("copy") == cached
    monkeypatch.setenv("EPEE_WEIGHTS", str(tiny_copy.parent))
    assert find("copy") == tiny_copy
    assert shipped_names().count("copy") == 1


def test_every_shipped_bundle_opens() -> None:
    for name in shipped_names():
        bundle = Bundle.open(name)
        assert all(bundle.file(v).is_file() for v in bundle.manifest.variants)


def test_goldens_fit_the_tensors(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    goldens = bundle.goldens()
    for spec in (*bundle.manifest.inputs, *bundle.manifest.outputs):
        assert goldens[spec.name].dtype == spec.dtype
        assert goldens[spec.name].shape[1:] == spec.shape[1:]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere\.epee': got nothing there, expected a folder NAME\.epee"):
        Bundle.open(tmp_path / "nowhere.epee")


def test_a_file_or_another_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, got in ((tmp_path / "file", "a file"), (tmp_path, r"no manifest\.json in it")):
        with pytest.raises(BundleError, match=f"got {got}, expected a folder"):
            Bundle.open(path)


def test_a_manifest_that_is_no_json(tiny_copy: Path) -> None:
    (tiny_copy / "manifest.json").write_bytes(b'{"format": 1, \xff')
    with pytest.raises(BundleError, match=r"manifest\.json is no JSON: got .*; copy the bundle again"):
        Bundle.open(tiny_copy)


def test_format_2_is_one_line(tiny_copy: Path, capsys) -> None:
    data = json.loads((tiny_copy / "manifest.json").read_text())
    (tiny_copy / "manifest.json").write_text(json.dumps(data | {"format": 2}))
    assert main(["inspect", str(tiny_copy)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("epee: manifest 'format': got 2, expected 1; ")
    assert err.count("\n") == 1


def test_a_changed_file_is_seen(tiny_copy: Path) -> None:
    bundle = Bundle.open(tiny_copy)
    variant = bundle.manifest.variants[0]
    with (tiny_copy / variant.file).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match=f"hash of {variant.file}: got .*…, expected {variant.sha256[:12]}…"):
        bundle.file(variant)


def test_a_missing_file_is_seen(tiny_copy: Path) -> None:
    bundle = Bundle.open(tiny_copy)
    (tiny_copy / bundle.manifest.variants[0].file).unlink()
    with pytest.raises(BundleError, match=r"got missing, expected .*; copy the bundle again, or export it again"):
        bundle.file(bundle.manifest.variants[0])


@pytest.mark.parametrize("name", ["../outside.onnx", "/etc/hostname", "sub/x.onnx"])
def test_a_file_outside_the_bundle_is_refused(tiny_copy: Path, name: str) -> None:
    data = json.loads((tiny_copy / "manifest.json").read_text())
    data["variants"][0]["file"] = name
    (tiny_copy / "manifest.json").write_text(json.dumps(data))
    bundle = Bundle.open(tiny_copy)
    with pytest.raises(BundleError, match="points outside the bundle"):
        bundle.file(bundle.manifest.variants[0])


@pytest.mark.parametrize("content", [None, b"", b"no zip", "cut", "flipped", "pickle"])
def test_broken_goldens(tiny_copy: Path, content: bytes | str | None) -> None:
    file = tiny_copy / "golden.npz"
    whole = file.read_bytes()
    if content is None:
        file.unlink()
    elif content == "cut":
        file.write_bytes(whole[:len(whole) // 2])
    elif content == "flipped":
        middle = len(whole) // 2
        file.write_bytes(whole[:middle] + bytes(b ^ 0xFF for b in whole[middle:middle + 64]) + whole[middle + 64:])
    elif content == "pickle":
        np.savez(file, frame=np.array([{}], object))
    else:
        file.write_bytes(content)
    with pytest.raises(BundleError, match=r"golden\.npz does not open: got .*; copy the bundle again"):
        Bundle.open(tiny_copy).goldens()


def test_written_whole(tiny_bundle: Path, tmp_path: Path) -> None:
    source, out = Bundle.open(tiny_bundle), tmp_path / "new" / "out.epee"
    with writing(out) as folder:
        for variant in source.manifest.variants:
            (folder / variant.file).write_bytes(source.file(variant).read_bytes())
        save(folder, source.manifest, source.goldens())
        assert not out.exists()
    written = Bundle.open(out)
    assert written.manifest == source.manifest
    assert [sha256(written.file(v)) for v in written.manifest.variants] == [v.sha256 for v in source.manifest.variants]
    assert [p.name for p in out.parent.iterdir()] == ["out.epee"]


def test_what_raises_leaves_nothing(tmp_path: Path) -> None:
    def half() -> None:
        with writing(tmp_path / "out.epee") as folder:
            (folder / "fp32.onnx").write_bytes(b"x")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        half()
    assert list(tmp_path.iterdir()) == []


def test_what_raises_leaves_the_older_bundle(tiny_copy: Path) -> None:
    before = Bundle.open(tiny_copy).digest()
    with pytest.raises(KeyboardInterrupt), writing(tiny_copy):
        raise KeyboardInterrupt
    assert Bundle.open(tiny_copy).digest() == before
    assert [p.name for p in tiny_copy.parent.iterdir()] == [tiny_copy.name]


def test_a_new_bundle_takes_the_olders_place(tiny_bundle: Path, tiny_copy: Path) -> None:
    source = Bundle.open(tiny_bundle)
    (tiny_copy / "stray").write_text("x")
    with writing(tiny_copy) as folder:
        save(folder, source.manifest, source.goldens())
    assert sorted(p.name for p in tiny_copy.iterdir()) == ["golden.npz", "manifest.json"]
    assert [p.name for p in tiny_copy.parent.iterdir()] == [tiny_copy.name]


def test_what_is_no_bundle_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"x")
    with pytest.raises(BundleError, match="something that is no bundle is there"), writing(tmp_path / "photos"):
        pass
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    line = r"cannot write bundle .*name another --out"
    with pytest.raises(BundleError, match=line), writing(tmp_path / "file/x.epee"):
        pass


def test_a_full_disk_is_one_line_and_keeps_the_older_bundle(tiny_copy: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    before = Bundle.open(tiny_copy).digest()

    def overflow() -> None:
        with writing(tiny_copy) as folder:
            (folder / "golden.npz").symlink_to("/dev/full")
            (folder / "golden.npz").write_bytes(b"x" * 100_000)

    with pytest.raises(BundleError, match="No space left on device; free some space"):
        overflow()
    assert Bundle.open(tiny_copy).digest() == before
