"""`epee export their.onnx`: the command as users type it, what it says, and what goes wrong on the way."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
for module in ("torch", "safetensors", "onnxscript", "onnxruntime", "cv2"):
    pytest.importorskip(module)

from epee.export.foreign.targets import sentence  # noqa: E402
from epee.runtime.bundle import Bundle  # noqa: E402
from epee.runtime.cli import main  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SAID = ["--task", "segment", "--classes", "sky,wall,road,car"]
HAND = [*SAID, "--scale", "1", "--colour-order", "bgr"]


@pytest.fixture
def hand(foreign_file: Any) -> str:
    return str(foreign_file("hand")[0])


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that begins with `epee:`; progress apart, there is nothing else."""
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("export: ")]
    assert len(lines) == 1, lines
    return lines[0]


def test_json_and_what_was_understood(hand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "b.epee"
    assert main(["export", hand, "--out", str(out), *HAND, "--ignore", "3", "--json"]) == 0
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert [row["status"] for row in data["variants"]] == ["written"]
    assert "export: the network sees nhwc bgr, (x / 1 - 0,0,0) / 1,1,1; assumed: mean, std" in captured.err
    manifest = Bundle.open(out).manifest
    assert (manifest.name, manifest.task, manifest.ignore) == ("b", "segment", 3)
    assert manifest.classes == ("sky", "wall", "road", "car")
    assert len(set(manifest.colours)) == 4
    facts = manifest.provenance
    assert (facts["model"], facts["opset"], facts["parity_frames"]) == ("hand.onnx", 11, "synthetic:street")
    assert len(facts["model_sha256"]) == 64
    assert facts["preprocessing"]["known"] == {"colour_order": "given", "mean": "assumed", "std": "assumed",
                                               "scale": "given"}


def test_a_target_that_lacks_an_operator_is_told_with_the_node(tmp_path: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    """A SegNet-like pair of MaxPool with indices and MaxUnpool, which only ONNX Runtime has."""
    weights = {"w1": np.random.default_rng(0).normal(0, 0.3, (8, 3, 3, 3)),
               "w2": np.random.default_rng(1).normal(0, 0.3, (4, 8, 1, 1))}
    half = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [helper.make_node("Conv", ["x", "w1"], ["c"], pads=[1] * 4, name="first"),
             helper.make_node("MaxPool", ["c"], ["p", "i"], name="pool", **half),
             helper.make_node("MaxUnpool", ["p", "i"], ["u"], name="unpool", **half),
             helper.make_node("Conv", ["u", "w2"], ["out"], name="last")]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 64, 96])],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4, 64, 96])],
                              [numpy_helper.from_array(a.astype(np.float32), name) for name, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "m.onnx")
    engine = ["--engine", "tensorrt-rtx:sm86"] if _has("tensorrt_rtx") else []
    out = tmp_path / "b.epee"
    assert main(["export", str(tmp_path / "m.onnx"), "--out", str(out), *SAID, *engine, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert "onnxruntime" not in data["lacking"]
    assert Bundle.open(out).manifest.extra.get("lacking", {}) == data["lacking"]
    if _has("openvino"):
        assert data["lacking"]["openvino"].startswith(
            "operator 'MaxUnpool' of node 'unpool': target 'openvino' lacks it (")
    if engine:
        row = data["variants"][1]
        assert (row["variant"], row["status"]) == ("fp32-rtx-sm86", "refused")
        assert "node 'pool' (MaxPool)" in row["reason"]


def _has(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


def test_a_target_without_words_is_named_alone(foreign_file: Any) -> None:
    model = onnx.load(foreign_file("hand")[0])
    assert sentence("npu", model, "out of memory") == "target 'npu' does not take the graph (out of memory)"


def test_classes_from_files(hand: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("sky\nwall\n\nroad\ncar\n")
    (tmp_path / "data.yaml").write_text("val: images/val\nnames: [sky, wall, road, car]\n"
                                        "colours: {0: [1, 2, 3], 1: [4, 5, 6], 2: [7, 8, 9], 3: [9, 9, 9]}\n")
    for i, file in enumerate(("names.txt", "data.yaml")):
        options = [*HAND, "--classes", str(tmp_path / file)]
        assert main(["export", hand, "--out", str(tmp_path / f"{i}.epee"), *options]) == 0
        assert Bundle.open(tmp_path / f"{i}.epee").manifest.classes == ("sky", "wall", "road", "car")
    assert Bundle.open(tmp_path / "1.epee").manifest.colours[0] == (1, 2, 3)


@pytest.mark.parametrize(("options", "line"), [
    ([], "--task of somebody else's model: got none, expected segment"),
    (["--classes", "a,b"], "--task of somebody else's model: got none, expected segment"),
    (["--task", "segment", "--classes", "a,a"], "--classes: got 'a,a', expected names in the order of their ids"),
    ([*SAID, "--mean", "1,2"], "numbers for red, green and blue: got '1,2', expected three numbers"),
    ([*SAID, "--size", "48x64"], "--size: got 48x64, expected (?, 64, 96, 3), as in the graph"),
])
def test_options_that_do_not_fit(hand: str, tmp_path: Path, options: list[str], line: str,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", hand, "--out", str(tmp_path / "b.epee"), *options]) == 1
    assert line in error_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_takes_no_such_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "b.epee"), *SAID]) == 1
    assert "options of somebody else's model: got source" in error_line(capsys)


@pytest.mark.parametrize(("pictures", "line"), [
    ({}, "got no picture in it, expected .png"),
    ({"a.png": (1, 1)}, "calibration picture 'a.png' of "),
    ({"a.png": (64, 96), "b.png": None}, "got a broken or unknown file"),
])
def test_calibration_pictures_that_are_none(hand: str, tmp_path: Path, pictures: dict[str, Any], line: str,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    folder = _pictures(tmp_path / "pictures", pictures)
    options = [*HAND, "--precision", "int8-s8s8", "--calibration", str(folder)]
    assert main(["export", hand, "--out", str(tmp_path / "b.epee"), *options]) == 1
    assert line in error_line(capsys)
    assert list(tmp_path.iterdir()) == [folder]


def test_calibration_pictures_of_another_size_are_fitted(hand: str, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "pictures", {f"{i}.png": (50 + 20 * i, 200 - 30 * i) for i in range(6)})
    options = [*HAND, "--precision", "int8-s8s8", "--calibration", str(folder), "--max-drop", "0.9"]
    assert main(["export", hand, "--out", str(tmp_path / "b.epee"), *options]) == 0
    record = Bundle.open(tmp_path / "b.epee").manifest.extra["calibration"]
    assert record["frames"] == ["0.png", "2.png", "4.png"]


def _pictures(folder: Path, sizes_hw: dict[str, Any]) -> Path:
    """A folder of stills of the street at the sizes named; None is a file that is cut."""
    import cv2
    from epee.runtime.street import StreetDataset

    folder.mkdir()
    split = StreetDataset("train", (192, 144), max(1, len(sizes_hw)))
    for i, (name, size_hw) in enumerate(sizes_hw.items()):
        if size_hw is None:
            (folder / name).write_bytes(b"\x89PNG cut")
        else:
            cv2.imwrite(str(folder / name), cv2.resize(split[i][0], size_hw[::-1], interpolation=cv2.INTER_AREA))
    return folder


@pytest.mark.parametrize(("room", "what"), [(1000, "cannot write into the temporary folder"),
                                            (30000, "cannot write bundle")])
def test_a_full_disk(hand: str, tmp_path: Path, room: int, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """1000 bytes do not hold the graph; 30000 hold it, but not the goldens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        status = main(["export", hand, "--out", str(tmp_path / "b.epee"), *HAND])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status == 1
    line = error_line(capsys)
    assert what in line
    assert "free some space" in line
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room(hand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file system of 16 KiB, made for the test."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)],
                                           capture_output=True).returncode:
        pytest.skip("mounting a small file system needs more rights than this process has")
    try:
        assert main(["export", hand, "--out", str(place / "b.epee"), *HAND]) == 1
        assert "No space left on device" in error_line(capsys)
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _started(hand: str, out: Path, calibration: Path, until: str) -> subprocess.Popen[str]:
    """An export in a process of its own that has come to a step."""
    command = [sys.executable, "-m", "epee", "export", hand, "--out", str(out), *HAND, "--precision", "int8",
               "--calibration", str(calibration), "--max-drop", "0", "--search-seconds", "60"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    started_s = time.monotonic()
    for line in process.stderr:
        if line.startswith(f"export: {until}"):
            return process
        assert time.monotonic() - started_s < 90
    raise AssertionError(f"the export ended before '{until}'")


def test_an_interrupted_export_leaves_nothing(hand: str, tmp_path: Path) -> None:
    pictures = _pictures(tmp_path / "pictures", {f"{i}.png": (64, 96) for i in range(6)})
    process = _started(hand, tmp_path / "b.epee", pictures, "int8-u8s8: ")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "epee: interrupted"
    assert list(tmp_path.iterdir()) == [pictures]


def test_a_killed_export_leaves_no_bundle(hand: str, tmp_path: Path) -> None:
    pictures = _pictures(tmp_path / "pictures", {f"{i}.png": (64, 96) for i in range(6)})
    process = _started(hand, tmp_path / "b.epee", pictures, "int8-u8s8: ")
    process.kill()
    process.communicate(timeout=60)
    assert not (tmp_path / "b.epee").exists()
    assert main(["export", hand, "--out", str(tmp_path / "b.epee"), *HAND]) == 0
