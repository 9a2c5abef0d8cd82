"""`epee export`: what it prints, its exit status, and one clear line for what goes wrong."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

for module in ("torch", "safetensors", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(module)

from epee.export import variants  # noqa: E402
from epee.export.parity import Thresholds  # noqa: E402
from epee.runtime.cli import main  # noqa: E402


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that begins with `epee:`; progress apart, there is nothing else."""
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if not line.startswith("export: ")]
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("epee: ")
    return lines[0]


def test_json_is_one_object(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "b.epee"
    assert main(["export", str(run_folder / "best.safetensors"), "--out", str(out), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["bundle"] == str(out)
    (row,) = data["variants"]
    assert (row["precision"], row["variant"], row["status"], row["reason"]) == ("fp32", "fp32", "written", "")
    assert row["bytes"] == (out / "fp32.onnx").stat().st_size
    assert row["parity"]["equal"] >= 0.9995


def test_the_table(exported) -> None:
    from epee.export.commands import render

    head, row, end = render(exported).splitlines()
    assert head.split() == ["variant", "precision", "size", "equal", "drop", "logits", "differ", "by", "status"]
    assert row.split()[:2] == ["fp32", "fp32"]
    assert row.endswith("written")
    assert end.startswith(f"{exported.bundle} in ")


def test_failed_parity_is_status_3(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(variants.THRESHOLDS, "fp32", Thresholds(min_equal=1.1, max_logit_diff=1e-3))
    assert main(["export", str(run_folder), "--out", str(tmp_path / "b.epee"), "--json"]) == 3
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert data["bundle"] is None
    assert data["variants"][0]["status"] == "failed"
    assert "parity of variant 'fp32' does not hold" in captured.err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "gone"), "--out", str(tmp_path / "b.epee")]) == 1
    assert "nothing there" in error_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_is_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "holiday.safetensors"
    source.write_bytes(b"\x89PNG not weights")
    assert main(["export", str(source), "--out", str(tmp_path / "b.epee")]) == 1
    assert "does not open" in error_line(capsys)
    assert list(tmp_path.iterdir()) == [source]


def test_an_out_that_cannot_be_written(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert main(["export", str(run_folder), "--out", str(tmp_path / "file" / "b.epee")]) == 1
    assert "cannot write bundle" in error_line(capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("room", [1000, 60000])
def test_a_full_disk(run_folder: Path, tmp_path: Path, room: int, capsys: pytest.CaptureFixture[str]) -> None:
    """1000 bytes do not hold the graph; 60000 hold it, but not the goldens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        status = main(["export", str(run_folder), "--out", str(tmp_path / "b.epee")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status == 1
    line = error_line(capsys)
    assert "cannot write bundle" in line
    assert "free some space" in line
    assert list(tmp_path.iterdir()) == []


def test_a_precision_it_does_not_write(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run_folder), "--out", str(tmp_path / "b.epee"), "--precision", "fp32,int4"]) == 1
    assert "precision: got int4, expected fp32, fp16, int8" in error_line(capsys)


@pytest.mark.parametrize("size", ["480", "480x", "0x64", "axb", "-5x64"])
def test_a_size_that_is_none(run_folder: Path, tmp_path: Path, size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run_folder), "--out", str(tmp_path / "b.epee"), f"--size={size}"]) == 1
    assert "WIDTHxHEIGHT" in error_line(capsys)


def test_calibration_asks_for_every_precision(make_run, labelled: Path, tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(labelled.parent / "images" / "train")
    out = tmp_path / "b.epee"
    assert main(["export", str(make_run(data="")), "--out", str(out), "--calibration", folder, "--data",
                 str(labelled), "--max-drop", "0.3"]) == 0
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines()[1:5]] == ["fp32", "fp16", "int8-u8s8", "int8-s8s8"]
    assert "gate: the other half" in text
    assert "passed" in text
    assert text.splitlines()[-1].startswith(f"{out} in ")


@pytest.mark.parametrize(("options", "line"), [
    (["--max-drop", "2"], "--max-drop: got 2.0, expected 0 to 1"),
    (["--search-seconds", "0"], "--search-seconds: got 0.0, expected more than 0"),
    (["--calibration", "EMPTY"], "got no picture in it, expected .png"),
    (["--calibration", "BROKEN"], "got a broken or unknown file"),
])
def test_calibration_and_budget_that_do_not_fit(run_folder: Path, tmp_path: Path, options: list[str], line: str,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "BROKEN").mkdir()
    (tmp_path / "BROKEN" / "half.png").write_bytes(b"\x89PNG cut")
    options = [str(tmp_path / word) if word.isupper() else word for word in options]
    assert main(["export", str(run_folder), "--out", str(tmp_path / "b.epee"), *options]) == 1
    assert line in error_line(capsys)
    assert not (tmp_path / "b.epee").exists()


def test_an_engine_for_a_gpu_that_is_not_here_is_built(run_folder: Path, tmp_path: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx")
    out = tmp_path / "b.epee"
    assert main(["export", str(run_folder), "--out", str(out), "--engine", "tensorrt-rtx:sm86", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["variants"]
    engine = next(row for row in rows if "sm86" in row["variant"])
    assert engine["status"] == "unmeasured"
    assert (out / engine["file"]).stat().st_size == engine["bytes"] > 0


def test_an_engine_for_an_unknown_gpu_writes_nothing(run_folder: Path, tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "b.epee"
    assert main(["export", str(run_folder), "--out", str(out), "--engine", "tensorrt-rtx:sm11"]) == 1
    assert "sm86" in capsys.readouterr().err
    assert not out.exists()
