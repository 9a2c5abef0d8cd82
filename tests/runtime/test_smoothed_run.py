"""Smoothing as a stage of a run: in order, shown in the numbers, written by the sinks."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from epee.runtime.bundle import Bundle
from epee.runtime.errors import DataError
from epee.runtime.frames import Frame, Result
from epee.runtime.smoothing import GAP_S, SmoothedResults

cv2 = pytest.importorskip("cv2")
GREY = np.full((72, 96, 3), 90, np.uint8)


@pytest.fixture
def result(tiny_bundle: Path):
    """Makes a result of a grey frame whose mask is one class."""
    manifest = Bundle.open(tiny_bundle).manifest

    def make(index: int, at_s: float, class_id: int) -> Result:
        mask = np.full(GREY.shape[:2], class_id, np.uint8)
        return Result(Frame(GREY, index, captured_s=at_s), {"mask": mask}, manifest)

    return make


def ids(result: Result) -> list[int]:
    return [int(i) for i in np.unique(result.mask)]


def test_the_sinks_get_the_smoothed_mask_and_its_time(result) -> None:
    smooth = SmoothedResults()
    smooth(result(0, 100.0, 1))
    held = smooth(result(1, 100.04, 2))
    assert ids(held) == [1]
    assert held.shares[held.manifest.classes[1]] == 1.0
    assert held.times_ms["smooth"] > 0
    assert ids(smooth(result(2, 100.08, 2))) == [2]


def test_after_a_gap_or_another_bundle_nothing_is_held(result) -> None:
    smooth = SmoothedResults()
    smooth(result(0, 100.0, 1))
    assert ids(smooth(result(1, 100.1 + GAP_S, 2))) == [2]
    swapped = result(2, 100.2 + GAP_S, 3)
    swapped.manifest = replace(swapped.manifest, name="another")
    assert ids(smooth(swapped)) == [3]


def test_a_model_without_masks_is_refused(result) -> None:
    pictures = result(0, 0.0, 1)
    pictures.outputs = {"image": GREY}
    with pytest.raises(DataError, match="no mask"):
        SmoothedResults()(pictures)


def test_the_command_smooths(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    from epee.runtime.cli import main

    video = tmp_path / "pictures"
    video.mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):  # grey levels on the border between two answers of the network: it cannot decide
        cv2.imwrite(str(video / f"{i}.png"), np.clip(40 + rng.integers(-2, 3, GREY.shape), 0, 255).astype(np.uint8))
    changes = {}
    for name, extra in (("plain", ()), ("smooth", ("--smooth",))):
        out = tmp_path / name
        code = main(["run", str(tiny_bundle), "--source", str(video), "--sink", f"masks:{out}", "--backend",
                     "onnxruntime", "--json", *extra])
        assert code == 0
        report = json.loads(capsys.readouterr().out)
        assert ("smooth" in report["stages_ms"]) == (name == "smooth")
        masks = [cv2.imread(str(out / f"{i}.png"), cv2.IMREAD_GRAYSCALE) for i in range(6)]
        changes[name] = np.mean([np.mean(a != b) for a, b in pairwise(masks)])
    assert 0 < changes["smooth"] < 0.9 * changes["plain"]
