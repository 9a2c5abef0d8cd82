"""verify finds what is wrong with a bundle, one line a problem; inspect says what is in one."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epee.runtime.backends import candidates, probe_all
from epee.runtime.bundle import Bundle
from epee.runtime.cli import main
from epee.runtime.manifest import TensorSpec, Tolerance
from epee.runtime.variants import variants_of
from epee.runtime.verify import compare

AVAILABLE = [b.name for b in probe_all() if b.available]


def verdict(bundle: Path, capsys, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON of `epee verify`."""
    status = main(["verify", str(bundle), "--json", *options])
    return status, json.loads(capsys.readouterr().out)


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the manifest in place."""
    data = json.loads((bundle / "manifest.json").read_text())
    change(data)
    (bundle / "manifest.json").write_text(json.dumps(data))


@pytest.mark.parametrize("backend", AVAILABLE)
def test_a_whole_bundle_is_ok(tiny_bundle: Path, backend: str, capsys) -> None:
    status, found = verdict(tiny_bundle, capsys, "--backend", backend)
    assert (status, found["ok"], found["problems"]) == (0, True, [])
    bundle = Bundle.open(tiny_bundle)
    takes = {v.name for v in candidates(bundle, backend)}
    assert [c["variant"] for c in found["checked"]] == [v.name for v in variants_of(bundle) if v.name in takes]
    assert all(c["equal"] >= c["min_equal"] for c in found["checked"])


def test_every_backend_and_one_precision(tiny_bundle: Path, capsys) -> None:
    status, found = verdict(tiny_bundle, capsys, "--backend", "all", "--precision", "fp32")
    assert status == 0
    assert [c["variant"] for c in found["checked"]] == ["fp32"] * len(AVAILABLE)


def test_a_wrong_hash_is_a_problem(tiny_copy: Path, capsys) -> None:
    variant = Bundle.open(tiny_copy).manifest.variants[0]
    file = tiny_copy / variant.file
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    status, found = verdict(tiny_copy, capsys)
    assert (status, found["ok"], len(found["problems"])) == (3, False, 1)
    assert f"hash of {variant.file}: got" in found["problems"][0]
    assert variant.name not in [c["variant"] for c in found["checked"]]


def test_a_missing_file_and_broken_goldens_are_two_problems(tiny_copy: Path, capsys) -> None:
    (tiny_copy / Bundle.open(tiny_copy).manifest.variants[0].file).unlink()
    (tiny_copy / "golden.npz").write_bytes(b"x")
    status, found = verdict(tiny_copy, capsys)
    assert status == 3
    assert ["got missing" in found["problems"][0], "golden.npz does not open" in found["problems"][1]] == [True, True]


def test_a_file_that_is_no_network_is_a_problem(tiny_copy: Path, capsys) -> None:
    junk = b"no network" * 100

    def swap(data: dict[str, Any]) -> None:
        data["variants"][0] |= {"sha256": hashlib.sha256(junk).hexdigest(), "bytes": len(junk)}

    (tiny_copy / Bundle.open(tiny_copy).manifest.variants[0].file).write_bytes(junk)
    edit(tiny_copy, swap)
    for backend in AVAILABLE:
        status, found = verdict(tiny_copy, capsys, "--backend", backend)
        assert (status, len(found["problems"])) == (3, 1)
        assert "does not open" in found["problems"][0]
        assert "\n" not in found["problems"][0]


def test_wrong_answers_are_problems(tiny_copy: Path, capsys) -> None:
    bundle = Bundle.open(tiny_copy)
    goldens = bundle.goldens()
    goldens["mask"] = (goldens["mask"] + 1) % len(bundle.manifest.classes)
    np.savez_compressed(tiny_copy / "golden.npz", **goldens)
    status, found = verdict(tiny_copy, capsys)
    assert status == 3
    assert len(found["problems"]) == len(bundle.manifest.variants)
    assert "output 'mask': got 0.00000 equal, expected" in found["problems"][0]


def test_what_this_cpu_cannot_compute_right_is_skipped_unless_it_is_named(tiny_copy: Path, capsys, monkeypatch) -> None:
    edit(tiny_copy, lambda m: m["variants"][0].update(name="int8-u8s8"))
    goldens = Bundle.open(tiny_copy).goldens()
    goldens["mask"] = (goldens["mask"] + 1) % 4
    np.savez_compressed(tiny_copy / "golden.npz", **goldens)
    for flags, status, skipped in ((["avx2"], 0, 1), (["avx2", "avx512_vnni"], 3, 0)):
        monkeypatch.setattr("epee.runtime.verify.cpu", lambda flags=flags: {"arch": "x86_64", "flags": flags})
        found = verdict(tiny_copy, capsys)
        assert (found[0], len(found[1]["skipped"])) == (status, skipped)
    monkeypatch.setattr("epee.runtime.verify.cpu", lambda: {"arch": "x86_64", "flags": ["avx2"]})
    status, named = verdict(tiny_copy, capsys, "--precision", "int8-u8s8")
    assert (status, len(named["problems"])) == (3, 1)
    assert "got 0.00000 equal" in named["problems"][0]
    assert "no VNNI" in named["problems"][0]


def test_misshapen_goldens_are_a_problem(tiny_copy: Path, capsys) -> None:
    goldens = Bundle.open(tiny_copy).goldens()
    np.savez_compressed(tiny_copy / "golden.npz", **(goldens | {"mask": goldens["mask"][:, :-1]}))
    status, found = verdict(tiny_copy, capsys)
    assert (status, len(found["problems"])) == (3, 1)
    assert "golden 'mask': got (" in found["problems"][0]
    np.savez_compressed(tiny_copy / "golden.npz", frame=goldens["frame"])
    assert "golden 'mask': got missing" in verdict(tiny_copy, capsys)[1]["problems"][0]


def test_an_engine_that_no_backend_takes_is_skipped(tiny_copy: Path, capsys) -> None:
    def add(data: dict[str, Any]) -> None:
        first = data["variants"][0]
        data["variants"].append(first | {"name": "engine-sm999", "kind": "engine"})

    edit(tiny_copy, add)
    status, found = verdict(tiny_copy, capsys)
    assert status == 0
    assert len(found["skipped"]) == 1
    assert "engine-sm999" in found["skipped"][0]


def test_a_wrong_name_is_an_error_and_not_a_problem(tiny_bundle: Path, capsys) -> None:
    assert main(["verify", str(tiny_bundle), "--backend", "onnxrutnime"]) == 1
    assert "did you mean 'onnxruntime'?" in capsys.readouterr().err
    assert main(["verify", str(tiny_bundle), "--precision", "int3"]) == 1
    assert "precision 'int3': got not in it, expected one of" in capsys.readouterr().err


def test_text_names_the_problems(tiny_copy: Path, capsys) -> None:
    assert main(["verify", str(tiny_copy)]) == 0
    assert capsys.readouterr().out.endswith("ok: whole, and it answers its goldens here\n")
    (tiny_copy / "golden.npz").unlink()
    assert main(["verify", str(tiny_copy)]) == 3
    out = capsys.readouterr().out
    assert "problem: " in out
    assert out.endswith("not ok: 1 problem\n")


def test_compare_judges_shapes_numbers_and_steps() -> None:
    image = TensorSpec("image", (None, 2, 2, 3), "uint8", "NHWC", "bgr8")
    state = TensorSpec("state", (None, 4), "float32", "NS")
    want = {"image": np.full((1, 2, 2, 3), 10, np.uint8), "state": np.zeros((1, 4), np.float32)}
    near = {"image": want["image"] + np.uint8(2), "state": np.full((1, 4), np.nan, np.float32)}
    (_, share, wrong), (_, _, not_finite) = compare((image, state), near, want, Tolerance(0.99, 2))
    assert (share, wrong, not_finite) == (1.0, "", "got values that are not finite")
    ((_, _, shape),) = compare((image,), {"image": want["image"][:, :1]}, want, Tolerance())
    assert shape == "got (1, 1, 2, 3) uint8, expected (1, 2, 2, 3) uint8"


def test_inspect_says_what_is_in_it(tiny_bundle: Path, capsys) -> None:
    manifest = Bundle.open(tiny_bundle).manifest
    assert main(["inspect", str(tiny_bundle)]) == 0
    out = capsys.readouterr().out
    for word in (manifest.name, manifest.task, *manifest.classes, *(v.name for v in manifest.variants)):
        assert word in out
    assert main(["inspect", str(tiny_bundle), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bytes"] == sum(p.stat().st_size for p in tiny_bundle.iterdir())
    assert found["variants"][0]["sha256"] == manifest.variants[0].sha256
