"""Where latents come from: chance, by fixed seeds. The standard normal distribution is all that a generator is ever
given, so drawn latents are its real inputs, and no picture of the training is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..runtime.errors import ConfigError
from .samples import Asked, Calibration, Sample, digest_of
from .tensors import LABEL, LATENT, TRUNCATION

GOLDENS, PARITY, HELD_OUT = 8, 64, 128
"""How many there are of each."""
SEEDS = {"goldens": 1, "parity": 2, "held out": 3, "calibration": 4}
"""Streams of chance that share nothing."""
TRUNCATED, TRUNCATED_EVERY = 0.7, 4
"""A golden in so many is truncated to this; all other samples are drawn in full: a shorter latent lies in between."""


@dataclass(frozen=True)
class LatentSupply:
    """See `samples.Supply`. Labels are taken in turn, so that all of them are among as many samples.

    Attributes:
        z: length of the latent.
        classes: how many there are; 0 for a generator without labels.
    """

    z: int
    classes: int

    def goldens(self) -> list[Sample]:
        """Drawn latents, some of them truncated."""
        short = np.float32(TRUNCATED)
        return [{**sample, TRUNCATION: np.full(1, short)} if i % TRUNCATED_EVERY == TRUNCATED_EVERY - 1 else sample
                for i, sample in enumerate(self.drawn("goldens", GOLDENS))]

    def parity(self, data: str | None) -> tuple[list[Sample], str]:
        """Drawn latents; there is no other data."""
        return self.drawn("parity", max(PARITY, self.classes)), "drawn latents"

    def held_out(self, data: str | None) -> tuple[list[Sample], str] | None:
        """Drawn latents."""
        return self.drawn("held out", HELD_OUT), "drawn latents"

    def calibration(self, text: str, count: int, hold_back: bool) -> Calibration:
        """Drawn latents of all classes."""
        used = self.drawn("calibration", max(count, self.classes))
        return Calibration(f"latents drawn by seed {SEEDS['calibration']}", tuple(str(i) for i in range(len(used))),
                           tuple(used), (), digest_of(used))

    def drawn(self, what: str, count: int) -> list[Sample]:
        """Samples of one of SEEDS, in full."""
        z = np.random.default_rng(SEEDS[what]).standard_normal((count, 1, self.z)).astype(np.float32)
        full = np.ones(1, np.float32)
        labels = [{LABEL: np.array([i % self.classes], np.int64)} if self.classes else {} for i in range(count)]
        return [{LATENT: z[i], **labels[i], TRUNCATION: full} for i in range(count)]


def check(asked: Asked) -> None:
    """Raises ConfigError where pictures are named for a network that takes none."""
    for option, value in (("--calibration", asked.calibration), ("--data", asked.data)):
        if value is not None:
            raise ConfigError(f"{option} of a generator", got=f"'{value}'", expected="nothing",
                              do="leave it out: ranges and parity come from drawn latents, its real inputs")
