"""The benchmark's quality: KID of a generator on data, PSNR and SSIM of pictures against goldens."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from epee.benchmarks import quality
from epee.benchmarks.rows import Settings
from epee.runtime.backends import open_session
from epee.runtime.bundle import Bundle
from epee.runtime.errors import DataError
from epee.runtime.manifest import Tolerance
from epee.runtime.scores import psnr

COUNT, Z = 5, 6


def test_a_generator_gets_kid_by_the_shipped_extractors_name(generator_bundle: Path, data: Path) -> None:
    settings = Settings(data=str(data), split="test", limit=16)
    bundle = Bundle.open(generator_bundle)
    quality.check_data(bundle.manifest, settings)
    found = quality.of_data(bundle, "onnxruntime", "fp32", 1, settings)
    name = next(iter(found))
    assert set(found) == {name, f"{name}-se"}
    assert name.startswith("kid-")
    assert found[name] > 0
    with pytest.raises(DataError, match="got nothing there, expected a folder or zip of pictures"):
        quality.check_data(bundle.manifest, replace(settings, data="nowhere.zip"))


def test_pictures_are_compared_with_the_goldens(generator_bundle: Path) -> None:
    rng = np.random.default_rng(0)
    with open_session(Bundle.open(generator_bundle), "onnxruntime", "fp32", threads=1) as session:
        feeds = [{"z": rng.standard_normal((COUNT, Z)).astype(np.float32), "label": np.arange(COUNT) % 3}]
        made = session.run(feeds[0])["image"]
        same = quality.of_goldens(session, feeds, {"image": made}, Tolerance(), pictures=True)
        assert same == {"golden_equal": 1.0, "wrong": [], "quality": {"psnr_db": 100.0, "ssim": pytest.approx(1.0)}}
        off = {"image": np.where(made > 100, made - 10, made)}
        found = quality.of_goldens(session, feeds, off, Tolerance(), pictures=True)
        assert found["quality"]["psnr_db"] == pytest.approx(
            np.mean([psnr(a, b) for a, b in zip(made[:4], off["image"], strict=False)]))
        assert found["wrong"][0].startswith("output 'image': got 0.66667 equal, expected 0.999")
        assert quality.of_goldens(session, feeds, off, Tolerance(), pictures=False)["quality"] == {}
