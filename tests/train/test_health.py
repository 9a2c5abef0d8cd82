import math

import pytest
import torch
from epee.train.health import Features, Health, Limits, diversity

LIMITS = Limits(patience=3, grace_images=1000)


def step(gap):
    return {"real_score": gap, "fake_score": 0.0}


def test_a_number_that_is_none_is_told_at_once():
    health = Health(LIMITS, 1.0, True)
    assert health.step({"generator_loss": 1.0}) is None
    assert health.step({"generator_loss": math.nan}) == "diverged: generator loss became nan"


def test_one_bad_check_is_noise_and_some_in_a_row_a_collapse():
    health = Health(LIMITS, 1.0, True)
    checks = [health.check(share, 2000) for share in (0.9, 0.1, 0.1, 0.9, 0.1, 0.1)]
    assert [ill for ill, _ in checks] == [None] * 6
    assert [good for _, good in checks] == [True, False, False, True, False, False]
    assert health.suspects
    assert "collapsed: generated pictures differ 0.05 times as much as real ones" in health.check(0.05, 2000)[0]
    health.recovered()
    assert not health.suspects
    assert health.check(0.05, 2000)[0] is None


def test_nothing_is_held_against_the_first_pictures():
    health = Health(LIMITS, 1.0, True)
    assert [health.check(0.0, 999)[0] for _ in range(9)] == [None] * 9


@pytest.mark.parametrize(("says_gap", "told"), [(True, True), (False, False)])
def test_a_certain_discriminator_is_told_where_scores_have_a_scale(says_gap, told):
    health, ill = Health(LIMITS, 1.0, says_gap), None
    for _ in range(3):
        health.step(step(50.0))
        ill, good = health.check(1.0, 2000)
        assert good is not told
    assert (ill is not None and "real and fake scores lie 50.0 apart" in ill) is told


def test_diversity_is_none_for_one_picture_again_and_again_and_looks_within_classes():
    features = Features()
    one = torch.rand(1, 3, 16, 16) * 2 - 1
    assert diversity(features(one.repeat(6, 1, 1, 1)), None) == pytest.approx(0.0, abs=1e-5)
    two = torch.cat([one.repeat(3, 1, 1, 1), -one.repeat(3, 1, 1, 1)])
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    assert diversity(features(two), labels) == pytest.approx(0.0, abs=1e-5)
    assert diversity(features(two), None) > 0.1


def test_the_feature_space_is_the_same_in_every_run():
    torch.manual_seed(1)
    first = Features()
    torch.manual_seed(2)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(first(images), Features()(images))
    assert first(images).shape == (2, 704)
