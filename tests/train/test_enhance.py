"""Enhancers: damage, crops, networks, and short real trainings on pictures with edges."""

import dataclasses
import itertools
import json
import os
import signal

import cv2
import numpy as np
import pytest
import torch
from epee.runtime.cli import main
from epee.runtime.errors import ConfigError, DataError, TrainingError
from epee.runtime.scores import psnr
from epee.train import checkpoint, enhance
from epee.train.comparisons import answers, mean_psnr, rows
from epee.train.crops import Crops, whole
from epee.train.degrade import DAMAGES, Damage, degrade, parse_damage, resize
from epee.train.enhance import train_enhance
from epee.train.networks.unet_discriminator import UNetConfig, UNetDiscriminator
from epee.train.networks.upscaler import Upscaler, UpscalerConfig
from epee.train.presets.enhance import NETWORKS, EnhanceConfig, network_of
from epee.train.scenes import open_scenes
from epee.train.schedule import CLOCKS


def scene(rng, h=48, w=64):
    """Rectangles of plain colours: what a bicubic enlargement blurs."""
    image = np.full((h, w, 3), 120, np.uint8)
    for _ in range(12):
        y, x = rng.integers(0, h - 8), rng.integers(0, w - 8)
        image[y:y + rng.integers(4, 20), x:x + rng.integers(4, 20)] = rng.integers(0, 256, 3)
    return image


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """10 pictures of 64x48, one of odd sizes, one smaller than the crop, and a broken one."""
    root, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    for i in range(10):
        cv2.imwrite(str(root / f"{i}.png"), scene(rng))
    cv2.imwrite(str(root / "odd.png"), scene(rng, 47, 63))
    cv2.imwrite(str(root / "small.png"), scene(rng, 20, 64))
    (root / "torn.jpg").write_bytes(b"\xff\xd8no")
    return root


@pytest.fixture(scope="module")
def tiny(data):
    """Makes an EnhanceConfig; any field can be replaced."""
    config = EnhanceConfig(data=str(data), crop=32, steps=60, batch=4, rate_first=4e-3, evaluations=3, grids=2,
                           warm_steps=3, network=UpscalerConfig(2, 8, 1), discriminator=UNetConfig((8, 8, 8)))
    return lambda **fields: dataclasses.replace(config, **fields)


@pytest.fixture(scope="module")
def whole_run(tiny, tmp_path_factory):
    """Half of it by pixels, half against a discriminator."""
    run = tmp_path_factory.mktemp("run")
    return run, train_enhance(tiny(adversarial=0.5), run, quiet=True)


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_what_it_promises(whole_run, data):
    run, metrics = whole_run
    assert {"config.toml", "generator.safetensors", "pixel.safetensors", "last.safetensors", "metrics.jsonl",
            "pictures"} <= set(os.listdir(run))
    assert (metrics["healthy"], metrics["steps"], metrics["pictures"], metrics["held_out"]) == (True, 60, 10, 1)
    assert metrics["skipped"] == 2
    trained = checkpoint.load_trained(run)
    assert (trained.task, trained.size_wh, trained.network.config.scale) == ("enhance", (32, 24), 2)
    assert trained.provenance["scores"]["psnr"] == pytest.approx(metrics["psnr"], abs=1e-4)
    assert checkpoint.load_trained(run / "pixel.safetensors").provenance["step"] == 30


def test_what_is_kept_lies_between_the_two_stages(whole_run, tiny):
    run, _ = whole_run
    kept, pixel = (checkpoint.load_trained(path).network.state_dict() for path in (run, run / "pixel.safetensors"))
    state = enhance.new_state(tiny(), torch.device("cpu"))
    state.restore(run / "last.safetensors")
    last = state.generator.averaged.state_dict()
    for name, value in kept.items():
        torch.testing.assert_close(value, torch.lerp(pixel[name], last[name], 0.8))
    assert any(float((last[name] - pixel[name]).abs().max()) > 1e-5 for name in kept)


def test_the_discriminator_joins_when_its_share_of_the_budget_begins(whole_run):
    steps = [line for line in lines(whole_run[0]) if "learning_rate" in line]
    assert ["fake_score" in line for line in steps] == [False] * 30 + [True] * 30
    assert ["pixel_loss" in line for line in steps[30:]] == [False] * 3 + [True] * 27  # it learns alone at first
    assert steps[30]["learning_rate"] == pytest.approx(3e-4)


def test_it_learns(tiny, tmp_path):
    """It begins as a bilinear enlargement, whose border is dark; both are unlearned."""
    config = tiny(steps=150, rate_first=5e-3, ema_decay=0.98, network=UpscalerConfig(2, 16, 2))
    metrics, device = train_enhance(config, tmp_path, quiet=True), torch.device("cpu")
    exam = whole(enhance.open_data(config)[1], 2, config.damage, config.seed)
    made = answers(enhance.new_state(config, device).generator.averaged, [bad for bad, _ in exam], device)
    assert metrics["psnr"] > mean_psnr(made, [good for _, good in exam]) + 1.0


def test_a_resumed_run_goes_on_as_if_uninterrupted(whole_run, tiny, tmp_path, monkeypatch):
    real, count = enhance.adversarial_step, 0

    def stopping(*args):
        nonlocal count
        count += 1
        if count == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(enhance, "adversarial_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_enhance(tiny(adversarial=0.5), tmp_path, quiet=True)
    assert max(line["step"] for line in lines(tmp_path)) == 38
    train_enhance(tiny(adversarial=0.5), tmp_path, resume=True, quiet=True)
    whole_losses, resumed = ({line["step"]: line["generator_loss"] for line in lines(run) if "generator_loss" in line}
                             for run in (whole_run[0], tmp_path))
    assert sorted(resumed) == sorted(whole_losses)
    assert [resumed[s] for s in range(36, 50)] == pytest.approx([whole_losses[s] for s in range(36, 50)], rel=1e-3)


def test_a_number_that_is_none_goes_back_and_is_given_up_the_third_time(tiny, tmp_path, monkeypatch):
    real = enhance.pixel_step
    monkeypatch.setattr(enhance, "pixel_step", lambda *args: {**real(*args), "pixel_loss": float("nan")})
    metrics = train_enhance(tiny(), tmp_path, quiet=True)
    assert (metrics["healthy"], metrics["rollbacks"], metrics["steps"]) == (False, 2, 3)
    assert metrics["problem"].startswith("diverged: pixel loss became nan")


def test_a_run_begins_with_the_weights_of_another(whole_run, tiny):
    state = enhance.new_state(tiny(start=str(whole_run[0])), torch.device("cpu"))
    before = checkpoint.load_trained(whole_run[0]).network.state_dict()
    assert all(torch.equal(before[k], v) for k, v in state.generator.network.state_dict().items())
    with pytest.raises(TrainingError, match="does not fit this training"):
        enhance.new_state(tiny(start=str(whole_run[0]), network=UpscalerConfig(2, 8, 2)), torch.device("cpu"))


@pytest.mark.parametrize(("scale", "cell"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2), (2, 4)])
def test_an_upscaler_interpolates_before_it_learned(scale, cell):
    network, image = Upscaler(UpscalerConfig(scale, 8, 1, cell)).eval(), scene(np.random.default_rng(1))[:-1, :-3]
    made = answers(network, [image], torch.device("cpu"))[0]
    wanted = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    assert np.abs(made.astype(int) - wanted)[scale:-scale, scale:-scale].max() <= 1  # beyond the border lies black


def test_an_upscaler_is_clipped_once_it_has_learned():
    network = Upscaler(UpscalerConfig(2, 8, 1))
    with torch.no_grad():
        network.around.weight.mul_(4.0)
    x = torch.full((1, 3, 8, 8), 0.9)
    assert float(network(x).detach().max()) > 1.0
    assert float(network.eval()(x).detach().max()) == 1.0


def test_presets_have_the_sizes_that_they_say():
    counts = [sum(p.numel() for p in Upscaler(network_of(name, 2)).parameters()) for name in NETWORKS]
    assert counts == [11_792, 78_672, 599_888]
    assert sum(p.numel() for p in Upscaler(network_of("nano", 2, cell=2)).parameters()) == 19_328


def test_a_discriminator_scores_each_pixel():
    assert UNetDiscriminator(UNetConfig((8, 8, 8)))(torch.zeros(2, 3, 16, 24)).shape == (2, 16, 24)


def test_bicubic_is_pillows():
    pil = pytest.importorskip("PIL.Image")
    image = scene(np.random.default_rng(2), 60, 80)
    for size_hw in ((30, 40), (120, 160)):
        wanted = np.asarray(pil.fromarray(image).resize(size_hw[::-1], pil.BICUBIC))
        assert np.abs(resize(image, size_hw).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(("name", "worst"), [("none", 99.0), ("noise", 40.0), ("jpeg", 40.0), ("camera", 40.0)])
def test_damage_is_the_same_for_the_same_chance(name, worst):
    image = scene(np.random.default_rng(3))
    first, again, other = (degrade(image, DAMAGES[name], 1, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert name in ("none", "jpeg") or not np.array_equal(first, other)
    assert min(99.0, psnr(first, image)) <= worst
    assert degrade(image, DAMAGES[name], 2, np.random.default_rng(0)).shape == (24, 32, 3)


def test_crops_depend_on_seed_and_step_alone(data):
    scenes = open_scenes(data, 32)
    batches = [Crops(scenes, 32, 2, DAMAGES["camera"], 4, seed)(step)
               for seed, step in ((0, 3), (0, 3), (0, 4), (1, 3))]
    assert (batches[0][0].shape, batches[0][1].shape) == ((4, 16, 16, 3), (4, 32, 32, 3))
    assert all(np.array_equal(a, b) for a, b in zip(batches[0], batches[1], strict=True))
    assert not any(np.array_equal(batches[0][1], other[1]) for other in batches[2:])


def test_whole_pictures_of_odd_sizes_are_cut_to_the_scale(data):
    bad, good = next(pair for pair in whole(open_scenes(data, 32), 2, Damage(), 0) if pair[1].shape[0] == 46)
    assert (bad.shape, good.shape) == ((23, 31, 3), (46, 62, 3))


def test_a_video_gives_its_frames(clip):
    pytest.importorskip("av")
    scenes = open_scenes(clip, 32)
    assert (len(scenes), scenes.images[0].shape) == (30, (120, 160, 3))
    assert scenes.images[20].mean() == pytest.approx(140, abs=4)


def test_rows_are_as_high_as_the_highest():
    small, large = np.zeros((4, 6, 3), np.uint8), np.ones((8, 12, 3), np.uint8)
    assert rows([[small, small], [large, large]]).shape == (16, 24, 3)


@pytest.mark.parametrize(("text", "damage"), [
    ("none", Damage()), ("jpeg:30", Damage(jpeg=1.0, jpeg_quality=(30.0, 30.0))),
    ("noise:2-9", Damage(noise=1.0, noise_levels=(2.0, 9.0)))])
def test_damage_is_read_from_a_word(text, damage):
    assert parse_damage(text) == damage


@pytest.mark.parametrize(("text", "message"), [
    ("jpg", "did you mean 'jpeg'"), ("jpeg:0", "jpeg_quality: got 0 to 0"), ("jpeg:9-3", "got 9 to 3"),
    ("camera:3", "the others take no range"), ("noise:x", "e.g. noise:2-25")])
def test_other_words_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_damage(text)


@pytest.mark.parametrize(("fields", "message"), [
    ({"crop": 34}, "crop: got 34, expected a multiple of 4,"), ({"crop": 8}, "crop: got 8"),
    ({"network": UpscalerConfig(3, cell=2)}, "crop: got 32, expected a multiple of 12,"),
    ({"network": UpscalerConfig(cell=3)}, "cell: got 3, expected 1 or 2 or 4"),
    ({"network": UpscalerConfig(5)}, "scale: got 5"), ({"adversarial": 1.5}, "adversarial share: got 1.5"),
    ({"minutes": 1.0}, "exactly one of minutes, steps"), ({"steps": 0}, "more than 0"),
    ({"loss": "hinges"}, "mean 'hinge'")])
def test_settings_that_make_no_sense_are_refused(tiny, fields, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**fields)


def test_one_picture_is_too_few(tmp_path, tiny):
    cv2.imwrite(str(tmp_path / "one.png"), scene(np.random.default_rng(0)))
    with pytest.raises(DataError, match="got 1 that can be used, expected 2 or more"):
        train_enhance(tiny(data=str(tmp_path)), tmp_path / "run", quiet=True)


def test_pictures_that_are_all_too_small_are_named(data):
    with pytest.raises(DataError, match=r"got 0 that can be used and 13 that cannot \(0.png: 64x48, smaller than"):
        open_scenes(data, 64)


@pytest.mark.parametrize(("words", "message"), [
    ([], "--data: got nothing"), (["--data", "no/such"], "nothing there"),
    (["--data", "{data}", "--preset", "nanno"], "did you mean 'nano'"),
    (["--data", "{data}", "--scale", "7"], "scale: got 7"),
    (["--data", "{data}", "--crop", "30"], "crop: got 30"),
    (["--data", "{data}", "--start", "no/run"], "nothing there")])
def test_wrong_use_is_one_clear_line(data, tmp_path, capsys, words, message):
    out = ["--out", str(tmp_path / "run"), "--steps", "1"] + (["--crop", "32"] if "--crop" not in words else [])
    assert main(["train", "enhance", *(w.format(data=data) for w in words), *out]) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_json_is_the_final_metrics_and_a_resume_goes_on(data, tmp_path, capfd):
    words = ["train", "enhance", "--out", str(tmp_path / "run"), "--json"]
    given = ["--data", str(data), "--crop", "32", "--damage", "jpeg:40", "--scale", "1"]
    assert main([*words, *given, "--steps", "2"]) == 0
    out, err = capfd.readouterr()
    metrics = json.loads(out)
    assert (metrics["steps"], metrics["parameters"]) == (2, 10_244)
    assert "skipped torn.jpg: a broken or unknown file" in err
    assert main([*words, "--resume", "--steps", "3"]) == 0
    assert main([*words, "--resume", "--crop", "48"]) == 1
    assert "--resume: crop: got 48, expected 32" in capfd.readouterr().err


def test_minutes_may_be_of_processor_time(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(CLOCKS, "cpu", itertools.count(step=10.0).__next__)  # 10 s at each look
    metrics = train_enhance(tiny(steps=None, minutes=5.0, clock="cpu"), tmp_path, quiet=True)
    assert metrics["minutes"] >= 5
    assert metrics["steps"] < 40
