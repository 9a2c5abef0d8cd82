"""Labelled pictures that fit the tiny bundle, copies of it to break, and small generators."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from epee.runtime.bundle import Bundle

from .generators import write_generator


@pytest.fixture
def tiny_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may break."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy.epee"))


@pytest.fixture
def pictures(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A dataset YAML: three labelled pictures of three sizes, split `val`, in the tiny bundle's classes."""
    cv2 = pytest.importorskip("cv2")
    names = Bundle.open(tiny_bundle).manifest.classes
    random = np.random.default_rng(0)
    for folder in ("images/val", "masks/val"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    for i, (w, h) in enumerate([(64, 48), (80, 60), (33, 47)]):
        cv2.imwrite(str(tmp_path / f"set/images/val/{i}.png"), random.integers(0, 256, (h, w, 3), np.uint8))
        mask = random.integers(0, len(names), (h, w), np.uint8)
        mask[:3] = 255
        cv2.imwrite(str(tmp_path / f"set/masks/val/{i}.png"), mask)
    file = tmp_path / "set" / "set.yaml"
    file.write_text(yaml.safe_dump({"path": ".", "val": "images/val", "names": dict(enumerate(names))}))
    return file


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator with labels and truncation, 16x16."""
    pytest.importorskip("onnx")
    return write_generator(tmp_path_factory.mktemp("generators") / "pets.epee", ("z", "label", "truncation"))


@pytest.fixture(scope="session")
def plain_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator that takes latents alone, 16x16."""
    pytest.importorskip("onnx")
    return write_generator(tmp_path_factory.mktemp("generators") / "plain.epee", ("z",))


@pytest.fixture(scope="session")
def animator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator whose state goes from frame to frame: next_state = 0.5 state + z, and the picture shows it."""
    pytest.importorskip("onnx")
    return write_generator(tmp_path_factory.mktemp("generators") / "moving.epee", ("z", "state"), "animate")
