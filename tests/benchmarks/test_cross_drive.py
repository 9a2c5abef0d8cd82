"""The study of recipes on drives that were left out, on a tiny data set."""

import dataclasses

import pytest
from epee.benchmarks.studies import cross_drive
from epee.benchmarks.studies.cross_drive import Study, table
from epee.benchmarks.studies.ledger import lines, pooled
from epee.train.presets.segment import NETWORKS
from epee.train.splits import open_splits

FOLDS = ("a_", "b_", "c_")


@pytest.fixture
def study(drives, tmp_path, monkeypatch):
    tiny = {"stem": 8, "quarter": 8, "eighth": 8, "sixteenth": 8, "dilations": (1,), "decode8": 8, "decode4": 8}
    for preset in ("small", "teacher"):
        monkeypatch.setitem(NETWORKS, preset, dataclasses.replace(NETWORKS[preset], eighth_blocks=1, **tiny))
    return Study(str(drives), tmp_path / "runs", tmp_path / "results.jsonl", (64, 48), 2, 0)


def test_every_recipe_is_a_configuration(study):
    for recipe in cross_drive.TRIED:
        assert study.config(recipe, "a_").leave_out == ("a_",)


def test_folds_are_pooled_and_nothing_is_run_twice(study, monkeypatch):
    for fold in FOLDS:
        study.run("distill", fold)
    rows = lines(study.results)
    assert [(row["recipe"], row["fold"]) for row in rows] == [(r, f) for f in FOLDS for r in ("teacher", "distill")]
    assert rows[1]["minutes"] >= rows[0]["minutes"]  # the teacher's count
    counted = pooled(rows[1::2]).matrix.sum()
    scored = open_splits(study.config("distill", "a_")).scored
    assert counted == 3 * len(scored) * scored[0][1].size
    monkeypatch.setattr(cross_drive, "train_segment", None)
    assert study.run("distill", "a_") == rows[1]
    assert [line.split()[0] for line in table(study, FOLDS).splitlines()[1:]] in (["teacher", "distill"],
                                                                                  ["distill", "teacher"])


def test_without_all_folds_a_recipe_is_not_compared(study):
    assert table(study, FOLDS) == "no recipe has all its folds yet"
