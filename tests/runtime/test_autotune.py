"""The first opening with `auto`: it times, remembers and says so, once; nothing else does."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from epee.runtime import autotune, choice
from epee.runtime.backends import BACKENDS, open_session
from epee.runtime.bundle import Bundle
from epee.runtime.choice import Choice, choice_file, remembered


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own; the switch is on; ONNX Runtime and OpenCV are all there is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("EPEE_AUTOTUNE", "1")
    for name in set(BACKENDS) - {"onnxruntime", "opencv"}:
        monkeypatch.delitem(BACKENDS, name)
    pytest.importorskip("cv2")
    return tmp_path / "cache" / "epee" / "tuned"


def test_the_first_opening_times_and_the_second_remembers(tiny_bundle: Path, cache: Path, capsys) -> None:
    bundle = Bundle.open(tiny_bundle)
    with open_session(bundle) as session:
        where = f"{session.backend}:{session.device}"
    first, why = capsys.readouterr().err.splitlines()
    assert first == ("epee: first opening of 'tiny' on this machine: checking and timing 2 candidates, once; "
                     "EPEE_AUTOTUNE=0 goes without")
    assert why.startswith(f"epee: fp32 on {where}: ")
    assert "the fastest of 2 that answer right here" in why
    (file,) = cache.iterdir()
    assert json.loads(file.read_text())["backend"] == where
    with open_session(bundle) as session:
        assert session.backend == where.partition(":")[0]
    assert capsys.readouterr().err.splitlines() == [why]


def test_a_choice_under_other_versions_is_made_anew(tiny_bundle: Path, cache: Path, capsys) -> None:
    bundle = Bundle.open(tiny_bundle)
    with pytest.MonkeyPatch.context() as before:
        before.setattr(choice.machine, "versions", lambda: {"onnxruntime": "0.0.1"})
        choice.remember(bundle, Choice("opencv:cpu", "fp32", 1.0, "2026-01-01"))
    assert remembered(bundle) is None
    with open_session(bundle):
        assert "first opening of 'tiny'" in capsys.readouterr().err
    assert len(list(cache.iterdir())) == 2
    assert remembered(bundle) is not None


def test_off_is_off_and_so_is_whoever_names_something(tiny_bundle: Path, cache: Path, monkeypatch: pytest.MonkeyPatch,
                                                      capsys) -> None:
    bundle = Bundle.open(tiny_bundle)
    for backend, precision in (("onnxruntime", "auto"), ("auto", "fp32")):
        with open_session(bundle, backend, precision) as session:
            assert session.backend == "onnxruntime"
    monkeypatch.setenv("EPEE_AUTOTUNE", "0")
    with open_session(bundle) as session:
        assert session.backend == "onnxruntime"
    assert capsys.readouterr().err == ""
    assert not cache.exists()


def test_one_candidate_needs_no_timing(tiny_bundle: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.delitem(BACKENDS, "opencv")
    with open_session(Bundle.open(tiny_bundle)) as session:
        assert session.backend == "onnxruntime"
    assert capsys.readouterr().err == ""


def test_two_processes_do_not_measure_each_other(tiny_bundle: Path, cache: Path, capsys) -> None:
    bundle = Bundle.open(tiny_bundle)
    mark = choice_file(bundle).with_suffix(".timing")
    mark.parent.mkdir(parents=True)
    mark.touch()
    with open_session(bundle) as session:
        assert session.backend == "onnxruntime"
    assert "another process is timing this bundle" in capsys.readouterr().err
    assert mark.exists()
    old_s = time.time() - 2 * autotune.STALE_S
    os.utime(mark, (old_s, old_s))  # whoever left it has died
    with open_session(bundle):
        assert "first opening of 'tiny'" in capsys.readouterr().err
    assert not mark.exists()


def test_a_cache_that_cannot_be_written_costs_no_time(tiny_bundle: Path, cache: Path, capsys) -> None:
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file is in the way")
    with open_session(Bundle.open(tiny_bundle)) as session:
        assert session.backend == "onnxruntime"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("epee: nothing is timed, because the choice cannot be remembered: ")


def test_wrong_answers_are_not_taken_in_silence(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    path = Path(shutil.copytree(tiny_bundle, tmp_path / "wrong.epee"))
    goldens = Bundle.open(path).goldens()
    np.savez_compressed(path / "golden.npz", **{**goldens, "mask": (goldens["mask"] + 1) % 4})
    with open_session(Bundle.open(path)) as session:
        assert session.backend == "onnxruntime"
    assert "no candidate answered its goldens right in time" in capsys.readouterr().err
