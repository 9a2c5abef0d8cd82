"""Watches a generator's training from step to step, and keeps a state that is worth going back to."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..runtime.errors import DataError
from .gan_losses import LOSSES
from .generate_presets import GenerateConfig
from .grids import fixed_latents, to_floats
from .health import Features, Health, diversity
from .pictures import Pictures
from .state import PairState

KEEP_EVERY = 10
"""Good checks from one kept state to the next."""
REFERENCE = 512
"""Real pictures that diversity is compared with."""


class Watch:
    """Follows one training's health.

    Args:
        config: of the training.
        pictures: the real ones.
        state: as it begins, which is the first to go back to.
        device: where to compute.

    Attributes:
        latents: those that are drawn again and again.
        share: diversity of the generator at the last check, as a share of the real pictures'.
        good_step: step of the kept state.

    Raises:
        DataError: the pictures are all alike.
    """

    def __init__(self, config: GenerateConfig, pictures: Pictures, state: PairState, device: torch.device) -> None:
        self.latents = fixed_latents(config.generator.z, config.generator.classes, device)
        self._config, self._features = config, Features().to(device)
        chosen = np.random.default_rng((config.seed, 1 << 22)).permutation(len(pictures))[:REFERENCE]
        labels = None if pictures.labels is None else torch.from_numpy(pictures.labels[chosen]).to(device)
        real = diversity(self._features(to_floats(pictures.batch(chosen), device)), labels)
        if real < 1e-4:
            raise DataError(f"pictures '{config.data}'", got="pictures that are all alike", expected="different ones")
        self._health = Health(config.limits, real, config.method == "gan" and LOSSES[config.loss].says_gap)
        self.share, self._good_checks = 0.0, 0
        self._keep(state)

    @property
    def suspects(self) -> bool:
        """Whether the last check was bad: no time to overwrite a checkpoint."""
        return self._health.suspects

    @torch.no_grad()
    def share_of(self, generator: nn.Module) -> float:
        """Diversity of what it makes of the fixed latents, as a share of that of real pictures."""
        made = generator(self.latents.z, self.latents.labels)
        return diversity(self._features(made), self.latents.labels) / self._health.real_diversity

    def step(self, state: PairState, values: dict[str, float]) -> str | None:
        """Takes what a step measured, and adds `diversity` where it is time for a check.

        Returns:
            A sentence where the training is ill, else None.
        """
        ill = self._health.step(values)
        if ill is not None or state.step % self._config.limits.every:
            return ill
        self.share = values["diversity"] = self.share_of(state.generator.network)
        ill, good = self._health.check(self.share, state.step * self._config.batch)
        if good:
            if self._good_checks % KEEP_EVERY == 0:
                self._keep(state)
            self._good_checks += 1
        return ill

    def go_back(self, state: PairState) -> None:
        """Puts back the kept weights and optimizers; steps and time go on counting."""
        state.put_back(self._good)
        self._health.recovered()

    def _keep(self, state: PairState) -> None:
        self._good: dict[str, Tensor] = {name: tensor.detach().clone() for name, tensor in state.tensors().items()}
        self.good_step = state.step


class Recent:
    """Running means of what steps measure, over about the last hundred."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def add(self, values: dict[str, float]) -> None:
        """Takes one step's values; one that is measured seldom counts as it comes."""
        for name, value in values.items():
            self._means[name] = value + 0.99 * (self._means.get(name, value) - value)

    def means(self) -> dict[str, float]:
        """By name, without diversity, which is reported for the averaged generator."""
        return {name: round(value, 5) for name, value in self._means.items() if name != "diversity"}
