"""tune checks, times, chooses and remembers; `auto` uses what it chose and says so."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from epee.runtime import choice as choices
from epee.runtime import cuda
from epee.runtime import tune as tuning
from epee.runtime.backends import candidates, open_session
from epee.runtime.bundle import Bundle, save, sha256, writing
from epee.runtime.choice import Choice, remember, remembered
from epee.runtime.cli import main
from epee.runtime.errors import BackendError
from epee.runtime.evaluate import evaluate
from epee.runtime.stopwatch import Timing, time_variants
from epee.runtime.tune import QUICK, Tuned, field, tune
from epee.runtime.variants import saturates

ORT = "onnxruntime"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "epee" / "tuned"


@pytest.fixture(scope="module")
def two(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a second variant that is sound, and a third that answers wrong."""
    import onnx

    old = Bundle.open(tiny_bundle)
    path = tmp_path_factory.mktemp("two") / "two.epee"
    with writing(path) as folder:
        shutil.copy(tiny_bundle / "fp32.onnx", folder / "fp32.onnx")
        shutil.copy(tiny_bundle / "fp32.onnx", folder / "fp16.onnx")
        wrong = onnx.load(tiny_bundle / "fp32.onnx")
        bias = next(w for w in wrong.graph.initializer if w.name == "bias")
        bias.CopyFrom(onnx.numpy_helper.from_array(np.array([0, 0, 0, 400], np.float32), "bias"))
        onnx.save(wrong, folder / "int8-u8s8.onnx")
        first = old.manifest.variants[0]
        variants = tuple(dataclasses.replace(first, name=name, file=f"{name}.onnx", precision=name.split("-")[0],
                                             sha256=sha256(folder / f"{name}.onnx"))
                         for name in ("fp32", "fp16", "int8-u8s8"))
        save(folder, dataclasses.replace(old.manifest, variants=variants), old.goldens())
    return path


@pytest.fixture
def chosen(two: Path) -> Iterator[Choice]:
    """`auto` has a choice for the bundle: its second variant."""
    choice = Choice(f"{ORT}:cpu", "fp16", 1.25, "2026-11-24", 3)
    assert remember(Bundle.open(two), choice) is not None
    return choice


def test_wrong_answers_are_not_chosen_and_the_choice_is_remembered(two: Path, cache: Path, capsys) -> None:
    assert main(["tune", str(two), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    by_name = {c["variant"]: c for c in found["candidates"] if c["backend"] == ORT}
    assert "output 'mask': got " in by_name["int8-u8s8"]["verdict"] or "VNNI" in by_name["int8-u8s8"]["verdict"]
    assert by_name["int8-u8s8"]["ms"] is None
    assert all(by_name[name]["ms"] > 0 for name in ("fp32", "fp16"))
    assert [c["verdict"] for c in found["candidates"]].count("chosen") == 1
    assert Path(found["file"]).parent == cache
    assert remembered(Bundle.open(two)) == Choice(**found["choice"])
    assert list(two.iterdir()) == [p for p in two.iterdir() if not p.name.endswith(".part")]


def test_a_choice_among_some_is_not_remembered(two: Path, cache: Path, capsys) -> None:
    assert main(["tune", str(two), "--backend", ORT]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0].split() == ["variant", "computes", "backend", "ms", "equal", "verdict"]
    assert captured.out.endswith("not remembered\n")
    assert captured.err == f"tune: {ORT}: 3 variants\n"
    assert not cache.exists()


def test_auto_uses_the_choice_and_says_so(two: Path, chosen: Choice, capsys) -> None:
    with open_session(Bundle.open(two)) as session:
        assert (session.backend, session.variant) == (ORT, "fp16")
    assert capsys.readouterr().err == (f"epee: fp16 on {ORT}:cpu: 1.2 ms a frame, the fastest of 3 that answer right "
                                       "here, tuned 2026-11-24\n")


def test_what_is_named_is_not_replaced(two: Path, chosen: Choice, capsys) -> None:
    for backend, precision in ((ORT, "auto"), ("auto", "fp32"), (ORT, "fp32")):
        with open_session(Bundle.open(two), backend, precision) as session:
            assert session.variant == "fp32"
    assert capsys.readouterr().err == ""


def test_eval_scores_the_first_variant_whatever_was_tuned(tiny_bundle: Path, two: Path, chosen: Choice, tmp_path: Path,
                                                          capsys) -> None:
    cv2 = pytest.importorskip("cv2")
    for kind, shape in (("images", (72, 96, 3)), ("masks", (72, 96))):
        (tmp_path / kind / "val").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / kind / "val" / "0.png"), np.zeros(shape, np.uint8))
    (tmp_path / "set.yaml").write_text("val: images/val\nnames: [blue, green, red, dark]\n")
    assert main(["eval", str(two), "--data", str(tmp_path / "set.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["variant"] == "fp32"
    assert evaluate(Bundle.open(two), str(tmp_path / "set.yaml")).variant == "fp16"  # in Python, `auto` is what it says


def test_a_choice_is_for_one_bundle_one_machine_and_these_versions(two: Path, tiny_bundle: Path, chosen: Choice,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    assert remembered(Bundle.open(two)) == chosen
    assert remembered(Bundle.open(tiny_bundle)) is None
    monkeypatch.setattr(choices.machine, "versions", lambda: {"onnxruntime": "0.0.1"})
    assert remembered(Bundle.open(two)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"backend": "onnxruntime"}', '{"backend": "onnxruntime", '
                                  '"variant": "int3", "ms": 1, "tuned": "today"}'])
def test_a_broken_memory_is_no_memory(two: Path, chosen: Choice, text: str) -> None:
    choices.choice_file(Bundle.open(two)).write_text(text)
    assert remembered(Bundle.open(two)) is None
    with open_session(Bundle.open(two)) as session:
        assert session.variant == "fp32"


def test_a_cache_that_cannot_be_written(two: Path, cache: Path, capsys) -> None:
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file is in the way")
    assert remember(Bundle.open(two), Choice(ORT, "fp32", 1.0, "2026-11-24")) is None
    assert capsys.readouterr().err.startswith("epee: the choice is not remembered: ")


def test_nothing_right_is_status_3(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "wrong.epee"))
    goldens = Bundle.open(bundle).goldens()
    np.savez_compressed(bundle / "golden.npz", **{**goldens, "mask": (goldens["mask"] + 1) % 4})
    assert main(["tune", str(bundle), "--backend", ORT]) == 3
    assert "nothing answers right here" in capsys.readouterr().out


def test_a_child_that_dies_is_a_row(two: Path) -> None:
    (timing,) = time_variants(Bundle.open(two), [(ORT, "fp32")], timeout_s=0.05)
    assert (timing.ms, timing.wrong) == (None, "no answer within 0.05 s")
    bundle = Bundle.open(two)
    gone = Bundle(two.parent / "gone.epee", bundle.manifest)
    (timing,) = time_variants(gone, [(ORT, "fp32")])
    assert "nothing there" in timing.wrong


def test_a_name_that_is_none(two: Path, capsys) -> None:
    assert main(["tune", str(two), "--backend", "onnxrutnime"]) == 1
    assert "did you mean 'onnxruntime'?" in capsys.readouterr().err


def test_u8s8_is_kept_from_cpus_that_saturate() -> None:
    old, new = ({"arch": "x86_64", "flags": flags} for flags in (["avx2"], ["avx2", "avx_vnni"]))
    assert "no VNNI" in saturates("int8-u8s8", old)
    assert saturates("int8-u8s8-rr", old) == saturates("int8-u8s8", new) == saturates("fp32", old) == ""
    assert ("no VNNI" in saturates("int8-s8s8", old, "openvino"), saturates("int8-s8s8", old, ORT)) == (True, "")
    assert saturates("int8-s8s8", new, "openvino") == ""
    assert saturates("int8-u8s8", {"arch": "aarch64", "flags": ["neon"]}) == ""


def test_the_fastest_that_is_right_wins() -> None:
    timings = (Timing(ORT, "cpu", "fp32", 9.0, 1.0), Timing("openvino", "cpu", "int8-u8s8", 3.0, 0.9, "wrong"))
    tuned = Tuned(timings, Choice(f"{ORT}:cpu", "fp32", 9.0, "2026-11-24"), None)
    assert [tuned.verdict(t) for t in timings] == ["chosen", "wrong"]


def test_threads_are_passed_and_not_remembered(two: Path, cache: Path) -> None:
    found = tune(Bundle.open(two), [ORT], threads=1)
    assert found.choice is not None
    assert found.file is None
    assert not cache.exists()
    assert os.environ["XDG_CACHE_HOME"]


def test_only_what_a_backend_may_take_is_a_candidate(two: Path) -> None:
    bundle = Bundle.open(two)
    for backend, names in field(bundle).items():
        known = {"ncnn": ["fp32"], ORT: ["fp32", "fp16", "int8-u8s8"], "opencv": ["fp32", "fp16", "int8-u8s8"]}
        assert names == known.get(backend.partition(":")[0], names)
        assert backend.partition(":")[0] not in ("tensorrt", "tensorrt-rtx")  # no engine is there yet
    assert field(bundle, ["tensorrt"]) == {"tensorrt": ["fp32", "fp16"]}
    assert "bf16" not in [v.name for v in candidates(bundle, ORT)]


def test_an_engine_is_tried_only_by_its_own_library(two: Path) -> None:
    old = Bundle.open(two)
    first = old.manifest.variants[0]
    engine = dataclasses.replace(first, name="rtx", kind="engine", targets=("tensorrt-rtx:sm86",))
    bundle = dataclasses.replace(old, manifest=dataclasses.replace(old.manifest, variants=(first, engine)))
    takers = [b for b in (ORT, f"{ORT}:cuda", "openvino", "opencv", "ncnn", "tensorrt", "tensorrt-rtx")
              if engine in candidates(bundle, b)]
    assert takers == ["tensorrt-rtx"]


def test_no_time_is_no_candidate_and_is_said(two: Path) -> None:
    lines: list[str] = []
    effort = dataclasses.replace(QUICK, total_s=-1.0)
    found = tune(Bundle.open(two), [ORT], effort=effort, say=lines.append)
    assert (found.timings, found.choice, lines) == ((), None, [f"{ORT} is left out: -1 s are over"])


def test_a_device_that_is_only_listed_is_left_out(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(tuning, "field", lambda bundle, backends: {f"{ORT}:abacus": ["fp32"], f"{ORT}:cpu": ["fp32"]})
    found = tune(Bundle.open(two), effort=QUICK, say=lines.append)
    assert [t.device for t in found.timings] == ["cpu"]
    assert f"{ORT}:abacus is left out: backend '{ORT}:abacus': got no such provider" in lines[1]


@pytest.mark.parametrize("library", ["tensorrt", "tensorrt-rtx"])
def test_engines_need_the_library_and_the_gpu_they_are_for(two: Path, library: str, capsys) -> None:
    try:
        assert cuda.gpus()
        pytest.skip("there is a GPU here")
    except BackendError:
        pass
    assert main(["tune", str(two), "--engine", library]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"epee: --engine {library}: got ")
    assert "the library is not installed" in line or "no NVIDIA GPU here" in line or "cuda.bindings" in line
    assert line.count("\n") == 1
    assert main(["tune", str(two), "--engine", "tensorflow"]) == 1
    assert "expected tensorrt-rtx or tensorrt" in capsys.readouterr().err
