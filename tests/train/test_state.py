import pytest
import torch
from epee.train.networks.discriminator import Discriminator, DiscriminatorConfig
from epee.train.networks.generator import Generator, GeneratorConfig
from epee.train.state import PairState, State
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


def pair():
    torch.manual_seed(0)
    networks = (Generator(GeneratorConfig(size=8, z=4, channels=(8, 6))),
                Discriminator(DiscriminatorConfig(size=8, channels=(8, 6))))
    return PairState.new(*(n.to(memory_format=torch.channels_last) for n in networks), 0.1, (0.5, 0.9))


def descend(state, seed):
    images = state.generator.network(torch.randn(3, 4, generator=torch.Generator().manual_seed(seed)))
    state.partner.network(images).square().sum().backward()
    for learner in (state.generator, state.partner):
        learner.optimizer.step()
        learner.optimizer.zero_grad()


def test_a_restored_pair_takes_the_very_step_that_the_saved_one_takes(tmp_path):
    """Moments have to lie in memory as their weights do: channels last, which a file does not keep."""
    saved, restored = pair(), pair()
    descend(saved, 1)
    saved.calm, saved.rollbacks = 0.5, 1
    saved.save(tmp_path / "last.safetensors", {"task": "generate"})
    assert restored.restore(tmp_path / "last.safetensors")["task"] == "generate"
    assert (restored.calm, restored.rollbacks) == (0.5, 1)
    for state in (saved, restored):
        descend(state, 2)
    after = restored.tensors()
    assert all(torch.equal(tensor, after[name]) for name, tensor in saved.tensors().items())


def test_what_was_put_back_is_not_changed_by_learning_on():
    state = pair()
    descend(state, 1)
    kept = {name: tensor.clone() for name, tensor in state.tensors().items()}
    before = {name: tensor.clone() for name, tensor in kept.items()}
    state.put_back(kept)
    descend(state, 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in kept.items())
