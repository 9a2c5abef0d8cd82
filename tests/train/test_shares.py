"""Batches in parts: who computes which, and what stays of the parts."""

import sys

import pytest
import torch
from epee.runtime.cli import main
from epee.runtime.errors import ConfigError
from epee.train.processes import Processes, alone
from epee.train.shares import Gathered, Share, digest, mean_values, share_of
from torch import nn

CPU = torch.device("cpu")


@pytest.fixture
def four(monkeypatch):
    """As if torchrun had started this process and three others."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("WORLD_SIZE", "4")


def test_parts_are_counted_over_all_processes():
    assert share_of(8, 1, alone()) == Share(1, range(1), 8)
    assert [share_of(8, 2, Processes(rank, 2, CPU)).slots for rank in (0, 1)] == [range(4), range(4, 8)]
    second = share_of(8, 4, Processes(1, 2, CPU))
    assert (second.mine, second.slots) == (range(2, 4), range(4, 8))
    assert [second.cut(part) for part in second.mine] == [slice(0, 2), slice(2, 4)]
    assert share_of(8, 2, Processes(3, 4, CPU)).slots == range(6, 8)  # at least a part a process


@pytest.mark.parametrize(("batch", "accumulate", "count", "line"), [
    (8, 3, 1, r"--batch: got 8 pictures in 3 parts, expected a multiple of 3; name another --batch or --accumulate"),
    (6, 1, 4, r"--batch: got 6 pictures in 4 parts, expected a multiple of 4"),
    (12, 3, 2, r"--accumulate: got 3 parts for 2 processes, expected a multiple of 2")])
def test_what_cannot_be_divided_is_one_clear_line(batch, accumulate, count, line):
    with pytest.raises(ConfigError, match=line):
        share_of(batch, accumulate, Processes(0, count, CPU))


def test_gradients_and_running_statistics_are_means_over_the_parts():
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), torch.randn(6, 3, 5, 5)
    parts = []
    for part in x.split(2):
        one = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        one.load_state_dict(network.state_dict())
        one(part).square().sum().mul(1 / 3).backward()
        parts.append(one)
    gathered = Gathered([network], Share(3, range(3), 2), alone())
    for part in x.split(2):
        network(part).square().sum().mul(1 / 3).backward()
        gathered.end_part()
    gathered.end_step()
    for name in ("running_mean", "running_var"):
        expected = torch.stack([getattr(one[1], name) for one in parts]).mean(0)
        assert torch.allclose(getattr(network[1], name), expected, atol=1e-6)
    assert torch.allclose(network[0].weight.grad, sum(one[0].weight.grad for one in parts), atol=1e-5)


def test_values_are_means_over_those_that_tell_them():
    assert mean_values([{"loss": 1.0}, {"loss": 2.0, "accuracy": 0.5}]) == {"loss": 1.5, "accuracy": 0.5}


def test_a_digest_knows_every_weight_and_fact():
    network = nn.Linear(3, 2)
    before = digest(network, 5)
    assert before == digest(network, 5) != digest(network, 6)
    with torch.no_grad():
        network.bias[1] += 1e-6
    assert digest(network, 5) != before


def test_other_tasks_are_not_started_by_several(four, capsys):
    assert main(["train", "generate", "--data", "pictures"]) == 1
    assert "train generate: got 4 processes by torchrun, expected one" in capsys.readouterr().err


def test_a_missing_extra_names_its_line(four, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    assert main(["train", "segment", "--data", "synthetic:street", "--steps", "1"]) == 1
    assert "pip install 'epee[distributed]'" in capsys.readouterr().err
