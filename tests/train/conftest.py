"""Pictures that a tiny generator learns in a second, and a training that is interrupted."""

import dataclasses
import os
import signal

import numpy as np
import pytest
from epee.runtime.picture_sets import ArrayPictures
from epee.train.diffaug import DiffAugment
from epee.train.health import Limits
from epee.train.networks.discriminator import DiscriminatorConfig
from epee.train.networks.generator import GeneratorConfig
from epee.train.presets.generate import GenerateConfig


@pytest.fixture(scope="session")
def squares():
    """128 pictures of 8x8: a blue, green or red square, the class, anywhere on light grey."""
    rng = np.random.default_rng(0)
    images, labels = np.full((128, 8, 8, 3), 200, np.uint8), rng.integers(0, 3, 128)
    for image, label in zip(images, labels, strict=True):
        y, x = rng.integers(0, 5, 2)
        image[y:y + 4, x:x + 4] = 20
        image[y:y + 4, x:x + 4, label] = 230
    return ArrayPictures(images, labels, ("blue", "green", "red"))


@pytest.fixture(scope="session")
def tiny():
    """Makes a GenerateConfig for them; any field can be replaced."""
    config = GenerateConfig(
        data="squares", classes=True, size=8, steps=80, batch=16, rate_first=2e-3, rate_last=5e-4, grids=4,
        generator=GeneratorConfig(z=8, label=4, channels=(32, 16), convolutions=(1, 1)),
        discriminator=DiscriminatorConfig(channels=(32, 16), convolutions=(1, 1)),
        augment=DiffAugment(cutout=0.0), limits=Limits(every=5, grace_images=400))

    def make(**fields):
        if fields.keys() & {"minutes", "images"}:
            fields = {"steps": None, **fields}
        return dataclasses.replace(config, **fields)

    return make


@pytest.fixture
def interrupted(monkeypatch):
    """Trains a segmenter until Ctrl-C comes during step `at`."""
    from epee.train import segment

    def train(config, run, at):
        real, count = segment.train_step, 0

        def stopping(*args):
            nonlocal count
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGINT)
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(segment, "train_step", stopping)
            with pytest.raises(KeyboardInterrupt):
                segment.train_segment(config, run, quiet=True)

    return train
