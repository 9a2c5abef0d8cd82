"""Scores a generator while it trains: what `train_generate` takes as `score`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..runtime.errors import TrainingError
from ..runtime.quality.scoring import Judge
from .generate import Score
from .grids import to_bytes
from .networks.generator import Generator

SAMPLES, BATCH = 2_000, 250


def scoring(judge: Judge, count: int = SAMPLES, seed: int = 0) -> Score:
    """Gives a function from a generator to its scores by name.

    Args:
        judge: with the real pictures.
        count: pictures to generate each time, from the same latents.
        seed: of the latents.
    """
    def score(generator: nn.Module) -> dict[str, float]:
        found = judge(pictures_of(generator, count, seed))
        scores = {found.kid_name: found.kid.value, f"{found.kid_name}-se": found.kid.se,
                  "precision": found.precision, "recall": found.recall}
        return scores if found.fd_name is None or found.fd is None else {**scores, found.fd_name: found.fd}

    return score


@torch.inference_mode()
def pictures_of(generator: nn.Module, count: int, seed: int = 0, batch: int = BATCH) -> NDArray[np.uint8]:
    """(count, H, W, 3) uint8, BGR: what a Generator in eval mode makes, its classes in turn.

    Args:
        generator: a Generator.
        count: how many.
        seed: of the latents, standard normal.
        batch: how many at once.

    Raises:
        TrainingError: another network.
    """
    if not isinstance(generator, Generator):
        raise TrainingError("network to score", got=type(generator).__name__, expected="a Generator")
    config, device = generator.config, next(generator.parameters()).device
    rng, parts = np.random.default_rng(seed), []
    for start in range(0, count, batch):
        n = min(batch, count - start)
        z = torch.from_numpy(rng.standard_normal((n, config.z)).astype(np.float32)).to(device)
        label = (start + torch.arange(n, device=device)) % config.classes if config.classes else None
        parts.append(to_bytes(generator(z, label)))
    return np.concatenate(parts)
