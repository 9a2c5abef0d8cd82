import numpy as np
import pytest
import torch
from epee.train.losses import class_weights, cross_entropy
from torch.nn import functional as F


def test_rare_classes_weigh_more():
    weights = class_weights(np.array([0.9, 0.09, 0.01]), 1.10)
    assert weights[0] < weights[1] < weights[2]
    assert weights.mean() == pytest.approx(1.0)


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
