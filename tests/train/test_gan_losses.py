import math

import pytest
import torch
from epee.train.gan_losses import LOSSES, between, one_centred, zero_centred
from epee.train.losses import evidence
from epee.train.networks.discriminator import Discriminator, DiscriminatorConfig

REAL, FAKE = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.0])


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def mean(of):
    return sum(of(r, f) for r, f in zip(REAL.tolist(), FAKE.tolist(), strict=True)) / 2


FORMULAS = {
    "relativistic": (lambda r, f: -math.log(sigmoid(r - f)), lambda r, f: -math.log(sigmoid(f - r))),
    "minimax": (lambda r, f: -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)), lambda r, f: math.log(1 - sigmoid(f))),
    "nonsaturating": (lambda r, f: -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)),
                      lambda r, f: -math.log(sigmoid(f))),
    "hinge": (lambda r, f: max(0.0, 1 - r) + max(0.0, 1 + f), lambda r, f: -f),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_their_formulas(name):
    of_discriminator, of_generator = FORMULAS[name]
    assert LOSSES[name].discriminator(REAL, FAKE).item() == pytest.approx(mean(of_discriminator), rel=1e-5)
    assert LOSSES[name].generator(REAL, FAKE).item() == pytest.approx(mean(of_generator), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_the_two_pull_the_fake_score_apart(name):
    fake = torch.tensor([0.3], requires_grad=True)
    real = torch.tensor([0.4])
    (down,) = torch.autograd.grad(LOSSES[name].discriminator(real, fake), fake)
    (up,) = torch.autograd.grad(LOSSES[name].generator(real, fake), fake)
    assert down.item() > 0 > up.item()


@pytest.mark.parametrize("penalty", [zero_centred, one_centred])
def test_the_gradient_of_a_penalty_is_that_of_finite_differences(penalty):
    """The double backward through convolutions, pooling and the projection, in float64."""
    torch.manual_seed(0)
    judge = Discriminator(DiscriminatorConfig(size=8, classes=3, channels=(6, 4), convolutions=(2, 1))).double()
    for p in judge.parameters():
        torch.nn.init.normal_(p, std=0.4)
    images, labels = torch.rand(3, 3, 8, 8, dtype=torch.float64) * 2 - 1, torch.tensor([0, 2, 1])

    def value():
        x = images.clone().requires_grad_()
        features = judge.trunk(x)
        scores = judge.score(features).squeeze(1) + (features * judge.embedding(labels)).sum(1)
        (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        norms = gradient.flatten(1).square().sum(1)
        return (norms if penalty is zero_centred else (norms.sqrt() - 1.0).square()).mean()

    x = images.clone().requires_grad_()
    measured = penalty(judge(x, labels), x)
    measured.backward()
    assert measured.item() == pytest.approx(value().item(), rel=1e-6)
    step = 1e-6
    for p in (judge.trunk.first.weight, judge.trunk.blocks[1].convolutions[0].weight, judge.embedding.weight):
        direction = torch.randn_like(p)
        with torch.no_grad():
            p += step * direction
        above = value().item()
        with torch.no_grad():
            p -= 2 * step * direction
        below = value().item()
        with torch.no_grad():
            p += step * direction
        assert (p.grad * direction).sum().item() == pytest.approx((above - below) / (2 * step), rel=1e-4)


def test_zero_centred_is_the_squared_slope_of_a_line():
    x = torch.rand(4, 3, 2, 2, requires_grad=True)
    assert zero_centred((x * 0.5).flatten(1).sum(1), x).item() == pytest.approx(12 * 0.25)


def test_points_between_lie_on_the_line_and_are_leaves():
    real, fake = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    middle = between(real, fake, torch.tensor([0.25, 1.0]))
    assert middle.is_leaf
    assert middle.requires_grad
    assert middle[:, 0, 0, 0].tolist() == [0.25, 1.0]


def test_evidence_of_a_standard_normal_code_diverges_by_nothing():
    images, zeros = torch.zeros(2, 3, 4, 4), torch.zeros(2, 5)
    reconstruction, divergence = evidence(images + 0.1, images, zeros, zeros)
    assert divergence.item() == 0.0
    assert reconstruction.item() == pytest.approx(24 * math.log(0.01), rel=1e-4)
    assert evidence(images, images, zeros + 1.0, zeros)[1].item() == pytest.approx(2.5)
