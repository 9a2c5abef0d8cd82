import numpy as np
import pytest
import torch
from epee.train.losses import (
    boundaries,
    boundary_loss,
    class_weights,
    cross_entropy,
    distillation,
    pairwise,
)
from torch.nn import functional as F


def test_rare_classes_weigh_more():
    weights = class_weights(np.array([0.9, 0.09, 0.01]), 1.10)
    assert weights[0] < weights[1] < weights[2]
    assert weights.mean() == pytest.approx(1.0)


def test_no_floor_weighs_all_alike():
    assert class_weights(np.array([0.9, 0.09, 0.01]), 0).tolist() == [1.0, 1.0, 1.0]


def test_cross_entropy_is_torchs_on_the_chosen_grid():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 8, 12)
    labels = torch.randint(0, 3, (2, 16, 24))
    labels[0, :4] = 255
    weights = torch.tensor([0.5, 1.0, 2.0])
    for phase in ((0, 0), (0, 1), (1, 0), (1, 1)):
        grid = labels[:, phase[0]::2, phase[1]::2]
        expected = F.cross_entropy(logits, grid, weight=weights, ignore_index=255)
        assert cross_entropy(logits, labels, weights, 255, phase).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_batch_without_labels_costs_nothing_and_is_no_nan():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 16, 16), 255), torch.ones(3), 255, (0, 0))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(logits.grad).all()


def test_the_hardest_pixels_are_those_with_the_largest_loss():
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 3, 8, 8), torch.randint(0, 3, (1, 16, 16))
    labels[:, :4] = 255
    each = F.cross_entropy(logits, labels[:, ::2, ::2], ignore_index=255, reduction="none").flatten()
    expected = each.sort(descending=True).values[:12].mean()  # a quarter of 48 labelled ones
    assert cross_entropy(logits, labels, torch.ones(3), 255, (0, 0), 0.25).item() == pytest.approx(expected.item())


def test_boundaries_are_where_known_classes_meet():
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[:, :, 4:] = 1
    labels[:, 6:] = 255
    assert boundaries(labels, 255, (4, 4))[0, 0].tolist() == [[0, 0, 1, 0]] * 3 + [[0, 0, 0, 0]]


def test_boundaries_weigh_as_much_as_the_rest():
    target = torch.zeros(1, 1, 4, 4)
    target[..., 0, 0] = 1
    wrong_on_edges = boundary_loss(torch.full((1, 1, 4, 4), -9.0), target)
    wrong_elsewhere = boundary_loss(torch.full((1, 1, 4, 4), 9.0), target)
    assert wrong_on_edges.item() == pytest.approx(wrong_elsewhere.item(), rel=1e-5)


def test_distillation_is_zero_for_the_teachers_own_answer_and_the_divergence_else():
    torch.manual_seed(0)
    teacher, pupil = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    assert distillation(teacher, teacher, 2.0).item() == pytest.approx(0.0, abs=1e-6)
    expected = 4 * F.kl_div((pupil / 2).log_softmax(1), (teacher / 2).softmax(1), reduction="sum") / 32
    assert distillation(pupil, teacher, 2.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_pairwise_compares_likeness_not_features():
    torch.manual_seed(0)
    teacher = torch.randn(1, 6, 8, 8)
    turned = torch.einsum("ij,njhw->nihw", torch.linalg.qr(torch.randn(6, 6)).Q, teacher)
    assert pairwise(3 * turned, teacher).item() == pytest.approx(0.0, abs=1e-6)
    assert pairwise(torch.randn(1, 4, 8, 8), teacher).item() > 0.01
