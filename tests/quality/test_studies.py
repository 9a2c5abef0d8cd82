"""The studies that judge the judges: what they count, and what they refuse."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from epee.runtime.errors import TrainingError
from epee.runtime.quality.distances import Kid

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("cv2")

from epee.benchmarks.statistics import mean_interval  # noqa: E402
from epee.benchmarks.studies import collapse, ledger, losses, losses_run, modes, offered  # noqa: E402
from epee.benchmarks.studies import extractor as study  # noqa: E402
from epee.benchmarks.studies.extractor import Row, compressed, judged, noisy, table  # noqa: E402
from epee.benchmarks.studies.stacks import (  # noqa: E402
    MODES,
    NO_DIGIT,
    Classifier,
    Stacks,
    accuracy_of,
    coverage,
    load_digits,
    train_classifier,
)
from epee.runtime.picture_sets import ArrayPictures, open_pictures  # noqa: E402
from epee.runtime.quality.extractor import open_extractor  # noqa: E402
from epee.train.generate import train_generate  # noqa: E402
from epee.train.health import Limits  # noqa: E402
from epee.train.networks.discriminator import DiscriminatorConfig  # noqa: E402
from epee.train.networks.generator import GeneratorConfig  # noqa: E402
from epee.train.presets.generate import GenerateConfig  # noqa: E402


@pytest.fixture(scope="module")
def classifier():
    return train_classifier(load_digits("b"), steps=250)


def rows(real, **damages):
    """Rows of these values, each with a standard error of 0.001."""
    def one(damage, level, value):
        return Row(damage, level, Kid(value, 0.001, (value, value)), Kid(0.0, 0.001, (0.0, 0.0)))

    return [one("none", 0, real), *(one(name, i, value) for name, values in damages.items()
                                    for i, value in enumerate(values))]


def test_an_extractor_is_admitted_only_if_all_holds():
    assert judged(rows(0.0004, blur=(0.001, 0.002), noise=(0.0005, 0.1)), 0.0005) == []
    assert "more than 2 x 0.00100 from 0" in judged(rows(-0.0021, blur=(0.001, 0.002)), 0.01)[0]
    assert "beyond the margin of 0.0005" in judged(rows(0.0006, blur=(0.001, 0.002)), 0.0005)[0]
    assert judged(rows(0.0, blur=(0.002, 0.001)), 0.0005) == [
        "not admitted: blur 1 has KID 0.00100, less damage 0.00200"]
    assert "blur 0 has KID -0.00010" in judged(rows(0.0, blur=(-0.0001, 0.001)), 0.0005)[0]


def test_the_table_has_a_row_for_each_damage(extractor_bundle, data, monkeypatch, capsys):
    pictures, test = (open_pictures(data, 16, classes=True, subset=s) for s in ("train", "test"))
    monkeypatch.setattr(study, "DAMAGES", {"blur": ((1, 3), study.blurred)})
    monkeypatch.setattr(study, "DROPPED", (1, 2, 3))
    with open_extractor(extractor_bundle, "onnxruntime", threads=1) as extractor:
        found = table(pictures, test, extractor, study.random_network(16, 3, pictures.images))
    assert [(row.damage, row.level) for row in found] == [
        ("none", 0), ("blur", 1), ("blur", 3), ("dropped classes", 1), ("dropped classes", 2)]
    values = [row.learned.value for row in found]
    assert values[0] < values[3] < values[4]  # blur of squares this small need not be seen
    assert abs(values[0]) < 3 * found[0].learned.se
    assert capsys.readouterr().err.splitlines()[0] == "none 0"


def test_the_study_says_what_it_found_and_exits_with_it(extractor_bundle, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "DAMAGES", {})
    monkeypatch.setattr(study, "DROPPED", (1, 2))
    words = ["study", str(extractor_bundle), "--data", str(data), "--results", str(tmp_path / "r" / "found.json")]
    for margin, status in (("1", 0), ("0", 3)):
        monkeypatch.setattr(sys, "argv", [*words, "--margin", margin])
        with pytest.raises(SystemExit) as ended:
            study.main()
        assert ended.value.code == status
        found = json.loads((tmp_path / "r" / "found.json").read_text())
        assert found["admitted"] is (status == 0)
    assert "squares: accuracy" in capsys.readouterr().out
    assert found["problems"][0].endswith("beyond the margin of 0")


def test_damage_is_damage():
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    assert (noisy(image, 10) == noisy(image, 10)).all()
    errors = [np.square(compressed(image, q).astype(float) - image).mean() for q in (95, 75, 50, 20)]
    assert errors == sorted(errors)
    once = compressed(image, 75)
    assert np.square(compressed(once, 75).astype(float) - once).mean() > 1  # its own grid, so it is no repetition


def test_digits_are_split_and_stacks_are_what_they_say():
    a, b = load_digits("a"), load_digits("b")
    assert len(a.labels) + len(b.labels) == 1797
    assert min(len(a.labels), len(b.labels)) > 800
    stacks = Stacks.draw(a, 50, seed=1)
    images, i = stacks.batch(np.arange(50)), stacks.chosen[7]
    assert (images[7] == np.stack([a.images[j] for j in i], -1)).all()
    assert stacks.modes[7] == a.labels[i[0]] + 10 * a.labels[i[1]] + 100 * a.labels[i[2]]
    assert (Stacks.draw(a, 50, seed=1).chosen == stacks.chosen).all()


def test_the_classifier_knows_digits_and_no_noise(classifier):
    assert accuracy_of(classifier, load_digits("a")) > 0.95
    noise = np.random.default_rng(0).integers(0, 256, (2000, 8, 8, 3), np.uint8)
    assert coverage(classifier, noise).sure < 0.01


class Reads(Classifier):
    """Says the digit that a picture's brightness is 25 times of, as sure as the last pixel says; 250 is no digit."""

    def forward(self, x):
        digit = (x[:, 0, 0, 0] * 255 / 25).round().long().clamp(0, NO_DIGIT)
        sure = x[:, 0, 7, 7]
        shares = torch.full((len(x), NO_DIGIT + 1), 1e-9).scatter(1, digit[:, None], sure[:, None])
        rest = (1 - sure) / 10
        return (shares + rest[:, None] * (torch.arange(NO_DIGIT + 1) != digit[:, None])).log()


def written(digits, sure):
    """(N, 8, 8, 3) pictures of digits (N, 3), all as sure."""
    images = np.repeat(np.repeat(np.asarray(digits, np.uint8)[:, None, None] * 25, 8, 1), 8, 2)
    images[:, 7, 7] = round(255 * sure)
    return images


def test_a_mode_counts_from_five_sure_samples_in_every_channel():
    reader = Reads().eval()
    once = written([[1, 2, 3]] * 5 + [[4, 5, 6]] * 4 + [[7, 8, 10]] * 9, 0.95)
    found = coverage(reader, once, batch=7)
    assert (found.modes, found.samples) == (1, 18)
    assert found.sure == pytest.approx(9 / 18)
    shares = np.array([5, 4]) / 9
    assert found.kl == pytest.approx(float((shares * np.log(shares * MODES)).sum()))
    assert coverage(reader, written([[1, 2, 3]] * 9, 0.85)).modes == 0
    every = written(np.stack(np.unravel_index(np.arange(MODES), (10, 10, 10)), 1).repeat(5, 0), 0.95)
    whole = coverage(reader, every)
    assert (whole.modes, whole.kl) == (MODES, pytest.approx(0.0, abs=1e-9))


def test_nothing_sure_is_no_mode_and_no_number_that_flatters():
    found = coverage(Reads().eval(), written([[1, 1, 1]] * 8, 0.5))
    assert (found.modes, found.sure, found.kl) == (0, 0.0, float("inf"))


def tiny_config(**fields):
    return GenerateConfig(**{"data": "stacked digits", "size": 8, "steps": 2, "batch": 8, "grids": 1,
                             "limits": Limits(grace_images=10**6),
                             "generator": GeneratorConfig(channels=(8, 8), convolutions=(1, 1)),
                             "discriminator": DiscriminatorConfig(channels=(8, 8), convolutions=(1, 1)), **fields})


def test_seeds_that_were_counted_are_left_out(classifier, tmp_path, monkeypatch, capsys):
    import argparse

    trained = []

    def training(config, run, **options):
        trained.append(config.seed)
        return train_generate(tiny_config(seed=config.seed), run, quiet=True, pictures=options["pictures"])

    monkeypatch.setattr(modes, "train_generate", training)
    args = argparse.Namespace(minutes=1.0, loss="relativistic", train=tmp_path, samples=64,
                              results=tmp_path / "results" / "modes.jsonl")
    for seed in (0, 0, 1):
        modes.trained(args, seed, classifier)
    assert trained == [0, 1]
    assert [line["seed"] for line in ledger.lines(args.results)] == [0, 1]
    assert "seed 0: counted already" in capsys.readouterr().out
    assert modes.made(tmp_path / "seed-0", 64).shape == (64, 8, 8, 3)


def test_a_generator_with_labels_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    labelled = ArrayPictures(rng.integers(0, 256, (32, 8, 8, 3), np.uint8), np.arange(32) % 2, ("a", "b"))
    train_generate(tiny_config(), tmp_path, pictures=labelled, quiet=True)
    with pytest.raises(TrainingError, match="expected a generator of 8x8 without labels"):
        modes.made(tmp_path, 8)


def test_what_does_not_count_as_it_has_to_is_said(classifier):
    few = list(modes.known(classifier, 300))
    assert few == [f"real stacks: {few[0].split()[2]} modes, expected at least 990"]
    assert dataclasses.asdict(coverage(classifier, written([[1, 2, 3]], 1.0)))["samples"] == 1


def test_losses_are_tuned_and_paired_alike_and_nothing_runs_twice(tmp_path, monkeypatch, capsys):
    ran, start = [], subprocess.Popen

    def started(words):
        asked = json.loads(words[-1])
        job = losses.Job(**asked["job"])
        ran.append((job.phase, job.loss, job.seed, job.settings["gamma"]))
        kid = 0.1 * (job.loss == losses.THEIRS) + job.settings["gamma"] + 0.001 * job.seed * (job.loss == losses.OURS)
        ledger.append(Path(asked["results"]), {**job.key, "kid": kid, "name": "kid-x", "healthy": True, "rollbacks": 0,
                                              "course": [2 * kid, kid], "recall": 0.5, "floor_recall": 0.8})
        return start([sys.executable, "-c", ""])

    monkeypatch.setattr(losses.subprocess, "Popen", started)
    monkeypatch.setattr(sys, "argv", ["losses", "--data", "d", "--out", str(tmp_path), "--trials", "2", "--seeds", "3",
                                      "--results", str(tmp_path / "losses.jsonl")])
    losses.main()
    once = list(ran)
    losses.main()
    assert ran == once
    assert once[:4] == [("tuning", loss, 1000, gamma) for gamma in (0.05, 0.2) for loss in (losses.OURS, losses.THEIRS)]
    assert once[4:10] == [("pairs", loss, seed, 0.05) for seed in range(3) for loss in (losses.OURS, losses.THEIRS)]
    assert once[10:] == [("illustration", "minimax", 0, 0.05)]
    said = capsys.readouterr().out
    assert "relativistic is better" in said
    assert "seed 2: healthy, 0 roll-backs, last KID 1.00 times its best, recall 0.500 of 0.800" in said


def test_a_run_of_the_study_trains_judges_and_adds_its_line(extractor_bundle, data, tmp_path, monkeypatch):
    settings = {"gamma": 0.05, "rate_first": 4e-4, "rate_last": 1e-4}
    job = losses.Job("tuning", losses.THEIRS, 3, 0.001, settings)
    for name, value in {"SAMPLES": 40, "ON_THE_WAY": 20, "TIMES": 1}.items():
        monkeypatch.setattr(losses_run, name, value)
    results = tmp_path / "losses.jsonl"
    asked = {"job": vars(job), "data": str(data), "run": str(tmp_path / "run"), "results": str(results),
             "extractor": str(extractor_bundle)}
    monkeypatch.setattr(sys, "argv", ["losses_run", json.dumps(asked)])
    losses_run.main()
    row = job.found(results)
    assert (row["penalised"], row["seed"], row["healthy"], len(row["course"])) == ("real", 3, True, 1)
    assert 0 < row["kid"] < 1e3
    assert 'clock = "cpu"' in (tmp_path / "run" / "config.toml").read_text()


@pytest.mark.parametrize(("ours", "claim"), [
    ([0.10, 0.11, 0.12], "relativistic is better"), ([0.40, 0.41, 0.42], "nonsaturating is better"),
    ([0.10, 0.45, 0.20], "no difference is shown")])
def test_a_claim_needs_an_interval_without_zero(ours, claim):
    rows = [{"kid": value, "name": "kid-x"} for value in ours]
    text = losses.verdict(rows, [{"kid": value} for value in (0.2, 0.21, 0.22)], {losses.OURS: {}, losses.THEIRS: {}})
    assert claim in text[-1]
    mean, low, high = mean_interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx((2.0, 2.0 - 4.30265 / 3**0.5, 2.0 + 4.30265 / 3**0.5), abs=1e-4)


def test_a_vae_and_a_loss_of_the_same_settings_are_different_runs(tmp_path):
    results = tmp_path / "offered.jsonl"
    gan, vae = losses.Job("offered", losses.OURS, 0, 5, {}), losses.Job("offered", losses.OURS, 0, 5, {}, "vae")
    ledger.append(results, {**vae.key, "kid": 0.1})
    assert (gan.found(results), vae.found(results)["kid"], gan.name == vae.name) == (None, 0.1, False)


def test_what_is_offered_has_to_train(extractor_bundle, data, monkeypatch):
    monkeypatch.setattr(offered, "SAMPLES", 64)
    kid = offered.untrained(str(data), str(extractor_bundle))
    assert offered.untrained(str(data), str(extractor_bundle)) == kid
    row = {"loss": "hinge", "minutes": 5, "images": 9, "name": "kid-x", "se": 0.1, "precision": 0.5, "recall": 0.5,
           "rollbacks": 0, "floor_recall": 0.8, "healthy": True}
    rows = [{**row, "kid": 0.4 * kid}, {**row, "kid": 0.6 * kid}, {**row, "kid": 0.1 * kid, "healthy": False},
            {**row, "kid": 0.6 * kid, "method": "vae"}]
    assert [offered.trained(row, kid / 2) for row in rows] == [True, False, False, True]
    told = offered.table(rows, kid / 2)
    assert ["did not train" in line for line in told] == [False, False, True, True, False, False]


def test_runs_judged_wrongly_are_counted_and_none_runs_twice(tmp_path, monkeypatch, capsys):
    ran = []

    def trained(config, pictures):
        ran.append((config.loss, config.seed))
        caught = config.loss == "hinge" or config.seed == 1  # the healthy one of seed 1 is blamed
        return {"caught": caught, "rollbacks": int(caught), "steps": 5, "diversity": 0.5, "problem": ""}

    monkeypatch.setattr(collapse, "trained", trained)
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["collapse", "--seeds", "2", "--results", str(tmp_path / "r.jsonl")])
        with pytest.raises(SystemExit) as ended:
            collapse.main()
        assert ended.value.code == 3
        assert "1 of 4 runs judged wrongly" in capsys.readouterr().out
    assert ran == [("relativistic", 0), ("relativistic", 1), ("hinge", 0), ("hinge", 1)]
