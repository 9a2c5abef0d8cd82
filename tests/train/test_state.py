import pytest
import torch
from epee.train.state import State
from torch import nn


@pytest.fixture
def state():
    torch.manual_seed(0)
    return State.new(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), 1e-3, 0.5)


def test_the_average_moves_towards_the_network_by_its_formula(state):
    old = {k: v.clone() for k, v in state.averaged.state_dict().items()}
    with torch.no_grad():
        for p in state.network.parameters():
            p += 1.0
        state.network[1].running_mean += 2.0
        state.network[1].num_batches_tracked += 5
    state.average(0.9)
    new, live = state.averaged.state_dict(), state.network.state_dict()
    for key in ("0.weight", "1.bias", "1.running_mean"):
        assert torch.allclose(new[key], 0.9 * old[key] + 0.1 * live[key], atol=1e-6)
    assert new["1.num_batches_tracked"] == 5


def test_only_kernels_decay(state):
    kernels, others = state.optimizer.param_groups
    assert [p.shape for p in kernels["params"]] == [(4, 3, 3, 3)]
    assert len(others["params"]) == 3
    assert (kernels["weight_decay"], others["weight_decay"]) == (0.5, 0.0)


def test_the_average_takes_no_part_in_training(state):
    assert not any(p.requires_grad for p in state.averaged.parameters())
    assert not state.averaged.training
