from dataclasses import replace

import pytest
import torch
from epee.runtime.errors import ConfigError
from epee.train.networks.discriminator import Discriminator, DiscriminatorConfig, Encoder
from epee.train.networks.generator import Generator, GeneratorConfig
from epee.train.presets.generate import networks_of

TINY = {"channels": (12, 8, 6, 4), "convolutions": (2, 1, 1, 1)}


@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("classes", [0, 3])
def test_shapes_and_range(size, classes):
    generator = Generator(GeneratorConfig(size=size, z=5, classes=classes, **TINY))
    judge = Discriminator(DiscriminatorConfig(size=size, classes=classes, **TINY))
    labels = torch.tensor([0, 2]) if classes else None
    images = generator(5.0 * torch.randn(2, 5), labels)
    assert images.shape == (2, 3, size, size)
    assert images.abs().max() <= 1.0
    assert judge(images, labels).shape == (2,)
    assert [t.shape for t in Encoder(DiscriminatorConfig(size=size, **TINY), 5)(images)] == [(2, 5)] * 2


def test_a_picture_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(classes=3, **TINY)).double()
    z, labels = torch.randn(4, 64, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    assert torch.allclose(generator(z, labels)[2:3], generator(z[2:3], labels[2:3]))


def test_labels_matter_on_both_sides():
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(classes=3, **TINY))
    judge = Discriminator(DiscriminatorConfig(classes=3, **TINY))
    z, zero, one = torch.randn(1, 64), torch.tensor([0]), torch.tensor([1])
    images = generator(z, zero)
    assert not torch.equal(images, generator(z, one))
    assert not torch.equal(judge(images, zero), judge(images, one))


@pytest.mark.parametrize("size", [32, 64])
def test_nano_is_of_about_a_million_parameters(size):
    generator, judge = networks_of("nano", size)
    for network in (Generator(replace(generator, size=size)), Discriminator(replace(judge, size=size))):
        assert 0.7e6 < sum(p.numel() for p in network.parameters()) < 1.1e6


def test_a_network_with_too_few_stages_is_refused():
    with pytest.raises(ConfigError, match=r"network for 64x64: .*expected 5 of each"):
        Generator(GeneratorConfig(size=64, **TINY))


def test_it_exports_as_it_stands():
    generator = Generator(GeneratorConfig(classes=3, **TINY)).eval()
    example = (torch.randn(2, 64), torch.tensor([0, 2]))
    exported = torch.export.export(generator, example).module()
    assert torch.allclose(exported(*example), generator(*example), atol=1e-6)
