"""Pictures without labels: how they are read and seen, and what is learned from them."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
import torch
from epee.runtime.cli import main
from epee.runtime.errors import ConfigError, DataError
from epee.runtime.manifest import Fit
from epee.train.augment import Augment
from epee.train.networks.segmenter import Segmenter, SegmenterConfig
from epee.train.presets.segment import SegmentConfig
from epee.train.pseudo import CELL, PseudoConfig, ask, pseudo_term, rectangle
from epee.train.segment import train_segment
from epee.train.unlabelled import Unlabelled, UnlabelledViews, Views, open_unlabelled

FIT = Fit("stretch", "linear")
TINY = SegmenterConfig(classes=3, stem=8, quarter=8, eighth=8, sixteenth=8, dilations=(1,), decode8=8, decode4=8)


@pytest.fixture
def folder(tmp_path):
    """Three pictures of 96x72, one of 200x100, one too small, a broken one, an empty one, and a text."""
    rng, root = np.random.default_rng(0), tmp_path / "pictures"
    (root / "deep").mkdir(parents=True)
    for name, (h, w) in {"a_0": (72, 96), "a_1": (72, 96), "deep/b_0": (72, 96), "wide": (100, 200),
                         "small": (20, 96)}.items():
        cv2.imwrite(str(root / f"{name}.png"), rng.integers(0, 256, (h, w, 3), np.uint8))
    (root / "broken.png").write_bytes((root / "a_0.png").read_bytes()[:40])
    (root / "empty.jpg").write_bytes(b"")
    (root / "readme.txt").write_text("no picture")
    return root


def test_what_cannot_be_used_is_named_counted_and_skipped(folder):
    found = open_unlabelled((str(folder),), (96, 72), FIT)
    assert found.names == ("a_0.png", "a_1.png", "deep/b_0.png", "wide.png")
    assert all(image.shape == (72, 96, 3) for image in found.images)  # another size is fitted
    reasons = dict(found.skipped)
    assert reasons == {"broken.png": "a broken or unknown file", "empty.jpg": "an empty file",
                       "small.png": "96x20, smaller than 32x32"}
    assert found.told().startswith("4 unlabelled pictures, 3 skipped (broken.png: a broken or unknown file, ")


def test_what_is_scored_on_is_not_learned_from(folder):
    found = open_unlabelled((str(folder),), (96, 72), FIT, left_out=("b_", "wide"))
    assert found.names == ("a_0.png", "a_1.png")
    assert {("deep/b_0.png", "left out"), ("wide.png", "left out")} <= set(found.skipped)


def test_folders_add_up(folder):
    assert len(open_unlabelled((str(folder), str(folder / "deep")), (96, 72), FIT)) == 5


@pytest.mark.parametrize(("name", "line"), [
    ("none", "pictures '.*none': got nothing there"),
    ("bare", r"pictures '.*bare': got 0 that can be used, expected 1 or more"),
    ("bad", r"got 0 that can be used and 1 that cannot \(broken.png: a broken or unknown file\)")])
def test_a_folder_without_pictures_is_one_clear_line(folder, name, line):
    (folder / "bare").mkdir()
    (folder / "bad").mkdir()
    (folder / "broken.png").rename(folder / "bad" / "broken.png")
    with pytest.raises(DataError, match=line):
        open_unlabelled((str(folder), str(folder / name)), (96, 72), FIT)


def test_the_command_says_how_many_pictures_it_has(folder, drives, tmp_path, capsys):
    words = ["train", "segment", "--data", str(drives), "--unlabelled", str(folder), "--preset", "nano", "--steps", "1",
             "--batch", "2", "--size", "96x72", "--out", str(tmp_path / "run"), "--json"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "4 unlabelled pictures, 3 skipped" in printed.err
    assert json.loads(printed.out)["unlabelled"] == {"pictures": 4, "skipped": 3}
    assert main([*words, "--resume", "--unlabelled", "elsewhere"]) == 1
    assert "--resume: unlabelled" in capsys.readouterr().err


@pytest.mark.parametrize("ahead", [False, True])
def test_views_are_by_step_and_show_the_same_part(ahead):
    images = tuple(np.full((72, 96, 3), 20 * i + 40, np.uint8) for i in range(5))
    how = Augment(scale=(0.5, 0.6), brightness=0.0)
    with UnlabelledViews(Unlabelled(images, ("",) * 5), 4, 7, how, ahead=ahead) as views:
        first, second = views(3), views(4)
        again = views(3)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.weak, second.weak)
    assert first.weak.shape == first.strong.shape == (4, 72, 96, 3)
    assert 0.2 < first.inside.mean() < 0.4  # half as large, there is a border
    assert set(np.unique(first.weak[~first.inside])) <= set(range(39, 123))
    assert not np.array_equal(first.weak, first.strong)


@pytest.fixture
def asked():
    """A network, a teacher that differs, and views of 4 random pictures, the last half outside."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    weak, strong = rng.integers(0, 256, (2, 4, 64, 96, 3), np.uint8)
    inside = np.ones((4, 64, 96), bool)
    inside[:, :, 48:] = False
    return Segmenter(TINY), Segmenter(TINY).eval(), Views(weak, strong, inside)


def test_the_teacher_is_asked_of_the_weak_view_and_learns_nothing(asked):
    network, teacher, views = asked
    config = PseudoConfig(confidence=0.0, cutmix=0.0)
    answers = ask(network, teacher, views, config, np.random.default_rng(0))
    with torch.no_grad():
        expected = teacher(torch.from_numpy(views.weak).permute(0, 3, 1, 2) / 255).softmax(1)
    assert torch.allclose(answers.told, expected, atol=0.02)
    assert answers.inside.float().mean() == 0.5
    term, share = pseudo_term(answers, torch.ones(3), config)
    assert share == 1.0
    term.backward()
    assert network.stem[0].weight.grad.abs().sum() > 0
    assert teacher.stem[0].weight.grad is None


def test_only_what_the_teacher_is_sure_of_counts(asked):
    network, teacher, views = asked
    with torch.no_grad():
        teacher.head.weight.mul_(4.0)
    answers = ask(network, teacher, views, PseudoConfig(cutmix=0.0), np.random.default_rng(0))
    shares = [pseudo_term(answers, torch.ones(3), PseudoConfig(confidence=c))[1] for c in (0.0, 0.6, 0.9, 0.9999999)]
    assert shares[0] == 1.0
    assert sorted(shares, reverse=True) == shares
    assert shares[-1] < 0.05
    once, twice = (pseudo_term(answers, torch.ones(3), PseudoConfig(confidence=0.0, weight=w))[0] for w in (1.0, 2.0))
    assert twice.item() == pytest.approx(2 * once.item())


def test_a_pasted_rectangle_brings_its_own_labels(asked):
    network, teacher, views = asked
    plain = ask(network, teacher, views, PseudoConfig(cutmix=0.0), np.random.default_rng(1))
    mixed = ask(network, teacher, views, PseudoConfig(cutmix=1.0), np.random.default_rng(1))
    pasted = (mixed.x != plain.x).any(1)
    assert 0.15 < pasted.float().mean() < 0.6
    assert torch.equal(mixed.x[1][:, pasted[1]], plain.x[0][:, pasted[1]])  # of the picture before it
    coarse = pasted[:, ::4, ::4]
    assert torch.equal(mixed.told[1][:, coarse[1]], plain.told[0][:, coarse[1]])
    assert torch.equal(mixed.told[1][:, ~coarse[1]], plain.told[1][:, ~coarse[1]])


def test_rectangles_lie_inside_on_the_grid():
    for seed in range(50):
        y0, y1, x0, x1 = rectangle(180, 240, np.random.default_rng(seed))
        assert 0 <= y0 < y1 <= 180
        assert 0 <= x0 < x1 <= 240
        assert y0 % CELL == x0 % CELL == 0
        assert 0.15 < (y1 - y0) * (x1 - x0) / (180 * 240) < 0.65


@pytest.mark.parametrize("field", [{"confidence": 1.0}, {"confidence": -0.1}, {"begin": 1.0}])
def test_settings_that_make_no_sense_are_refused(field):
    with pytest.raises(ConfigError, match=f"pseudo: {next(iter(field))}"):
        PseudoConfig(**field)


def test_a_training_takes_pseudo_labels_and_goes_on_as_if_uninterrupted(drives, tmp_path, interrupted):
    config = SegmentConfig(data=str(drives), size_wh=(96, 72), steps=10, batch=2, evaluations=1, warmup_steps=2,
                           network=dataclasses.replace(TINY, classes=2), leave_out=("c_",),
                           unlabelled=(str(drives.parent / "images"),), pseudo=PseudoConfig(confidence=0.0, begin=0.2))
    whole = train_segment(config, tmp_path / "whole", quiet=True)
    assert whole["unlabelled"] == {"pictures": 11, "skipped": 4}  # none of the drive that is scored on
    interrupted(config, tmp_path / "cut", 5)
    train_segment(config, tmp_path / "cut", resume=True, quiet=True)
    kept, resumed = ([json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
                     for name in ("whole", "cut"))
    assert ["pseudo" in line for line in kept[:10]] == [False] * 2 + [True] * 8
    assert all(line["pseudo_share"] == 1.0 for line in kept[2:10])
    for name in ("loss", "pseudo", "pseudo_share"):
        assert [line[name] for line in resumed[5:8]] == pytest.approx([line[name] for line in kept[5:8]], rel=1e-3)
