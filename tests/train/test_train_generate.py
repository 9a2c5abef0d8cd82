"""Short real trainings of generators on coloured squares."""

import itertools
import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from epee.runtime.errors import ConfigError, DataError, TrainingError
from epee.runtime.picture_sets import ArrayPictures
from epee.train import checkpoint, generate
from epee.train.config import read_toml
from epee.train.gan_losses import LOSSES
from epee.train.generate import train_generate
from epee.train.grids import to_bytes
from epee.train.presets.generate import GenerateConfig
from epee.train.schedule import CLOCKS


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def made(generator, count=96):
    """Pictures of the generator, (count, 8, 8, 3) uint8, its classes in turn."""
    z = torch.randn(count, generator.config.z, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return to_bytes(generator(z, torch.arange(count) % 3))


def distance(images, others):
    """Mean distance of the two distributions of pixel values, over the channels, 0 to 1 (1-D Wasserstein)."""
    levels = np.linspace(0, 1, 101)
    of = [np.quantile(x.reshape(-1, 3) / 255, levels, axis=0) for x in (images, others)]
    return float(np.abs(of[0] - of[1]).mean())


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, tiny, squares):
    run = tmp_path_factory.mktemp("run")
    return run, train_generate(tiny(), run, pictures=squares, quiet=True)


def test_a_run_leaves_what_it_promises(whole_run, squares):
    run, metrics = whole_run
    assert {"config.toml", "generator.safetensors", "last.safetensors", "metrics.jsonl",
            "tensorboard"} <= set(os.listdir(run))
    assert (metrics["steps"], metrics["images"], metrics["classes"]) == (80, 1280, 3)
    assert (metrics["healthy"], metrics["problem"], metrics["rollbacks"]) == (True, "", 0)
    measured = set().union(*lines(run))
    assert {"real_score", "fake_score", "r1", "r2", "discriminator_gradient", "generator_gradient", "diversity",
            "discriminator_loss", "generator_loss", "learning_rate"} <= measured
    trained = checkpoint.load_trained(run)
    assert (trained.task, trained.names, trained.size_wh) == ("generate", squares.names, (8, 8))
    assert read_toml(GenerateConfig, run / "config.toml").generator.classes == 3


def test_grids_have_a_row_a_class_and_become_a_video(whole_run):
    files = sorted((whole_run[0] / "pictures").iterdir())
    assert len(files) == 5  # before the first step, at three quarters of the way, at the end
    assert cv2.imread(str(files[0])).shape == (3 * 64, 8 * 64, 3)
    av = pytest.importorskip("av")
    with av.open(str(whole_run[0] / "training.mp4")) as video:
        assert len(list(video.decode(video=0))) == 5


def test_a_new_run_in_an_old_folder_has_no_grids_of_the_old_one(tiny, squares, tmp_path):
    for steps in (9, 3):
        train_generate(tiny(steps=steps, grids=2), tmp_path, pictures=squares, quiet=True)
    names = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert names == ["step-00000000.png", "step-00000003.png"]


def test_the_rate_follows_the_budget(whole_run):
    rates = [line["learning_rate"] for line in lines(whole_run[0]) if "learning_rate" in line]
    assert rates[0] == pytest.approx(2e-3)
    assert rates[-1] == pytest.approx(5e-4, rel=0.01)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("fields", [*({"loss": loss} for loss in LOSSES), {"method": "vae"}],
                         ids=lambda f: next(iter(f.values())))
def test_every_loss_and_the_vae_come_nearer_to_the_data(fields, tiny, squares, tmp_path):
    config = generate.complete(tiny(**fields), squares)
    before = generate.new_state(config, torch.device("cpu")).generator.averaged
    metrics = train_generate(config, tmp_path, pictures=squares, quiet=True)
    after = checkpoint.load_trained(tmp_path).network
    assert metrics["healthy"]
    assert distance(made(after), squares.images) < 0.7 * distance(made(before), squares.images)


def test_without_labels_there_is_no_label_to_give(tiny, squares, tmp_path):
    train_generate(tiny(steps=3), tmp_path, pictures=ArrayPictures(squares.images), quiet=True)
    generator = checkpoint.load_trained(tmp_path).network
    assert generator(torch.zeros(2, 8)).shape == (2, 3, 8, 8)


def test_a_resumed_run_goes_on_as_if_uninterrupted(whole_run, tiny, squares, tmp_path, monkeypatch):
    real, count = generate.gan_step, 0

    def stopping(*args):
        nonlocal count
        count += 1
        if count == 33:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(generate, "gan_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_generate(tiny(), tmp_path, pictures=squares, quiet=True)
    assert max(line["step"] for line in lines(tmp_path)) == 33
    train_generate(tiny(), tmp_path, resume=True, pictures=squares, quiet=True)
    whole, resumed = ({line["step"]: line["generator_loss"] for line in lines(run) if "generator_loss" in line}
                      for run in (whole_run[0], tmp_path))
    assert sorted(resumed) == sorted(whole)
    assert [resumed[s] for s in range(30, 50)] == pytest.approx([whole[s] for s in range(30, 50)], rel=1e-3)


def test_a_collapse_is_caught_told_and_undone(tiny, squares, tmp_path):
    """A learning rate far too large, without R1 and R2: every latent becomes the same picture."""
    config = tiny(loss="hinge", gamma=0.0, rate_first=0.3, rate_last=0.3, steps=300)
    metrics = train_generate(config, tmp_path, pictures=squares, quiet=True)
    assert not metrics["healthy"]
    assert metrics["problem"].startswith("collapsed: generated pictures differ 0.0")
    assert (metrics["rollbacks"], metrics["steps"] < 200) == (2, True)
    events = [line["event"] for line in lines(tmp_path) if "event" in line]
    assert [e.split(": ")[-1] if "back to" in e else e[:8] for e in events][-1] == "given up"
    assert ["learning rate times 0.5" in events[0], "learning rate times 0.25" in events[1]] == [True, True]
    assert metrics["diversity"] > 0.4  # what is left is the state before the collapse


def test_a_number_that_is_none_goes_back_and_on(tiny, squares, tmp_path, monkeypatch):
    real = generate.gan_step

    def spoiling(state, images, labels, config, chance):
        values = real(state, images, labels, config, chance)
        if state.step == 20:
            with torch.no_grad():
                state.generator.network.last.weight.fill_(torch.nan)
            values["generator_loss"] = float("nan")
        return values

    monkeypatch.setattr(generate, "gan_step", spoiling)
    metrics = train_generate(tiny(steps=40), tmp_path, pictures=squares, quiet=True)
    assert (metrics["healthy"], metrics["rollbacks"], metrics["steps"]) == (True, 1, 40)
    assert all(torch.isfinite(p).all() for p in checkpoint.load_trained(tmp_path).network.parameters())


def test_a_score_is_asked_for_along_the_way_and_at_the_end(tiny, squares, tmp_path):
    seen = []

    def score(generator):
        assert not generator.training
        seen.append(float(made(generator).mean()))
        return {"brightness": seen[-1]}

    metrics = train_generate(tiny(steps=16, evaluations=4), tmp_path, pictures=squares, score=score, quiet=True)
    assert len(seen) == 4
    assert metrics["scores"] == {"brightness": seen[-1]}
    assert checkpoint.load_trained(tmp_path).provenance["scores"]["brightness"] == seen[-1]


def test_pictures_that_are_all_alike_are_refused(tiny, squares, tmp_path):
    alike = ArrayPictures(np.repeat(squares.images[:1], 32, 0))
    with pytest.raises(DataError, match="all alike"):
        train_generate(tiny(), tmp_path, pictures=alike, quiet=True)


def test_a_resume_with_other_pictures_is_refused(whole_run, tiny, squares):
    fewer = ArrayPictures(squares.images[:64], squares.labels[:64], squares.names)
    with pytest.raises(TrainingError, match="other pictures: got 64 in 3 classes, expected 128"):
        train_generate(tiny(), whole_run[0], resume=True, pictures=fewer, quiet=True)


def test_a_resume_with_other_networks_is_refused(whole_run, tiny, squares):
    with pytest.raises(TrainingError, match="does not fit this training"):
        train_generate(tiny(method="vae"), whole_run[0], resume=True, pictures=squares, quiet=True)


@pytest.mark.parametrize(("fields", "message"), [
    ({"loss": "hinges"}, "did you mean 'hinge'"), ({"method": "gam"}, "did you mean 'gan'"),
    ({"size": 48}, "size: got 48"), ({"batch": 1}, "batch: got 1"), ({"gamma": -1.0}, "gamma: got -1.0"),
    ({"minutes": 1.0, "steps": 3}, "exactly one of minutes, steps, images"), ({"minutes": -1.0}, "more than 0")])
def test_settings_that_make_no_sense_are_refused(tiny, fields, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**fields)


FULL_DISK = """
import resource, sys, torch
from pathlib import Path
import numpy as np
from epee.runtime.errors import TrainingError
from epee.train.generate import train_generate
from epee.train.presets.generate import GenerateConfig
from epee.train.networks.discriminator import DiscriminatorConfig
from epee.train.networks.generator import GeneratorConfig
from epee.runtime.picture_sets import ArrayPictures

images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3), np.uint8)
config = GenerateConfig(data="noise", size=8, steps=2, batch=4, generator=GeneratorConfig(channels=(64, 32)),
                        discriminator=DiscriminatorConfig(channels=(64, 32)))
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    train_generate(config, Path(sys.argv[1]), pictures=ArrayPictures(images), quiet=True)
except TrainingError as error:
    print(error)
"""


@pytest.mark.parametrize(("limit", "what"), [(4096, "step-00000000.png'"), (200_000, "last.safetensors'")])
def test_a_full_disk_is_one_clear_line(tmp_path, limit, what):
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path), str(limit)], capture_output=True,
                          text=True, timeout=100)
    assert "cannot write" in done.stdout, done.stderr
    assert what in done.stdout
    assert "free some space" in done.stdout
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".png", ".part", ".safetensors") and limit == 4096]


def test_minutes_may_be_of_processor_time(tiny, squares, tmp_path, monkeypatch):
    monkeypatch.setitem(CLOCKS, "cpu", itertools.count(step=10.0).__next__)  # 10 s at each look
    metrics = train_generate(tiny(steps=None, minutes=5.0, clock="cpu"), tmp_path, pictures=squares, quiet=True)
    assert metrics["minutes"] >= 5
    assert metrics["steps"] < 40
