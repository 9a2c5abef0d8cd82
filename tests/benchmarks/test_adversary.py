"""The study of the adversary on three tiny drives: its lists, its runs, and what it claims."""

import dataclasses
import sys

import numpy as np
import pytest
from epee.benchmarks.studies import adversary as study_of
from epee.benchmarks.studies import boundaries
from epee.benchmarks.studies.adversary import PILOT_SEED, best_trial, pilot_runs
from epee.benchmarks.studies.adversary_runs import ARMS, Run, Study, trial_of
from epee.benchmarks.studies.adversary_table import by_drive, pilot_table, table, verdict
from epee.benchmarks.studies.few_labels import few_labels, parts_of
from epee.benchmarks.studies.ledger import append, lines
from epee.runtime.dataset import open_dataset
from epee.runtime.errors import ConfigError, DataError
from epee.train.adversary import FORMS
from epee.train.presets.segment import NETWORKS

FOLDS = ("a_", "b_", "c_")


@pytest.fixture
def study(drives, tmp_path, monkeypatch):
    tiny = {"stem": 8, "quarter": 8, "eighth": 8, "sixteenth": 8, "dilations": (1,), "decode8": 8, "decode4": 8}
    monkeypatch.setitem(NETWORKS, "small", dataclasses.replace(NETWORKS["small"], eighth_blocks=1, **tiny))
    return Study(str(drives), tmp_path / "runs", tmp_path / "results.jsonl", (64, 48), ("steps", 4), labels=3)


def test_labels_are_spread_over_the_other_drives():
    stems = [f"{drive}_{i}" for drive in "abc" for i in range(4)]
    parts = parts_of(stems, "b_", 4)
    assert [stems[i] for i in parts.labelled] == ["a_1", "a_3", "c_1", "c_3"]
    assert [stems[i] for i in parts.unlabelled] == ["a_0", "a_2", "c_0", "c_2"]
    assert [stems[i] for i in parts.held] == ["b_0", "b_1", "b_2", "b_3"]


@pytest.mark.parametrize(("fold", "labels"), [("x", 2), ("a_", 8)])
def test_folds_that_leave_nothing_are_one_clear_line(fold, labels):
    with pytest.raises(DataError, match="expected some of it, and more than"):
        parts_of([f"{drive}_{i}" for drive in "abc" for i in range(4)], fold, labels)


@pytest.mark.parametrize("fold", FOLDS)
def test_the_drive_that_is_left_out_is_in_neither_list(drives, tmp_path, fold):
    found = few_labels(str(drives), fold, 3, tmp_path)
    train = open_dataset(str(found.yaml), "train")
    unlabelled = {path.stem for path in found.unlabelled.iterdir()}
    assert (len(train), len(unlabelled), len(found.held)) == (3, 5, 4)
    assert not set(train.stems) & unlabelled
    assert {stem[:2] for stem in {*train.stems, *unlabelled}} == set(FOLDS) - {fold}  # nor is any of val
    whole = open_dataset(str(drives), "train")
    of = {stem: whole[i] for i, stem in enumerate(whole.stems)}
    assert all(np.array_equal(a, b) for i in range(3) for a, b in zip(train[i], of[train.stems[i]], strict=True))
    assert all(np.array_equal(found.held[i][0], of[f"{fold}{i}"][0]) for i in range(4))


def test_the_arms_differ_in_nothing_else(study):
    plain, unlabelled, adversary = (study.config(Run.of(arm, "a_", 1, "pixels:3", 0.8)) for arm in ARMS)
    assert plain.unlabelled == ()
    assert unlabelled.pseudo.confidence == 0.8
    assert dataclasses.replace(unlabelled, unlabelled=(), pseudo=plain.pseudo) == plain
    assert dataclasses.replace(adversary, adversary=unlabelled.adversary) == unlabelled
    assert plain.clock == "cpu"  # two runs side by side would otherwise shorten one another
    assert adversary.adversary.weight == pytest.approx(3 * FORMS["pixels"].weight)


def test_each_arm_is_scored_on_the_drive_that_it_has_not_seen(study):
    rows = [study.train(Run.of(arm, "b_", 1, "holistic:1")) for arm in ARMS]
    for row in rows:
        assert np.sum(row["confusion"]) == 4 * 96 * 72
        assert (row["steps_done"], 0 <= row["boundary_f"] <= 1) == (4, True)
    assert [row["unlabelled"] for row in rows] == [None, *[{"pictures": 5, "skipped": 0}] * 2]
    assert [len(row["discriminator_accuracy"]) for row in rows] == [0, 0, 2]  # of the last two steps
    assert [len(row["pseudo_share"]) for row in rows] == [0, 3, 3]


def test_the_command_runs_the_rest_and_writes_table_and_plot(study, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    words = ["adversary", "--data", study.data, "--out", str(tmp_path / "runs"), "--results", str(study.results),
             "--preset", "nano", "--steps", "2", "--size", "64x48", "--labels", "3", "--folds", "b_", "--seeds", "4",
             "--trial", "features:1"]
    monkeypatch.setattr(sys, "argv", [*words, "--arms", "adversary"])
    study_of.main()
    rows = lines(study.results)
    assert [(row["arm"], row["trial"], row["fold"], row["seed"]) for row in rows] == [
        ("adversary", "features:1", "b_", 4)]
    assert "0 seeds in both" in capsys.readouterr().out
    monkeypatch.setattr(study_of, "few_labels", None)  # nothing is left to run
    study_of.main()
    assert lines(study.results) == rows
    assert (tmp_path / "runs" / "adversary.png").stat().st_size > 5000
    assert "features:1" in (tmp_path / "runs" / "adversary.txt").read_text()


def row(study, arm, trial, fold, seed, right):
    """A line in which a share of 100 pixels and of 100 border pixels of each of two classes is right."""
    confusion = [[right, 100 - right], [100 - right, right]]
    return {**study.key(Run.of(arm, fold, seed, trial)), "names": ["x", "y"], "confusion": confusion, "steps_done": 4,
            "miou": right / (200 - right), "borders": [[right, 100, right, 100]] * 2,
            "discriminator_accuracy": [0.7, 0.6]}


def test_a_claim_needs_an_interval_without_zero(study):
    rng = np.random.default_rng(0)
    found = {arm: {seed: [row(study, arm, "", fold, seed, 50 + seed + gain + int(rng.integers(2))) for fold in FOLDS]
                   for seed in range(8)} for arm, gain in zip(ARMS, (0, 10, 10), strict=True)}
    better = verdict(found, "unlabelled", "plain", "mIoU")
    assert "8 of them above zero: unlabelled is better" in better
    assert "unlabelled is worse" in verdict({**found, "plain": found["adversary"], "unlabelled": found["plain"]},
                                            "unlabelled", "plain", "boundary F")
    assert "no difference is shown" in verdict(found, "adversary", "unlabelled", "mIoU")
    assert [line.split(":")[0].strip() for line in by_drive(found, "unlabelled", "plain")] == [
        f"without {fold}" for fold in FOLDS]
    assert all("+" in line and "8 of 8" in line for line in by_drive(found, "unlabelled", "plain"))
    text = table(found, "pixels:1").splitlines()
    assert [line.split()[0] for line in text[2:11]] == [*map(str, range(8)), "mean"]


def test_the_pilots_best_trial_is_taken(study):
    with pytest.raises(ConfigError, match="run --pilot first"):
        best_trial(study, FOLDS, 0.9, needed=True)
    assert best_trial(study, FOLDS, 0.9, needed=False) == ""
    for trial, right in (("pixels:1", 60), ("holistic:3", 70), ("features:0.3", 65)):
        for fold in FOLDS:
            append(study.results, row(study, "adversary", trial, fold, PILOT_SEED, right))
    append(study.results, row(study, "adversary", "features:1", "a_", PILOT_SEED, 99))  # two of its folds are missing
    assert best_trial(study, FOLDS, 0.9, needed=True) == "holistic:3"
    assert best_trial(study, FOLDS, 0.7, needed=False) == ""  # that was another confidence
    told = pilot_table(study_of.piloted(study, pilot_runs(list(FORMS), FOLDS, 0.9))).splitlines()
    assert [line.split()[0] for line in told] == ["trial", "holistic:3", "features:0.3", "pixels:1"]
    assert told[1].split()[-2:] == ["0.600", "4"]


def test_every_form_is_tried_with_as_many_configurations(study):
    for form in FORMS:
        runs = pilot_runs([form], ("a_",), 0.9)
        assert list(runs)[:2] == ["plain", "unlabelled 0.9"]
        configs = [study.config(each[0]) for each in list(runs.values())[2:]]
        assert len({config.adversary for config in configs}) == len(study_of.FACTORS)
        assert {config.adversarial for config in configs} == {form}
    assert list(pilot_runs(["confidence"], ("a_",), 0.9)) == [
        "plain", "unlabelled 0.9", "unlabelled 0.7", "unlabelled 0.97"]
    with pytest.raises(ConfigError, match="did you mean 'pixels'"):
        pilot_runs(["pixel"], ("a_",), 0.9)
    with pytest.raises(ConfigError, match="expected FORM:FACTOR"):
        trial_of("pixels:much")


def test_boundaries_are_met_within_a_few_pixels():
    label = np.zeros((360, 480), np.uint8)
    label[:, 240:] = 1
    near, far = np.roll(label, 3, 1), np.roll(label, 30, 1)
    near[:, :3], far[:, :30] = 0, 0
    same = boundaries.count(label, label, 2, 255)
    assert same.tolist() == [[360, 360, 360, 360]] * 2
    assert boundaries.score(same) == 1.0
    assert boundaries.score(boundaries.count(label, near, 2, 255)) == 1.0
    assert boundaries.score(boundaries.count(label, far, 2, 255)) == 0.0
    label[:180] = 255
    assert boundaries.count(label, near, 2, 255).tolist() == [[179, 179, 179, 179]] * 2  # what borders on void is none
    assert np.isnan(boundaries.score(np.zeros((2, 4), np.int64)))
