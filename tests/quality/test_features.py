"""`epee train features`, and the bundle that it becomes."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest
from epee.runtime.bundle import Bundle
from epee.runtime.cli import main
from epee.runtime.errors import BundleError, ConfigError, DataError, ExportError, TrainingError
from epee.runtime.quality.extractor import open_extractor
from epee.runtime.verify import verify

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from epee.runtime.picture_sets import half_of, open_pictures  # noqa: E402
from epee.train import checkpoint, features  # noqa: E402
from epee.train.config import read_toml  # noqa: E402
from epee.train.features import FeaturesConfig, train_features  # noqa: E402


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def test_a_run_learns_and_leaves_what_it_promises(features_run, data):
    run, metrics = features_run
    assert {"config.toml", "best.safetensors", "last.safetensors", "metrics.jsonl"} <= set(os.listdir(run))
    assert metrics["accuracy"] > 0.9
    names = [f"{name}/{i:03d}.png" for name in ("blue", "green", "red") for i in range(48)]
    assert metrics["pictures"] == sum(half_of(name) == "b" for name in names)
    assert (metrics["features"], metrics["classes"]) == (16, 3)
    trained = checkpoint.load_trained(run)
    assert (trained.task, trained.names, trained.size_wh) == ("features", ("blue", "green", "red"), (16, 16))
    assert (trained.provenance["half"], trained.provenance["scores"]) == ("b", {"accuracy": metrics["accuracy"]})
    config = read_toml(FeaturesConfig, run / "config.toml")
    assert (config.network.classes, config.network.size) == (3, 16)


def test_a_resumed_run_goes_on_as_if_uninterrupted(features_run, features_config, tmp_path, monkeypatch):
    real, count = features.train_step, 0

    def stopping(*args):
        nonlocal count
        count += 1
        if count == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(features, "train_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_features(features_config(), tmp_path, quiet=True)
    assert max(losses(tmp_path)) == 9
    train_features(features_config(), tmp_path, resume=True, quiet=True)
    whole, resumed = losses(features_run[0]), losses(tmp_path)
    assert sorted(resumed) == sorted(whole)
    assert [resumed[s] for s in range(8, 30)] == pytest.approx([whole[s] for s in range(8, 30)], rel=1e-2)


def test_a_loss_that_is_no_number_ends_with_a_sentence(features_config, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "train_step", lambda *args: float("nan"))
    with pytest.raises(TrainingError, match="the loss became nan at step 0; the last good state is in"):
        train_features(features_config(), tmp_path, quiet=True)


@pytest.mark.parametrize(("fields", "message"), [
    ({"minutes": 1.0}, "exactly one of epochs, minutes"), ({"epochs": -1}, "more than 0"),
    ({"batch": 1}, "batch: got 1"), ({"size": 12}, "size: got 12, expected a multiple of 8 from 16 up")])
def test_settings_that_make_no_sense_are_refused(features_config, fields, message):
    with pytest.raises(ConfigError, match=message):
        features_config(**fields)


def test_the_command_trains_and_resumes(data, tmp_path, capsys):
    words = ["train", "features", "--out", str(tmp_path / "run")]
    assert main([*words, "--data", str(data), "--half", "b", "--size", "16", "--epochs", "1", "--json"]) == 0
    assert 0 <= json.loads(capsys.readouterr().out)["accuracy"] <= 1
    assert main([*words, "--resume", "--epochs", "2"]) == 0
    assert "going on from step" in capsys.readouterr().err
    assert main([*words, "--resume", "--half", "a"]) == 1
    assert "--resume: half: got a, expected b" in capsys.readouterr().err


def test_the_bundle_answers_as_torch_did(extractor_bundle, features_run, data):
    images = open_pictures(data, 16, subset="test").images
    network = checkpoint.load_trained(features_run[0]).network
    with torch.no_grad():
        want, logits = network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    with open_extractor(extractor_bundle, "onnxruntime", threads=1) as extractor:
        got, answered = extractor.both(images)
        assert (extractor.name, extractor.features) == ("squares", 16)
        assert (extractor.kid_name, extractor.fd_name) == ("kid-squares", "fd-squares")
    assert got.shape == (72, 16)
    assert got == pytest.approx(want.numpy(), abs=1e-4 * float(want.max()))
    assert answered == pytest.approx(logits.numpy(), abs=1e-4 * float(logits.abs().max()))


def test_the_bundle_says_what_it_is_and_verifies(extractor_bundle):
    bundle = Bundle.open(extractor_bundle)
    manifest = bundle.manifest
    assert (manifest.task, manifest.classes) == ("features", ("blue", "green", "red"))
    assert [(o.name, o.shape, o.dtype) for o in manifest.outputs] == [
        ("features", (None, 16), "float32"), ("logits", (None, 3), "float32")]
    assert manifest.provenance["scores"]["accuracy"] > 0.9
    assert verify(bundle, ["onnxruntime"]).ok


def test_a_bundle_that_answers_otherwise_does_not_verify(extractor_bundle, tmp_path):
    import shutil

    broken = shutil.copytree(extractor_bundle, tmp_path / "broken.epee")
    goldens = {k: v.copy() for k, v in Bundle.open(broken).goldens().items()}
    goldens["features"] *= 1.1
    np.savez_compressed(broken / "golden.npz", **goldens)
    problems = verify(Bundle.open(broken), ["onnxruntime"]).problems
    assert len(problems) == 1
    assert "output 'features': got 0." in problems[0]


def test_an_extractor_has_one_precision_and_one_size(features_run, tmp_path):
    from epee.export.exporting import export_bundle

    for options in ({"precisions": ["fp16"]}, {"size_wh": (32, 32)}, {"calibration": "synthetic:street"}):
        with pytest.raises(ExportError, match="expected fp32 at the size of its training"):
            export_bundle(features_run[0], tmp_path / "b.epee", **options)
    assert not (tmp_path / "b.epee").exists()


def test_pictures_of_any_size_are_looked_at(extractor_bundle):
    small = np.random.default_rng(0).integers(0, 255, (5, 16, 16, 3), np.uint8)
    with open_extractor(extractor_bundle, "onnxruntime", threads=1) as extractor:
        same = extractor(small)
        assert extractor([image.repeat(2, 0).repeat(2, 1) for image in small]) == pytest.approx(same, abs=1e-4)
        with pytest.raises(DataError, match="pictures to score: got none"):
            extractor([])
        with pytest.raises(DataError, match=r"got \(16, 16\) uint8, expected \(H, W, 3\) uint8"):
            extractor([small[0, ..., 0]])


def test_only_an_extractor_opens_as_one(tiny_bundle):
    with pytest.raises(DataError, match="got task segment, expected task features"):
        open_extractor(tiny_bundle)
    with pytest.raises(BundleError, match="nothing there"):
        open_extractor("no-such-features")


def test_the_shipped_extractor_is_the_one_that_was_admitted():
    from pathlib import Path

    import epee.benchmarks as benchmarks
    from epee.runtime.quality import SHIPPED

    bundle = Bundle.open(SHIPPED)
    found = json.loads((Path(benchmarks.__file__).parent / "results" / "extractor.json").read_text())
    assert found["admitted"]
    assert found["sha256"] == bundle.manifest.variants[0].sha256
    assert found["accuracy"] == pytest.approx(bundle.manifest.provenance["scores"]["accuracy"], abs=2e-3)
    assert dataclasses.asdict(bundle.manifest)["provenance"]["half"] == "b"
    assert verify(bundle, ["onnxruntime"]).ok
