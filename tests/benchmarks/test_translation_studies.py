"""The studies of translators and enhancers: what they measure, on pictures whose answers are known."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

from epee.benchmarks.studies import enhance, facades  # noqa: E402
from epee.benchmarks.studies.facades import IGNORE, PALETTE, ids, judged, told  # noqa: E402
from epee.benchmarks.studies.sliced import Slicer, distance, ratio  # noqa: E402
from epee.runtime.errors import ConfigError, DataError, TrainingError  # noqa: E402
from epee.runtime.quality.extractor import open_extractor  # noqa: E402


@pytest.fixture(scope="module")
def real():
    """12 pictures of 96x64: noise on a slope."""
    rng = np.random.default_rng(0)
    slope = np.linspace(40, 200, 96)[None, None, :, None]
    return np.clip(slope + rng.normal(0, 25, (12, 64, 96, 3)), 0, 255).astype(np.uint8)


def blurred(images, sigma):
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images])


def test_the_sliced_distance_grows_with_blur_and_is_nothing_for_the_same(real):
    slicer = Slicer(real, patch=32)
    seen = [slicer(images) for images in (real, real[::-1], blurred(real, 0.6), blurred(real, 2.0))]
    same, mixed, little, much = (distance(other, seen[0]) for other in seen)
    assert same == 0.0
    assert mixed < 1e-6  # the same pictures in another order
    assert 0.05 < little < much


def test_the_ratio_is_within_its_interval_and_below_one_for_the_sharper(real):
    slicer = Slicer(real, patch=32)
    found, low, high = ratio(slicer(real), slicer(blurred(real, 0.6)), slicer(blurred(real, 2.0)), resamples=20)
    assert low <= found <= high < 1.0


def test_pictures_smaller_than_a_patch_are_refused(real):
    with pytest.raises(DataError, match="got 96x64, expected 100x100 or larger"):
        Slicer(real, patch=100)


def test_label_maps_become_class_ids_and_edges_count_nowhere():
    colours = np.asarray(list(PALETTE.values()), np.uint8)[:, ::-1]
    label = np.repeat(colours[None], 2, 0)
    assert np.array_equal(ids(label), np.tile(np.arange(12), (2, 1)))
    label[0, 0] = (120, 120, 120)
    assert ids(label)[0, 0] == IGNORE


def test_a_judge_that_sees_brightness_prefers_what_keeps_it():
    """The label is told by brightness; one arm keeps it, the other has lost it in half the pictures."""
    class Judge(torch.nn.Module):
        def forward(self, x):
            dark = (x.mean(1, keepdim=True) < 0.5).float()
            return torch.cat([dark, 1.0 - dark, torch.full_like(dark.repeat(1, 10, 1, 1), -9.0)], 1)

    rng = np.random.default_rng(0)
    masks = [np.full((128, 128), i % 2, np.uint8) for i in range(6)]
    real = [np.clip(rng.normal(60 + 130 * (i % 2), 10, (128, 128, 3)), 0, 255).astype(np.uint8) for i in range(6)]
    grey = [np.full_like(image, 90) for image in real]
    found = judged(Judge(), real, masks, {"pixels": grey, "adversarial": real})
    assert found["miou"] == {"real": 1.0, "pixels": pytest.approx(0.25), "adversarial": 1.0}
    assert (found["distance"]["adversarial"], found["ratio"]["value"]) == (0.0, 0.0)
    assert "adversarial 1.0000 (1.00 of real)" in told(found)[0]


def test_enhanced_pictures_are_measured_against_the_real_ones(real):
    images = list(real[:8])
    blunt = [cv2.GaussianBlur(image, (0, 0), 1.0) for image in images]
    with open_extractor(backend="onnxruntime", threads=1) as extractor:
        rows = enhance.measured({"blunt": blunt, "same": images}, images, extractor)
    assert (rows["same"]["psnr"], rows["same"]["gradient"]) == (100.0, 1.0)
    assert rows["blunt"]["gradient"] < 0.3
    assert rows["blunt"]["kid"] > 10 * abs(rows["same"]["kid"])


def test_the_plain_way_is_pillows():
    pil = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).integers(0, 256, (33, 48, 3), np.uint8)
    small = enhance.reduced(image)
    assert small.shape == (16, 24, 3)
    assert np.array_equal(small, np.asarray(pil.fromarray(image[:32]).resize((24, 16), pil.BICUBIC)))
    assert enhance.enlarged(small).shape == (32, 48, 3)


def test_a_run_that_is_whole_is_not_trained_again(tmp_path, monkeypatch):
    from epee.train.networks.upscaler import UpscalerConfig
    from epee.train.presets.enhance import EnhanceConfig

    rng = np.random.default_rng(0)
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 256, (32, 32, 3), np.uint8))
    config = EnhanceConfig(data=str(tmp_path), crop=16, steps=1, batch=2, network=UpscalerConfig(2, 4, 1))
    run = enhance.trained(config, tmp_path / "run")
    monkeypatch.setattr(enhance, "train_enhance", None)
    assert enhance.trained(config, run) == run
    with pytest.raises(TrainingError, match=r"cell=1.*cell=2.*name another --out"):
        enhance.trained(dataclasses.replace(config, network=UpscalerConfig(2, 4, 1, cell=2)), run)
    assert [image.shape for image in enhance.made_by(run, [np.zeros((8, 9, 3), np.uint8)])] == [(16, 18, 3)]


def test_some_of_the_runs_can_be_trained_alone(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(facades, "trained", lambda config, run: trained.append((run.name, config.adversarial)))
    monkeypatch.setattr(facades, "judge_of", lambda data, out, minutes: trained.append((out.name, minutes)))
    words = ["facades", "--data", str(tmp_path), "--out", str(tmp_path), "--only"]
    monkeypatch.setattr("sys.argv", [*words, "adversarial,judge"])
    facades.main()
    assert trained == [("adversarial", True), ("judge", 15)]
    monkeypatch.setattr("sys.argv", [*words, "judges"])
    with pytest.raises(ConfigError, match="run 'judges': got no such run"):
        facades.main()
