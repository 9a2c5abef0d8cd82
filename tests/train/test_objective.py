import dataclasses

import pytest
import torch
from epee.runtime.errors import ConfigError
from epee.train.networks.segmenter import Segmenter, SegmenterConfig
from epee.train.objective import Objective, Terms

TINY = SegmenterConfig(classes=3, stem=8, quarter=8, eighth=8, sixteenth=8, dilations=(1,), decode8=8, decode4=8)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Segmenter(TINY)


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return torch.rand(2, 3, 64, 64), torch.randint(0, 3, (2, 4, 4)).repeat_interleave(16, 1).repeat_interleave(16, 2)


def test_without_further_terms_the_loss_is_cross_entropy(network, batch):
    assert Terms().heads(TINY) is None
    assert list(Objective(network, Terms(), torch.ones(3), 255)(*batch, (0, 0), False)) == ["cross_entropy"]


def test_each_term_reaches_the_network_and_its_head(network, batch):
    terms = Terms(auxiliary=0.4, boundary=0.5, pairwise=1.0)
    heads, teacher = terms.heads(TINY), Segmenter(dataclasses.replace(TINY, decode8=12)).eval()
    found = Objective(network, terms, torch.ones(3), 255, heads, teacher)(*batch, (0, 0), False)
    assert list(found) == ["cross_entropy", "auxiliary", "boundary", "distill", "pairwise"]
    for term in found.values():
        network.zero_grad()
        term.backward(retain_graph=True)
        assert network.stem[0].weight.grad.abs().sum() > 0
    assert all(p.grad is not None for p in heads.parameters())
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize("field", [{"hardest": 0.0}, {"hardest": 1.5}, {"temperature": 0.5}])
def test_weights_that_make_no_sense_are_refused(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        Terms(**field)
