"""`epee train generate` as one types it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from epee.runtime.cli import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """20 pictures of 40x32 in two classes, and a broken one."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for i in range(20):
        path = root / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(cv2.imencode(".png", rng.integers(0, 256, (32, 40, 3), np.uint8))[1].tobytes())
    (root / "a" / "broken.jpg").write_bytes(b"\xff\xd8no")
    return root


def command(*words):
    return main(["train", "generate", *map(str, words)])


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "one"
    assert command("--data", data, "--classes", "--steps", 2, "--batch", 4, "--no-flip", "--out", out) == 0
    return out


def test_json_is_the_final_metrics(data, tmp_path, capfd):
    words = ("--data", data, "--images", 8, "--batch", 4, "--method", "vae", "--out", tmp_path / "run")
    status = command(*words, "--json")
    out, err = capfd.readouterr()
    metrics = json.loads(out)
    assert status == 0
    assert (metrics["pictures"], metrics["skipped"], metrics["steps"], metrics["classes"]) == (20, 1, 2, 0)
    assert "skipped a/broken.jpg: a broken or unknown file" in err
    assert Path(metrics["out"], "generator.safetensors").is_file()


def test_scores_on_the_way_are_of_pictures_that_were_not_learned(tmp_path, capfd):
    rng = np.random.default_rng(0)
    for i in range(40):
        path = tmp_path / "data" / ("train", "test")[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(cv2.imencode(".png", rng.integers(0, 256, (32, 32, 3), np.uint8))[1].tobytes())
    words = ("--data", tmp_path / "data", "--steps", 1, "--batch", 4, "--penalised", "real", "--test", "test")
    assert command(*words, "--subset", "train", "--out", tmp_path / "run", "--json") == 0
    metrics = json.loads(capfd.readouterr().out)
    assert 0 < metrics["scores"]["kid-cifar-features"] < 1e3
    assert "r1" in metrics
    assert "r2" not in metrics
    assert command(*words, "--out", tmp_path / "all") == 1
    assert "scores need pictures that were not learned" in capfd.readouterr().err


def test_a_resume_goes_on_with_the_runs_own_settings(run, capsys):
    assert command("--out", run, "--resume", "--steps", 3) == 0
    assert "going on from step 2" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "message"), [
    (["--loss", "hinge"], "--resume: loss: got hinge, expected relativistic; leave it out, or start a new run"),
    (["--batch", "8"], "--resume: batch: got 8, expected 4"),
    (["--size", "64"], "--resume: size: got 64, expected 32")])
def test_a_resume_with_other_settings_is_refused(run, capsys, words, message):
    assert command("--out", run, "--resume", *words) == 1
    assert message in capsys.readouterr().err


def test_a_collapse_ends_with_status_3_and_a_sentence(data, tmp_path, capsys, monkeypatch):
    from epee.train.health import Limits
    from epee.train.presets import generate

    real = generate.GenerateConfig
    strict = Limits(every=1, patience=2, grace_images=0, diversity=50.0, rollbacks=1)
    monkeypatch.setattr(generate, "GenerateConfig", lambda **fields: real(**fields, limits=strict))
    assert command("--data", data, "--steps", 9, "--batch", 4, "--out", tmp_path / "run") == 3
    assert "given up at step 4: collapsed: generated pictures differ" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "message"), [
    ([], "--data: got nothing"), (["--data", "no/such"], "nothing there"),
    (["--data", "{data}", "--preset", "nanno"], "did you mean 'nano'"),
    (["--data", "{data}", "--loss", "relative"], "did you mean 'relativistic'"),
    (["--data", "{data}", "--subset", "train"], "subset 'train': got no such folder; known: a, b"),
    (["--data", "{data}", "--steps", "3", "--minutes", "1"], "exactly one of minutes, steps, images"),
    (["--data", "{data}/a"], "got 10 that can be read and 1 that cannot")])
def test_wrong_use_is_one_clear_line(data, tmp_path, capsys, words, message):
    assert command(*(w.format(data=data) for w in words), "--out", tmp_path / "run") == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "run").exists()
