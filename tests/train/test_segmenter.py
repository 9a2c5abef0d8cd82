import pytest
import torch
from epee.train.networks.segmenter import Segmenter, SegmenterConfig
from epee.train.presets.segment import NETWORKS

SIZES = {"nano": 1_500_000, "small": 1_500_000, "teacher": 5_000_000}


@pytest.mark.parametrize("preset", NETWORKS)
def test_presets_stay_within_their_size(preset):
    assert sum(p.numel() for p in Segmenter(NETWORKS[preset]).parameters()) <= SIZES[preset]


@pytest.mark.parametrize("size_hw", [(32, 32), (72, 96), (90, 122), (45, 61)])
def test_any_size_gives_logits_at_a_quarter(size_hw):
    network = Segmenter(SegmenterConfig(classes=5, stem=8, quarter=8, eighth=8, sixteenth=8, dilations=(1, 2),
                                        decode8=8, decode4=8))
    logits = network.eval()(torch.rand(2, 3, *size_hw))
    assert logits.shape == (2, 5, -(-size_hw[0] // 4), -(-size_hw[1] // 4))


def test_every_parameter_learns():
    network = Segmenter(SegmenterConfig(classes=5, stem=8, quarter=8, eighth=8, sixteenth=8, dilations=(1, 2),
                                        decode8=8, decode4=8))
    for _ in range(2):  # residual branches start at zero, so their inner weights get a gradient from the second step on
        for p in network.parameters():
            p.grad = None
        network(torch.rand(2, 3, 64, 64)).square().mean().backward()
        with torch.no_grad():
            for p in network.parameters():
                p -= 0.1 * p.grad
    dead = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


@pytest.mark.parametrize("size_hw", [(32, 32), (90, 122), (45, 61)])
def test_a_finer_decoder_answers_at_a_half(size_hw):
    network = Segmenter(SegmenterConfig(classes=5, stem=8, quarter=8, eighth=8, sixteenth=8, dilations=(1,),
                                        decode8=8, decode4=8, decode2=4))
    seen = network.eval().look(torch.rand(1, 3, *size_hw))
    half = (-(-size_hw[0] // 2), -(-size_hw[1] // 2))
    assert seen.logits.shape == (1, 5, *half)
    assert seen.detail.shape == (1, 4, *half)
