"""Translators: pairs, networks, losses, and short real trainings on coloured squares."""

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
from epee.runtime.errors import ConfigError, DataError
from epee.train import checkpoint, translate
from epee.train.comparisons import answers
from epee.train.contrast import Contrasted, patch_contrast
from epee.train.gan_losses import LOSSES
from epee.train.health import Limits
from epee.train.networks.patch_discriminator import PatchConfig, PatchDiscriminator
from epee.train.networks.translator import Translator, TranslatorConfig
from epee.train.pairs import CropPairs, open_sides
from epee.train.presets.translate import NETWORKS, TranslateConfig, network_of
from epee.train.schedule import CLOCKS
from epee.train.translate import train_translate

SMALL = TranslatorConfig(channels=(8, 16), blocks=1)


def pair(rng, size=20):
    """A green square on black, and the same in red on white: what is to be learned."""
    plan, photo = np.zeros((size, size, 3), np.uint8), np.full((size, size, 3), 230, np.uint8)
    y, x = rng.integers(2, size - 10, 2)
    plan[y:y + 8, x:x + 8, 1] = 255
    photo[y:y + 8, x:x + 8] = (30, 30, 220)
    return plan, photo


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """24 pairs: `beside` in one picture each, `plan` and `photo` in two folders."""
    root, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for folder in ("beside", "plan", "photo"):
        (root / folder).mkdir()
    for i in range(24):
        plan, photo = pair(rng)
        cv2.imwrite(str(root / "plan" / f"{i:02d}.png"), plan)
        cv2.imwrite(str(root / "photo" / f"{i:02d}.jpg"), photo)
        cv2.imwrite(str(root / "beside" / f"{i:02d}.png"), np.hstack([photo, plan]))
    return root


@pytest.fixture(scope="module")
def tiny(data):
    """Makes a TranslateConfig; any field can be replaced."""
    config = TranslateConfig(
        data=str(data / "beside"), input="right", size=16, steps=40, batch=4, rate_first=2e-3, rate_last=5e-4, grids=4,
        evaluations=2, patches=16, vector=8, network=SMALL, discriminator=PatchConfig(channels=(8, 16)),
        limits=Limits(every=10, grace_images=10_000))
    return lambda **fields: dataclasses.replace(config, **fields)


@pytest.fixture(scope="module")
def whole_run(tiny, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    return run, train_translate(tiny(), run, quiet=True)


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_what_it_promises(whole_run):
    run, metrics = whole_run
    assert {"config.toml", "generator.safetensors", "last.safetensors", "metrics.jsonl", "pictures"} <= set(
        os.listdir(run))
    assert (metrics["healthy"], metrics["steps"], metrics["inputs"], metrics["held_out"]) == (True, 40, 23, 1)
    measured = set().union(*lines(run))
    assert {"real_score", "fake_score", "r1", "pixel_loss", "feature_loss", "generator_loss", "discriminator_loss",
            "diversity", "l1", "psnr", "learning_rate"} <= measured
    trained = checkpoint.load_trained(run)
    assert (trained.task, trained.size_wh, trained.fit.mode) == ("translate", (16, 16), "crop")
    assert cv2.imread(str(next((run / "pictures").iterdir()))).shape == (16, 3 * 16, 3)


@pytest.mark.parametrize("fields", [{"adversarial": False}, {"pixel_weight": 30.0}], ids=("pixels", "gan"))
def test_pairs_are_learned(fields, tiny, tmp_path):
    metrics = train_translate(tiny(**fields, steps=120), tmp_path, quiet=True)
    first = translate.score(translate.new_state(tiny(), torch.device("cpu")),
                            translate.open_data(tiny())[1], torch.device("cpu"))
    assert metrics["l1"] < 0.6 * first["l1"]
    assert ("fake_score" in metrics) == ("adversarial" not in fields)


def test_without_pairs_colours_come_nearer_to_the_targets(tiny, data, tmp_path):
    fields = {"data": str(data / "plan"), "target": str(data / "photo"), "paired": False,
              "network": dataclasses.replace(SMALL, skips=False)}
    metrics = train_translate(tiny(**fields, steps=120), tmp_path, quiet=True)
    assert (metrics["healthy"], metrics["l1"], metrics["targets"]) == (True, None, 23)
    assert metrics["contrast_loss"] < np.log(16)  # what chance would give among 16 places
    inputs = translate.open_data(tiny(**fields))[1][0]
    means = [np.mean(images) for images in (inputs, answers(checkpoint.load_trained(tmp_path).network, inputs,
                                                            torch.device("cpu")))]
    assert means[0] < 30 < 90 < means[1]


def test_a_resumed_run_goes_on_as_if_uninterrupted(whole_run, tiny, tmp_path, monkeypatch):
    real, count = translate.paired_step, 0

    def stopping(*args):
        nonlocal count
        count += 1
        if count == 17:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(translate, "paired_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_translate(tiny(), tmp_path, quiet=True)
    assert max(line["step"] for line in lines(tmp_path)) == 17
    train_translate(tiny(), tmp_path, resume=True, quiet=True)
    whole, resumed = ({line["step"]: line["generator_loss"] for line in lines(run) if "generator_loss" in line}
                      for run in (whole_run[0], tmp_path))
    assert sorted(resumed) == sorted(whole)
    assert [resumed[s] for s in range(15, 30)] == pytest.approx([whole[s] for s in range(15, 30)], rel=1e-3)


def test_one_picture_for_every_input_is_a_collapse(tiny, tmp_path, monkeypatch):
    real = translate.paired_step

    def dulling(state, *args):
        values = real(state, *args)
        with torch.no_grad():
            state.generator.network.last.weight.zero_()
        return values

    monkeypatch.setattr(translate, "paired_step", dulling)
    strict = Limits(every=1, patience=2, grace_images=0, rollbacks=1)
    metrics = train_translate(tiny(limits=strict), tmp_path, quiet=True)
    assert (metrics["healthy"], metrics["rollbacks"], metrics["steps"]) == (False, 1, 4)
    assert metrics["problem"].startswith("collapsed: generated pictures differ 0.00")


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_can_be_taken(loss, tiny, tmp_path):
    assert train_translate(tiny(loss=loss, steps=2), tmp_path, quiet=True)["healthy"]


@pytest.mark.parametrize("skips", [True, False])
def test_a_translator_takes_any_size(skips):
    network = Translator(dataclasses.replace(SMALL, skips=skips)).eval()
    made = network(torch.rand(1, 3, 21, 38))
    assert (made.shape, bool((made >= 0.0).all()), bool((made <= 1.0).all())) == ((1, 3, 21, 38), True, True)


def test_presets_have_the_sizes_that_they_say():
    counts = [sum(p.numel() for p in Translator(network_of(name, True)).parameters()) for name in NETWORKS]
    assert counts == [259_763, 1_337_907, 4_527_907]


def test_a_patch_discriminator_sees_the_input_beside_the_picture():
    judge, images = PatchDiscriminator(PatchConfig(channels=(8, 8))), torch.rand(2, 3, 16, 16)
    score, features = judge.judged(images, torch.zeros_like(images))
    assert (score.shape, [f.shape[-1] for f in features]) == ((2, 4, 4), [8, 4])
    assert not torch.equal(score, judge(images, torch.ones_like(images)))


def test_patch_contrast_is_least_where_each_place_is_its_own():
    v = torch.nn.functional.normalize(torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(0)), dim=2)
    same, shifted = (float(patch_contrast([v], [w])) for w in (v, v.roll(1, 1)))
    assert same < 0.1 < np.log(16) < shifted


def test_vectors_are_taken_at_the_places_from_each_feature_map():
    network = Contrasted(Translator(SMALL), 8)
    places = network.places((15, 22), 9, torch.Generator().manual_seed(0))
    found = network.vectors(torch.rand(2, 3, 15, 22), places)
    assert [v.shape for v in found] == [(2, 9, 8)] * 3
    assert [int(at.max()) < n for at, n in zip(places, (15 * 22, 8 * 11, 8 * 11), strict=True)] == [True] * 3
    assert torch.allclose(found[0].norm(dim=2), torch.ones(2, 9), atol=1e-5)


def test_halves_and_folders_are_the_same_pairs(data):
    halves = open_sides(data / "beside", None, 18, side="right")
    folders = open_sides(data / "plan", data / "photo", 18)
    assert (len(halves.inputs), halves.inputs[0].shape, halves.paired) == (24, (18, 18, 3), True)
    assert all(np.array_equal(a, b) for a, b in zip(halves.inputs, folders.inputs, strict=True))
    assert np.array_equal(open_sides(data / "beside", None, 18).targets[3], halves.inputs[3])


def test_pairs_are_cropped_and_flipped_alike_and_others_are_not(data):
    pairs = open_sides(data / "plan", data / "plan", 20)
    x, y = CropPairs(pairs, 16, 8, 0.5, 0)(5)
    assert np.array_equal(x, y)
    assert np.array_equal(x, CropPairs(pairs, 16, 8, 0.5, 0)(5)[0])
    x, y = CropPairs(dataclasses.replace(pairs, paired=False), 16, 8, 0.5, 0)(5)
    assert not np.array_equal(x, y)


def test_pairs_that_do_not_match_are_named(data, tmp_path):
    for name in ("00", "01"):
        (tmp_path / f"{name}.jpg").write_bytes((data / "photo" / f"{name}.jpg").read_bytes())
    with pytest.raises(DataError, match=r"22 of '.*plan' have no counterpart in .*: got 02, 03, 04, …, expected equal"):
        open_sides(data / "plan", tmp_path, 16)
    with pytest.raises(DataError, match=r"22 of '.*plan' have no counterpart"):
        open_sides(tmp_path, data / "plan", 16)


def test_what_cannot_be_used_is_told(data, tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes((data / "beside" / f"0{i}.png").read_bytes())
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8no")
    for name, shape in (("wide", (20, 41, 3)), ("small", (10, 40, 3))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros(shape, np.uint8))
    sides = open_sides(tmp_path, None, 16)
    assert len(sides.inputs) == 3
    assert sides.skipped == (("small", "20x10, smaller than 16"), ("torn", "a broken or unknown file"),
                             ("wide", "41 pixels wide, which has no two halves"))


def test_pairs_of_other_proportions_are_told(tmp_path):
    for folder, width in (("a", 20), ("b", 30)):
        for i in range(3):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), np.zeros((20, width if i == 1 else 20, 3), np.uint8))
    skipped = open_sides(tmp_path / "a", tmp_path / "b", 16).skipped
    assert skipped == (("1", "20x20 and 30x20, which are of different proportions"),)


def test_one_pair_is_too_few(data, tmp_path):
    (tmp_path / "0.png").write_bytes((data / "beside" / "00.png").read_bytes())
    with pytest.raises(DataError, match="got 1 inputs that can be used, expected 2 or more"):
        open_sides(tmp_path, None, 16)


@pytest.mark.parametrize(("fields", "message"), [
    ({"size": 20}, "size: got 20, expected a multiple of 8"), ({"batch": 1}, "batch: got 1"),
    ({"paired": False}, "target of an unpaired translation: got nothing"), ({"loss": "hing"}, "mean 'hinge'"),
    ({"paired": False, "target": "x", "adversarial": False}, "nothing to learn from"), ({"jitter": 0.9}, "jitter"),
    ({"minutes": 1.0}, "exactly one of minutes, steps"), ({"steps": 0}, "more than 0"),
    ({"input": "top"}, "left, right")])
def test_settings_that_make_no_sense_are_refused(tiny, fields, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**fields)


@pytest.mark.parametrize(("words", "message"), [
    ([], "--data: got nothing"), (["--data", "no/such"], "nothing there"),
    (["--data", "{data}/beside", "--preset", "smal"], "did you mean 'small'"),
    (["--data", "{data}/beside", "--val-target", "x"], "--val-target: got no --val"),
    (["--data", "{data}/plan", "--target", "{data}"], "24 of '{data}/plan' have no counterpart"),
    (["--data", "{data}/plan", "--unpaired"], "target of an unpaired translation")])
def test_wrong_use_is_one_clear_line(data, tmp_path, capsys, words, message):
    given = [w.format(data=data) for w in words]
    assert main(["train", "translate", *given, "--size", "16", "--steps", "1", "--out", str(tmp_path / "run")]) == 1
    errors = capsys.readouterr().err
    assert message.format(data=data) in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_json_is_the_final_metrics_and_a_resume_goes_on(data, tmp_path, capfd):
    words = ["train", "translate", "--out", str(tmp_path / "run"), "--json"]
    given = ["--data", str(data / "plan"), "--target", str(data / "photo"), "--size", "16", "--batch", "2"]
    assert main([*words, *given, "--steps", "2", "--no-flip"]) == 0
    metrics = json.loads(capfd.readouterr().out)
    assert (metrics["steps"], metrics["images"], metrics["parameters"]) == (2, 4, 1_337_907)
    assert main([*words, "--resume", "--steps", "3"]) == 0
    assert main([*words, "--resume", "--size", "24"]) == 1
    assert "--resume: size: got 24, expected 16" in capfd.readouterr().err


def test_minutes_may_be_of_processor_time(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(CLOCKS, "cpu", itertools.count(step=10.0).__next__)  # 10 s at each look
    metrics = train_translate(tiny(steps=None, minutes=5.0, clock="cpu"), tmp_path, quiet=True)
    assert metrics["minutes"] >= 5
    assert metrics["steps"] < 40
