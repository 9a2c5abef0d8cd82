"""bench on a real bundle: rows, files, and rows that fail without stopping the others."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from epee.benchmarks import matrix, report
from epee.benchmarks.matrix import Row, Settings, measure, rows_of
from epee.runtime.backends import BACKENDS, candidates, probe_all
from epee.runtime.bundle import Bundle
from epee.runtime.cli import main
from epee.runtime.errors import BackendError

AVAILABLE = [b.name for b in probe_all() if b.available]
QUICK = ["--rounds", "1", "--seconds", "0.05", "--threads", "1"]
BACKEND_THAT = """
import importlib
from epee.runtime.backends import Availability

def probe():
    return Availability("{name}", True, "", ("cpu",), "1")

def refuses(variant, device):
    return ""

class Session:
    backend, device, variant, precision, depth = "{name}", "cpu", "fp32", "fp32", 1
    def __init__(self, real):
        self.real, self.inputs, self.outputs, self.calls = real, real.inputs, real.outputs, 0
    def run(self, feeds):
        {deed}
    def close(self):
        self.real.close()
    def __enter__(self):
        return self
    def __exit__(self, *exc):
        self.close()

def open_session(bundle, variant, options):
    return Session(importlib.import_module("epee.runtime.backends.onnxruntime").open_session(bundle, variant, options))
"""
STARTER = """
import sys
from epee.runtime.backends import BACKENDS
BACKENDS.update({backends!r})
"""


@pytest.fixture
def bad_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Adds a backend that misbehaves to the table, here and in every child process."""
    def add(name: str, deed: str) -> None:
        (tmp_path / f"backend_{name}.py").write_text(BACKEND_THAT.format(name=name, deed=deed))
        entry = {name: f"backend_{name}"}
        (tmp_path / "sitecustomize.py").write_text(STARTER.format(backends=entry))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(BACKENDS, name, entry[name])
    return add


@pytest.fixture(scope="module")
def bench(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One quick benchmark of every backend and variant with scores on one drawn street; gives its folder."""
    out = tmp_path_factory.mktemp("bench")
    assert main(["bench", str(tiny_bundle), "--out", str(out), *QUICK]) == 0
    return out


def test_every_backend_and_variant_has_a_row(bench: Path, tiny_bundle: Path) -> None:
    results = json.loads((bench / "results.json").read_text())
    bundle, rows = Bundle.open(tiny_bundle), results["rows"]
    assert sorted((r["backend"], r["variant"]) for r in rows) == sorted(
        (b, v.name) for b in AVAILABLE for v in candidates(bundle, b))
    for row in rows:
        ms = row["latency_ms"]
        assert 0 < ms["min"] <= ms["p50"] <= ms["p90"] <= ms["p99"]
        assert ms["min"] <= ms["mean"]
        assert row["calls"] >= 10
        assert row["cold_start_ms"] > ms["min"]
        assert row["peak_rss_mb"] > 10
        assert (row["error"], row["wrong"], row["device"], row["threads"]) == ("", [], "cpu", 1)
    assert [r["latency_ms"]["p50"] for r in rows] == sorted(r["latency_ms"]["p50"] for r in rows)


def test_results_say_the_machine(bench: Path, tiny_bundle: Path) -> None:
    results = json.loads((bench / "results.json").read_text())
    assert results["format"] == 1
    assert results["bundle"]["digest"] == Bundle.open(tiny_bundle).digest()
    assert results["machine"]["cpu"]["cores"] >= 1
    assert results["machine"]["versions"]["numpy"] == np.__version__
    assert results["settings"]["rounds"] == 1


def test_pictures_and_page(bench: Path) -> None:
    page = (bench / "report.html").read_text()
    assert (bench / "latency.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/png;base64," in page
    assert not (bench / "quality.png").exists()
    assert all(name in page for name in AVAILABLE)
    assert "http" not in page


def labelled(folder: Path, bundle: Path) -> Path:
    """A dataset YAML of one labelled picture, split `val`, in the bundle's classes."""
    names = Bundle.open(bundle).manifest.classes
    random = np.random.default_rng(0)
    for name, shape, top in (("images", (60, 80, 3), 256), ("masks", (60, 80), len(names))):
        (folder / name / "val").mkdir(parents=True)
        cv2.imwrite(str(folder / name / "val/0.png"), random.integers(0, top, shape, np.uint8))
    (folder / "set.yaml").write_text(yaml.safe_dump({"val": "images/val", "names": list(names)}))
    return folder / "set.yaml"


def test_data_adds_scores_and_source_adds_the_pipeline(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    pictures = labelled(tmp_path / "set", tiny_bundle)
    words = ["bench", str(tiny_bundle), "--out", str(tmp_path / "out"), "--backend", "onnxruntime", "--precision",
             "fp32", "--json", *QUICK, "--data", str(pictures), "--source", "synthetic:street", "--frames", "3"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    (row,) = found["rows"]
    assert main(["eval", str(tiny_bundle), "--data", str(pictures), "--backend", "onnxruntime", "--precision", "fp32",
                 "--json"]) == 0
    assert row["miou"] == json.loads(capsys.readouterr().out)["miou"]
    assert row["pipeline"]["frames"] == 3
    assert Path(found["files"]["quality"]).read_bytes().startswith(b"\x89PNG")


def test_text_is_a_table(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    assert main(["bench", str(tiny_bundle), "--out", str(tmp_path), "--backend", "onnxruntime", "--precision", "fp32",
                 *QUICK]) == 0
    out = capsys.readouterr().out
    assert "p50" in out
    assert "onnxruntime:cpu" in out
    assert str(tmp_path / "results.json") in out


@pytest.mark.parametrize(("name", "deed", "line"), [
    ("crashing", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the process crashed with SIGSEGV"),
    ("raising", "raise RuntimeError('no more memory')", "RuntimeError: no more memory"),
    ("leaving", "import os; os._exit(0)", "the process ended without an answer"),
    ("hanging", "import time; time.sleep(60)", "no answer within 3 s"),
])
def test_a_row_that_fails_says_why_and_the_others_go_on(tiny_bundle: Path, bad_backend, name: str, deed: str,
                                                        line: str) -> None:
    bad_backend(name, deed)
    rows = rows_of(Bundle.open(tiny_bundle), [name, "onnxruntime"], ["fp32"], 1)
    measure(Bundle.open(tiny_bundle), rows, Settings(1, 2, 0.02, timeout_s=3.0 if name == "hanging" else 30.0),
            lambda text: None)
    assert rows[0].error == line
    assert rows[0].latency_ms is None
    assert rows[1].error == ""
    assert rows[1].latency_ms is not None
    assert report.faults(rows) == [f"failed: fp32 on {name}: {line}"]
    assert [r.backend for r in report.ordered(rows)] == ["onnxruntime", name]


def test_a_wrong_answer_is_marked_and_not_listed_as_fast(tiny_bundle: Path, bad_backend) -> None:
    bad_backend("guessing", "return {k: (v + 1) % 5 for k, v in self.real.run(feeds).items()}")
    rows = rows_of(Bundle.open(tiny_bundle), ["guessing", "onnxruntime"], ["fp32"], 1)
    measure(Bundle.open(tiny_bundle), rows, Settings(1, 1, 0.02), lambda text: None)
    assert rows[0].latency_ms is not None
    assert "output 'mask': got " in rows[0].wrong[0]
    assert report.ordered(rows)[-1].backend == "guessing"
    assert "WRONG" in report.cells(rows[0])[1]


def test_when_every_row_fails_the_status_is_3(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    tiny_copy = Path(shutil.copytree(tiny_bundle, tmp_path / "copy.epee"))
    file = tiny_copy / Bundle.open(tiny_copy).manifest.variants[0].file
    file.write_bytes(b"changed")
    words = ["bench", str(tiny_copy), "--out", str(tmp_path / "out"), "--precision", "fp32", "--backend", "onnxruntime"]
    assert main([*words, *QUICK, "--json"]) == 3
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert "hash of" in row["error"]
    assert json.loads((tmp_path / "out/results.json").read_text())["rows"][0]["error"] == row["error"]


def test_a_folder_that_cannot_be_written_is_said_before_measuring(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("x")
    assert main(["bench", str(tiny_bundle), "--out", str(tmp_path / "file/out"), *QUICK]) == 1
    assert "expected a folder to write in; name another --out" in capsys.readouterr().err


def test_data_that_does_not_fit_is_said_before_measuring(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    words = ["bench", str(tiny_bundle), "--out", str(tmp_path), "--backend", "onnxruntime", "--precision", "fp32"]
    assert main([*words, *QUICK, "--data", str(tmp_path / "nowhere.yaml")]) == 1
    assert "nowhere.yaml': got No such file" in capsys.readouterr().err
    assert main([*words, *QUICK, "--data", "synthetic:street"]) == 1
    assert "classes of bundle 'tiny' and data 'synthetic:street' differ" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


def test_names_of_the_matrix_are_checked(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(BackendError, match="no such backend"):
        rows_of(bundle, ["onyx"], ["all"], 0)
    with pytest.raises(BackendError, match="precision 'int1'"):
        rows_of(bundle, ["all"], ["int1"], 0)
    assert [r.where for r in rows_of(bundle, ["openvino:cpu", "openvino:cpu"], ["fp32", "fp32"], 0)] == ["openvino:cpu"]


def test_rounds_are_interleaved_and_shuffled(tiny_bundle: Path, monkeypatch) -> None:
    seen: list[str] = []

    def work(bundle: Bundle, row: Row, settings: Settings, kind: str) -> dict[str, object]:
        seen.append(row.backend)
        return {"device": "cpu", "samples_ms": [1.0, 2.0], "cold_start_ms": 3.0, "peak_rss_mb": 4.0,
                "golden_equal": 1.0, "wrong": []}

    monkeypatch.setattr(matrix, "_work", work)
    rows = [Row(name, "", "fp32", "fp32", 1, 1) for name in "abcd"]
    measure(Bundle.open(tiny_bundle), rows, Settings(rounds=6), lambda text: None)
    rounds = [tuple(seen[i:i + 4]) for i in range(0, 24, 4)]
    assert all(sorted(r) == list("abcd") for r in rounds)
    assert len(set(rounds)) > 2
    assert rows[0].rounds_p50_ms == [1.5] * 6
    assert rows[0].latency_ms == {"mean": 1.5, "p50": 1.5, "p90": 2.0, "p99": 2.0, "min": 1.0}


def test_hashes_in_results_name_the_bundle(bench: Path, tiny_bundle: Path) -> None:
    digest = hashlib.sha256((tiny_bundle / "manifest.json").read_bytes()).hexdigest()[:16]
    assert json.loads((bench / "results.json").read_text())["bundle"]["digest"] == digest
    assert sys.executable not in (bench / "results.json").read_text()
