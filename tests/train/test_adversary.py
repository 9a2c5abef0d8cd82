"""A discriminator beside a segmenter: its losses by their formulas, and what it changes in real trainings."""

import dataclasses
import json

import pytest
import torch
from epee.runtime.cli import main
from epee.runtime.errors import ConfigError, TrainingError
from epee.train import checkpoint
from epee.train.adversary import FORMS, Adversary, form_of
from epee.train.losses import feature_matching, pseudo_cross_entropy, soft_labels
from epee.train.networks.label_discriminator import LabelDiscriminator, LabelDiscriminatorConfig
from epee.train.networks.segmenter import Segmenter, SegmenterConfig
from epee.train.objective import Objective, Terms
from epee.train.presets.segment import SegmentConfig
from epee.train.pseudo import Answers, PseudoConfig
from epee.train.segment import train_segment
from torch.nn import functional as F

TINY = SegmenterConfig(classes=3, stem=8, quarter=8, eighth=8, sixteenth=8, dilations=(1,), decode8=8, decode4=8)
CPU = torch.device("cpu")


@pytest.fixture
def shown():
    """Gives a network and a function that shows its answers to an adversary, on 2 labelled and 2 other pictures."""
    torch.manual_seed(0)
    network, x = Segmenter(TINY), torch.rand(4, 3, 64, 64)
    labels = torch.randint(0, 3, (2, 4, 4)).repeat_interleave(16, 1).repeat_interleave(16, 2)
    labels[0, :16] = 255

    def show(adversary):
        seen, other = network.look(x[:2]), network(x[2:])
        answers = Answers(x[2:], other.detach().softmax(1).roll(1, 1), other, torch.ones(2, 16, 16, dtype=torch.bool))
        return adversary.show(x[:2], labels, 255, seen, network, answers)

    return network, show


def learn(adversary, seen, chance):
    """One step of the discriminator."""
    adversary.learner.optimizer.zero_grad()
    told = adversary.teach(seen, chance)
    adversary.learner.optimizer.step()
    return told


def test_soft_labels_are_shares_of_a_cell():
    labels = torch.tensor([[[0, 0, 1, 1], [0, 2, 255, 255], [255, 255, 2, 2], [255, 0, 2, 2]]])
    soft, known = soft_labels(labels, 255, 3, (2, 2))
    assert soft[0, :, 0, 0].tolist() == [0.75, 0.0, 0.25]
    assert soft[0, :, 0, 1].tolist() == [0.0, 1.0, 0.0]
    assert soft[0, :, 1, 0].tolist() == [1.0, 0.0, 0.0]
    assert known[0, 0].tolist() == [[True, True], [False, True]]


def test_pseudo_labels_count_only_where_they_are_trusted_but_are_divided_by_all():
    torch.manual_seed(0)
    logits, guesses = torch.randn(1, 3, 2, 4), torch.randint(0, 3, (1, 2, 4))
    weights, each = torch.tensor([1.0, 2.0, 0.5]), F.cross_entropy(logits, guesses, reduction="none")
    trusted = torch.tensor([[[True, True, False, False], [False] * 4]])
    counted = torch.tensor([[[True] * 4, [True, True, False, False]]])
    w = weights[guesses]
    expected = (w * each)[trusted].sum() / w[counted].sum()
    assert pseudo_cross_entropy(logits, guesses, trusted, counted, weights).item() == pytest.approx(expected.item())
    assert pseudo_cross_entropy(logits, guesses, ~counted, counted, weights).item() == 0.0


def test_feature_matching_is_the_mean_over_scales():
    assert feature_matching([torch.ones(1, 2, 2, 2), torch.zeros(1, 1, 1, 1)],
                            [torch.zeros(1, 2, 2, 2), torch.full((1, 1, 1, 1), 3.0)]).item() == 2.0


@pytest.mark.parametrize("form", FORMS)
def test_the_discriminator_changes_the_segmenters_gradients(shown, form):
    network, show = shown
    adversary = Adversary(FORMS[form], 3, CPU)
    terms = adversary.terms(show(adversary), 1.0, torch.ones(3))
    assert list(terms) == (["adversarial", "trusted"] if form == "pixels" else ["adversarial"])
    terms["adversarial"].backward()
    assert network.stem[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in adversary.network.parameters())  # it is not taught by the segmenter's loss
    assert all(p.requires_grad for p in adversary.network.parameters())


@pytest.mark.parametrize("form", FORMS)
def test_the_discriminator_learns_to_tell_labels_from_answers_and_leaves_the_segmenter_alone(shown, form):
    network, show = shown
    adversary = Adversary(dataclasses.replace(FORMS[form], learning_rate=3e-3), 3, CPU)
    with torch.no_grad():
        seen = show(adversary)
    chance = torch.Generator().manual_seed(0)
    course = [learn(adversary, seen, chance) for _ in range(60)]
    assert course[-1]["discriminator_accuracy"] > 0.9
    assert course[-1]["discriminator_loss"] < course[0]["discriminator_loss"]
    assert ("gradient_penalty" in course[0]) == (form == "holistic")
    assert all(p.grad is None for p in network.parameters())


def test_two_answers_that_are_alike_cannot_be_told_apart(shown):
    _, show = shown
    adversary = Adversary(FORMS["features"], 3, CPU)
    seen = show(adversary)
    alike = seen._replace(told=seen.said.detach())
    assert adversary.terms(alike, 1.0, torch.ones(3))["adversarial"].item() == pytest.approx(0.0, abs=1e-6)
    assert learn(adversary, alike, torch.Generator())["discriminator_accuracy"] == 0.0  # never higher


def test_void_is_shown_to_neither_side(shown):
    _, show = shown
    seen = show(Adversary(FORMS["features"], 3, CPU))
    void = seen.said[0, :, :4]
    assert not void.any()
    assert not seen.told[0, :, :4].any()
    assert seen.said[0, :, 5:].sum() > 0


@pytest.mark.parametrize("form", ["features", "pixels"])
def test_pictures_without_a_label_teach_the_discriminator_nothing(form):
    torch.manual_seed(0)
    network, adversary = Segmenter(TINY), Adversary(FORMS[form], 3, CPU)
    x, void = torch.rand(2, 3, 64, 64), torch.full((2, 64, 64), 255)
    seen = adversary.show(x, void, 255, network.look(x), network, None)
    assert learn(adversary, seen, torch.Generator()) == {}
    assert all(torch.isfinite(term) for term in adversary.terms(seen, 1.0, torch.ones(3)).values())


def test_scores_are_of_each_pixel_or_of_places():
    picture, classes = torch.rand(2, 3, 15, 18), torch.rand(2, 4, 15, 18).softmax(1)
    dense = LabelDiscriminator(LabelDiscriminatorConfig(4, dense=True))
    assert dense(picture, classes).shape == (2, 15, 18)
    scores, features = LabelDiscriminator(LabelDiscriminatorConfig(4, multiplied=True)).judged(picture, classes)
    assert scores.shape == (2, 4, 5)
    assert [f.shape[1:] for f in features] == [(16, 15, 18), (32, 8, 9), (64, 4, 5)]


def test_it_is_off_at_first_and_then_rises():
    config = dataclasses.replace(FORMS["pixels"], begin=0.5, ramp=0.2)
    assert [round(config.share(f), 6) for f in (0.0, 0.49, 0.5, 0.6, 0.7, 1.0)] == [-1.0, -1.0, 0.0, 0.5, 1.0, 1.0]


def test_forms_that_are_none_are_one_clear_line(capsys):
    with pytest.raises(ConfigError, match=r"form 'pixel'.*features, holistic, pixels.*did you mean 'pixels'"):
        form_of("pixel")
    assert main(["train", "segment", "--data", "synthetic:street", "--adversarial", "holistc", "--steps", "1"]) == 1
    assert "did you mean 'holistic'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def config(drives):
    """Twelve steps on labelled drives, with the pictures of val as unlabelled ones and every form possible."""
    return SegmentConfig(data=str(drives), size_wh=(96, 72), steps=12, batch=2, evaluations=1, warmup_steps=2,
                         network=dataclasses.replace(TINY, classes=2), unlabelled=(str(drives.parent / "images/val"),),
                         pseudo=PseudoConfig(confidence=0.3, begin=0.25))


def measured(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][:12]


@pytest.mark.parametrize("form", FORMS)
def test_a_training_switches_it_on_and_records_its_accuracy(config, form, tmp_path):
    adversary = dataclasses.replace(FORMS[form], begin=0.5)
    train_segment(dataclasses.replace(config, adversary=adversary), tmp_path, quiet=True)
    lines = measured(tmp_path)
    assert ["discriminator_accuracy" in line for line in lines] == [False] * 6 + [True] * 6
    assert all(0 <= line["discriminator_accuracy"] <= 1 for line in lines[6:])
    assert ["pseudo" in line for line in lines] == [False] * 3 + [True] * 9
    parts = ["cross_entropy", "pseudo", "adversarial"] + ["trusted"] * (form == "pixels")
    assert lines[-1]["loss"] == pytest.approx(sum(lines[-1][name] for name in parts), abs=1e-4)
    tensors, facts = checkpoint.read(tmp_path / "best.safetensors")
    assert not [name for name in tensors if name.startswith("partner")]
    assert facts["provenance"]["adversarial"] == form
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("discriminator_accuracy")] == list(range(7, 13))


def test_nothing_differs_until_it_is_switched_on_and_all_after(config, tmp_path):
    adversary = dataclasses.replace(FORMS["features"], begin=0.5, ramp=0.0)
    for name, each in (("without", config), ("with", dataclasses.replace(config, adversary=adversary))):
        train_segment(each, tmp_path / name, quiet=True)
    plain, taught = ([line["cross_entropy"] for line in measured(tmp_path / name)[3:]] for name in ("without", "with"))
    assert plain[:4] == pytest.approx(taught[:4], rel=1e-5)  # the seventh step is the first whose gradients differ
    assert plain[4:] != pytest.approx(taught[4:], rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_resumed_run_goes_on_as_if_uninterrupted(config, form, tmp_path, interrupted):
    whole = dataclasses.replace(config, adversary=dataclasses.replace(FORMS[form], begin=0.25))
    train_segment(whole, tmp_path / "whole", quiet=True)
    interrupted(whole, tmp_path / "cut", 6)
    train_segment(whole, tmp_path / "cut", resume=True, quiet=True)
    kept, resumed = measured(tmp_path / "whole"), measured(tmp_path / "cut")
    names = ("loss", "pseudo", "adversarial", "discriminator_loss", "discriminator_accuracy")
    for name in names:
        assert [line[name] for line in resumed[6:9]] == pytest.approx([line[name] for line in kept[6:9]], rel=1e-3)


def test_another_form_does_not_go_on_with_a_run(config, tmp_path, interrupted):
    interrupted(dataclasses.replace(config, adversary=FORMS["features"]), tmp_path, 3)
    with pytest.raises(TrainingError, match="does not fit this training"):
        train_segment(dataclasses.replace(config, adversary=FORMS["pixels"]), tmp_path, resume=True, quiet=True)


def test_without_a_discriminator_the_objective_is_what_it_was(shown):
    network, _ = shown
    x, labels = torch.rand(2, 3, 64, 64), torch.randint(0, 3, (2, 64, 64))
    objective = Objective(network, Terms(), torch.ones(3), 255)
    asked = objective.terms_of(objective.look(x, False), x, labels, (0, 0), False)
    assert asked["cross_entropy"].item() == pytest.approx(objective(x, labels, (0, 0), False)["cross_entropy"].item())
