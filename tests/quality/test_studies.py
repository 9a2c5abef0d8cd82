"""The studies that judge the judges: what they count, and what they refuse."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from epee.runtime.errors import TrainingError
from epee.runtime.quality.distances import Kid

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("cv2")

from epee.benchmarks.studies import extractor as study  # noqa: E402
from epee.benchmarks.studies import losses, modes  # noqa: E402
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
from epee.runtime.quality.scoring import Judge  # noqa: E402
from epee.train.generate import train_generate  # noqa: E402
from epee.train.generate_presets import GenerateConfig  # noqa: E402
from epee.train.health import Limits  # noqa: E402
from epee.train.networks.discriminator import DiscriminatorConfig  # noqa: E402
from epee.train.networks.generator import GeneratorConfig  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
    assert [line["seed"] for line in modes.lines(args.results)] == [0, 1]
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


@pytest.fixture
def loss_study(extractor_bundle, data, tmp_path, monkeypatch):
    """A study of losses whose trainings are two steps long; gives it and the list of what was trained."""
    trained = []

    def training(config, run, *, resume):
        trained.append((config.loss, config.seed, config.gamma, resume))
        return train_generate(dataclasses.replace(tiny_config(size=16), loss=config.loss, seed=config.seed,
                                                  gamma=config.gamma, data=config.data, classes=True, subset="train",
                                                  half="a", generator=GeneratorConfig(channels=(8, 8, 8)),
                                                  discriminator=DiscriminatorConfig(channels=(8, 8, 8))),
                              run, quiet=True, resume=resume)

    monkeypatch.setattr(losses, "train_generate", training)
    with open_extractor(extractor_bundle, "onnxruntime", threads=1) as extractor:
        judge = Judge(extractor, open_pictures(data, 16, subset="test").images)
        yield losses.Study(str(data), tmp_path / "runs", tmp_path / "losses.jsonl", 1.0, judge, 40, 16), trained


def test_losses_are_tuned_and_paired_alike_and_nothing_runs_twice(loss_study):
    study, trained = loss_study
    for _ in range(2):
        best = {loss: losses.tuned(study, loss, 2) for loss in (losses.OURS, losses.THEIRS)}
        ours, theirs = losses.compared(study, best, range(2))
    assert [t[:2] for t in trained] == [(losses.OURS, 1000)] * 2 + [(losses.THEIRS, 1000)] * 2 + [
        (losses.OURS, 0), (losses.THEIRS, 0), (losses.THEIRS, 1), (losses.OURS, 1)]
    assert [t[2] for t in trained[:4]] == [0.05, 0.2, 0.05, 0.2]
    rows = modes.lines(study.results)
    assert len(rows) == 8
    tuning = [row for row in rows if row["phase"] == "tuning" and row["loss"] == losses.OURS]
    assert best[losses.OURS]["gamma"] == min(tuning, key=lambda row: row["kid"])["gamma"]
    assert ours == [row["kid"] for row in rows if row["phase"] == "pairs" and row["loss"] == losses.OURS]
    assert len(theirs) == 2


@pytest.mark.parametrize(("ours", "claim"), [
    ([0.10, 0.11, 0.12], "relativistic is better"), ([0.40, 0.41, 0.42], "nonsaturating is better"),
    ([0.10, 0.45, 0.20], "no difference is shown")])
def test_a_claim_needs_an_interval_without_zero(ours, claim):
    text = losses.verdict("kid-x", ours, [0.2, 0.21, 0.22], {losses.OURS: {}, losses.THEIRS: {}})
    assert claim in text[-1]
    mean, low, high = losses.interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx((2.0, 2.0 - 4.303 / 3**0.5, 2.0 + 4.303 / 3**0.5))
