"""The study of animators: digits fly as they should, and the measure tells right from wrong motion."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for module in ("sklearn", "cv2", "onnxscript", "onnxruntime"):
    pytest.importorskip(module)

from epee.benchmarks.studies.animate import measured, nearest  # noqa: E402
from epee.benchmarks.studies.bouncing import (  # noqa: E402
    DIGIT,
    FRAMES,
    SIZE,
    SPEEDS,
    fly,
    frozen,
    shuffled,
    train_regressor,
    velocities,
)


@pytest.fixture(scope="module")
def flights():
    return fly("b", 150, seed=2)


@pytest.fixture(scope="module")
def regressor(flights):
    return train_regressor(flights, 120)


def test_digits_fly_at_a_constant_speed_inside_the_picture(flights):
    assert flights.images.shape == (150, FRAMES, SIZE, SIZE, 3)
    assert flights.places.min() == pytest.approx(0, abs=0.3)
    assert flights.places.max() == pytest.approx(SIZE - DIGIT, abs=0.3)
    speed = np.median(np.linalg.norm(np.diff(flights.places, axis=1), axis=-1), 1)
    assert SPEEDS[0] - 1e-3 <= speed.min()
    assert speed.max() <= SPEEDS[1] + 1e-3
    first, last = (flights.images[0, i, ..., 0].astype(float) for i in (0, -1))
    first, last = first - first.min(), last - last.min()
    centre = [np.array([(image * grid).sum() / image.sum() for grid in np.mgrid[:SIZE, :SIZE][::-1]])
              for image in (first, last)]
    moved = flights.places[0, -1] - flights.places[0, 0]
    np.testing.assert_allclose(centre[1] - centre[0], moved, atol=0.7)


def test_the_measure_tells_motions_apart(flights, regressor):
    real, other = fly("b", 120, seed=3), fly("b", 120, seed=4)
    error = np.abs(velocities(regressor, real.images) - np.diff(real.places, axis=1)).mean()
    assert error < 0.4
    against = velocities(regressor, other.images)
    rows = {name: measured(regressor, images, against) for name, images in (
        ("real", real.images), ("shuffled", shuffled(real.images)), ("frozen", frozen(real.images)))}
    assert rows["real"]["distance"] < 0.3 * min(rows["shuffled"]["distance"], rows["frozen"]["distance"])
    assert rows["shuffled"]["unsteady"] > 3 * rows["real"]["unsteady"]
    assert rows["frozen"]["speed"] < 0.3 * rows["real"]["speed"]


def test_the_nearest_clip_is_found(flights):
    clips = np.stack([flights.images[7, 2:8], flights.images[3, 0:6]])
    noisy = np.clip(clips.astype(int) + np.random.default_rng(0).integers(-9, 10, clips.shape), 0, 255).astype(np.uint8)
    places, distances = nearest(noisy, flights.images, 6)
    assert places.tolist() == [[7, 2], [3, 0]]
    assert distances.max() < 9


def test_the_study_goes_the_whole_way(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "epee.benchmarks.studies.animate", "--out", str(tmp_path), "--steps", "1",
         "--train-clips", "24", "--clips", "24", "--regressor-steps", "20", "--frames", "3",
         "--seconds", "0.05"],
        capture_output=True, text=True, timeout=110, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode in (0, 3), done.stderr  # so weak a regressor may fail its own test
    found = json.loads((tmp_path / "animate.json").read_text())
    assert set(found["rows"]) == {"real", "shuffled", "frozen", "straight on", "generated"}
    assert found["frames_per_s"]["onnxruntime fp32"] > 1
    assert (tmp_path / "nearest.png").stat().st_size > 0
    assert "frames a second" in done.stdout
