"""The demo, with a training far too short to be good: every step runs, every file is there, and the status says 3."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from epee.benchmarks import demo as module
from epee.benchmarks.demo import Demo, demo, render
from epee.runtime.colour_masks import painted
from epee.runtime.errors import EpeeError
from epee.runtime.pixels import resize
from epee.runtime.street import COLOURS


@pytest.mark.timeout(180)
def test_the_whole_way(tmp_path: Path, monkeypatch, capfd) -> None:
    for name, value in {"STREETS": 16, "TEST_STREETS": 4, "CLIP_FRAMES": 6, "CLIP_WH": (160, 120), "STILLS": 2,
                        "BENCH": ("--limit", 2, "--rounds", 1, "--seconds", 0.05)}.items():
        monkeypatch.setattr(module, name, value)
    (tmp_path / "mine.txt").write_text("kept")
    (tmp_path / "stills").mkdir()  # of an earlier demo
    found = demo(tmp_path, minutes=0.02)
    assert set(found.artifacts) == {"bundle", "clip", "overlay", "pictures", "strip", "latency", "report", "results",
                                    "training"}
    assert list(found.seconds) == ["train", "export", "draw", "run", "pictures", "strip", "eval", "bench"]
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 2
    strip = cv2.imread(str(tmp_path / "strip.png"))
    assert strip.shape == (264, 1960, 3)
    source = resize(cv2.imread(str(tmp_path / "stills/street-0.png")), (240, 320), "area")
    assert np.array_equal(strip[:240, :320], source)
    panels = [strip[:240, left:left + 320] for left in range(0, 1960, 328)]
    mask = cv2.imread(str(tmp_path / "masks/street-0.png"), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(panels[1], painted(resize(mask, (240, 320), "nearest"), COLOURS))
    near = [float(np.abs(panel.astype(float) - source).mean()) for panel in panels]
    assert max(near[3], near[4]) < near[5] / 4  # enlarged, pixel by pixel and by a network, and other streets
    assert (tmp_path / "mine.txt").read_text() == "kept"
    assert 0 <= found.miou < 0.75
    assert not found.good
    assert "below 0.75" in render(found)
    assert all(path in render(found) for path in found.artifacts.values())
    json.dumps(found.to_json(), allow_nan=False)
    out, err = capfd.readouterr()
    assert out == ""
    shown = [line.split()[2] for line in err.splitlines() if line.startswith("$ epee ")]
    assert shown == ["train", "export", "run", "run", "run", "run", "generate", "eval", "bench"]


def test_a_processor_without_bfloat16_has_longer(monkeypatch) -> None:
    monkeypatch.setattr(module.machine, "gpus", list)
    for flags, minutes in ((["avx2"], module.MINUTES_IN_FLOAT), (["avx512f", "avx512_bf16"], module.MINUTES)):
        monkeypatch.setattr(module.machine, "cpu", lambda flags=flags: {"flags": flags})
        assert module.minutes_here() == minutes


def test_good_is_good() -> None:
    assert Demo(miou=0.75).good
    assert "below" not in render(Demo(miou=0.8))


def test_a_step_that_fails_ends_the_demo_with_one_line(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "epee", "demo", "--out", str(tmp_path), "--minutes", "-1"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "epee: demo: `epee train`: got exit status 1; its own line above says why"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EpeeError, match="expected a folder to write in; name another --out"):
        demo(tmp_path / "file" / "out")
