"""Rows that fail without stopping the others: crashes, hangs, wrong answers; and disks and data that are not there."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from epee.benchmarks import report
from epee.benchmarks.matrix import rows_of
from epee.benchmarks.rounds import bench
from epee.benchmarks.rows import Settings
from epee.runtime.bundle import Bundle
from epee.runtime.cli import main

QUICK = ["--backend", "onnxruntime", "--precision", "fp32", "--rounds", "1", "--seconds", "0.02", "--threads", "1"]


def silent(line: str) -> None:
    """Progress that nobody wants."""


@pytest.mark.parametrize(("name", "deed", "line"), [
    ("crashing", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the process crashed with SIGSEGV"),
    ("raising", "raise RuntimeError('no more memory')", "RuntimeError: no more memory"),
    ("leaving", "import os; os._exit(0)", "the process ended without an answer"),
    ("hanging", "import time; time.sleep(60)", "no answer within 1 s"),
    ("printing", "print('no luck', flush=True); import os; os._exit(3)", "no luck"),
])
def test_a_row_that_fails_says_why_and_the_others_go_on(tiny_bundle: Path, bad_backend, name: str, deed: str,
                                                        line: str) -> None:
    bad_backend(name, deed)
    bundle = Bundle.open(tiny_bundle)
    rows = rows_of(bundle, [name] if name != "crashing" else [name, "onnxruntime"], ["fp32"], [1])
    settings = Settings(rounds=1, seconds=0.02, timeout_s=1.0 if name == "hanging" else 60.0)
    results = bench(bundle, rows, settings, silent)
    assert rows[0].error == line
    assert (rows[0].scenarios, rows[0].good) == ({}, False)
    assert report.faults(results.rows)[0].startswith("failed: ")
    if name == "crashing":
        assert rows[1].good
        assert [r.backend for r in report.ordered(rows)] == ["onnxruntime", name]


def test_a_scenario_that_fails_leaves_the_others_standing(tiny_bundle: Path, bad_backend) -> None:
    bad_backend("oneatatime", "return self.real.run(feeds)")  # it has no `submit`, which several in flight need
    rows = rows_of(Bundle.open(tiny_bundle), ["oneatatime"], ["fp32"], [1])
    settings = Settings(("single-stream", "offline", "paced"), rounds=2, seconds=0.02)
    results = bench(Bundle.open(tiny_bundle), rows, settings, silent)
    assert (list(rows[0].scenarios), list(rows[0].failed), rows[0].good) == (["single-stream", "paced"], ["offline"],
                                                                            True)
    assert report.faults(results.rows) == [f"failed: {rows[0].name}, offline: {rows[0].failed['offline']}"]
    assert "submit" in rows[0].failed["offline"]


def test_ctrl_c_writes_what_was_measured_and_says_so(tiny_bundle: Path, bad_backend, tmp_path: Path) -> None:
    note = tmp_path / "note"
    bad_backend("noting", f"open({str(note)!r}, 'a').write(str(__import__('os').getpid()) + ' ')\n"
                          "        return self.real.run(feeds)")
    words = [sys.executable, "-m", "epee", "bench", str(tiny_bundle), "--backend", "noting", "--precision", "fp32",
             "--rounds", "99", "--seconds", "0.02", "--threads", "1", "--out", str(tmp_path / "out"), "--json",
             "--save-baseline", str(tmp_path / "base"), "--profile"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        while len(set(note.read_text().split()) if note.exists() else ()) < 3:
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
    assert running.returncode == 130
    assert "interrupted: these are the rounds measured until then" in err
    assert json.loads(out)["interrupted"] is True
    kept = json.loads((tmp_path / "out/results.json").read_text())
    assert kept["interrupted"] is True
    assert 2 <= len(kept["rows"][0]["scenarios"]["single-stream"]["rounds"]) < 99
    assert not (tmp_path / "base").exists()  # a part of the rounds is no baseline
    assert not json.loads(out).get("profile")


def test_a_wrong_answer_is_marked_and_not_listed_as_fast(tiny_bundle: Path, bad_backend) -> None:
    bad_backend("guessing", "return {k: (v + 1) % 5 for k, v in self.real.run(feeds).items()}")
    bundle = Bundle.open(tiny_bundle)
    rows = rows_of(bundle, ["guessing", "onnxruntime"], ["fp32"], [1])
    bench(bundle, rows, Settings(rounds=1, seconds=0.02), silent)
    assert rows[0].scenarios["single-stream"].ms > 0
    assert "output 'mask': got " in rows[0].wrong[0]
    assert not rows[0].good
    assert report.ordered(rows)[-1].backend == "guessing"


@pytest.mark.parametrize(("kind", "line"), [
    ("nan", "output 'y': got values that are not finite"),
    ("wide", "output 'y': got (1, 8), expected (1, 4)"),
])
def test_graphs_that_give_nan_or_another_shape_are_wrong(odd_bundle: Callable[[str], Path], kind: str,
                                                         line: str) -> None:
    bundle = Bundle.open(odd_bundle(kind))
    rows = rows_of(bundle, ["onnxruntime"], ["fp32"], [1])
    bench(bundle, rows, Settings(rounds=1, seconds=0.02), silent)
    assert (rows[0].error, rows[0].wrong, rows[0].golden_equal) == ("", [line], 0.0)


def test_when_every_row_fails_the_status_is_3(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    tiny_copy = Path(shutil.copytree(tiny_bundle, tmp_path / "copy.epee"))
    file = tiny_copy / Bundle.open(tiny_copy).manifest.variants[0].file
    file.write_bytes(b"changed")
    assert main(["bench", str(tiny_copy), "--out", str(tmp_path / "out"), *QUICK, "--json"]) == 3
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert "hash of" in row["error"]
    assert json.loads((tmp_path / "out/results.json").read_text())["rows"][0]["error"] == row["error"]


def test_a_folder_that_cannot_be_written_is_said_before_measuring(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("x")
    assert main(["bench", str(tiny_bundle), "--out", str(tmp_path / "file/out"), *QUICK]) == 1
    assert "expected a folder to write in; name another --out" in capsys.readouterr().err


def test_a_full_disk_is_one_line(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full, which writes as a full disk does")
    (tmp_path / "results.json").symlink_to("/dev/full")
    assert main(["bench", str(tiny_bundle), "--out", str(tmp_path), *QUICK]) == 1
    err = capsys.readouterr().err
    assert "results.json': got No space left on device; free some space or name another --out" in err
    assert "Traceback" not in err


def test_data_that_does_not_fit_is_said_before_measuring(tiny_bundle: Path, odd_bundle, tmp_path: Path, capsys) -> None:
    words = ["bench", str(tiny_bundle), "--out", str(tmp_path / "out"), *QUICK, "--data"]
    assert main([*words, str(tmp_path / "nowhere.yaml")]) == 1
    assert "nowhere.yaml': got No such file" in capsys.readouterr().err
    assert main([*words, "synthetic:street"]) == 1
    assert "classes of bundle 'tiny' and data 'synthetic:street' differ" in capsys.readouterr().err
    assert main(["bench", str(odd_bundle("nan")), *words[2:], "synthetic:street"]) == 1
    assert "got task features, expected segment or generate" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_batch_that_the_graph_does_not_take_is_a_row_that_says_so(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "fixed.epee"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["inputs"][0]["shape"][0] = 1
    (copy / "manifest.json").write_text(json.dumps(manifest))
    bundle = Bundle.open(copy)
    assert [r.batch for r in rows_of(bundle, ["onnxruntime"], ["fp32"])] == [1]
    rows = rows_of(bundle, ["onnxruntime"], ["fp32"], [1], [8])
    bench(bundle, rows, Settings(rounds=1, seconds=0.02), silent)
    assert rows[0].error.startswith("batch 8: got a graph that takes 1 at once")
