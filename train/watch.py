"""Watches an adversarial training from step to step, and keeps a state that is worth going back to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..runtime.errors import DataError
from .health import Features, Health, Limits, diversity
from .state import PairState

KEEP_EVERY = 10
"""Good checks from one kept state to the next."""
REFERENCE = 512
"""Real pictures, at most, that diversity is compared with."""

Made = Callable[[nn.Module], Tensor]
"""What a generator makes of what is watched: (N, 3, H, W) float, -1 to 1."""


class Watch:
    """Follows one training's health.

    Args:
        state: as it begins, which is the first to go back to.
        limits: when it is ill.
        batch: pictures a step.
        real: (R, 3, H, W) float, -1 to 1: real pictures to compare diversity with.
        made: draws what is watched.
        real_labels, made_labels: (R,) and (N,) int64; pictures of one class are compared with each other. Or None.
        says_gap: whether a gap of scores means anything for this loss.

    Attributes:
        share: diversity of the generator at the last check, as a share of the real pictures'.
        good_step: step of the kept state.

    Raises:
        DataError: the pictures are all alike.
    """

    def __init__(self, state: PairState, limits: Limits, batch: int, real: Tensor, made: Made, *,
                 real_labels: Tensor | None = None, made_labels: Tensor | None = None, says_gap: bool = True) -> None:
        self._limits, self._batch, self._made, self._labels = limits, batch, made, made_labels
        self._features = Features().to(real.device)
        real_diversity = diversity(self._features(real), real_labels)
        if real_diversity < 1e-4:
            raise DataError("training pictures", got="pictures that are all alike", expected="different ones")
        self._health = Health(limits, real_diversity, says_gap)
        self.share, self._good_checks = 0.0, 0
        self._keep(state)

    @property
    def suspects(self) -> bool:
        """Whether the last check was bad: no time to overwrite a checkpoint."""
        return self._health.suspects

    @torch.no_grad()
    def share_of(self, generator: nn.Module) -> float:
        """Diversity of what it makes of what is watched, as a share of that of real pictures."""
        return diversity(self._features(self._made(generator)), self._labels) / self._health.real_diversity

    def step(self, state: PairState, values: dict[str, float]) -> str | None:
        """Takes what a step measured, and adds `diversity` where it is time for a check.

        Returns:
            A sentence where the training is ill, else None.
        """
        ill = self._health.step(values)
        if ill is not None or state.step % self._limits.every:
            return ill
        self.share = values["diversity"] = self.share_of(state.generator.network)
        ill, good = self._health.check(self.share, state.step * self._batch)
        if good:
            if self._good_checks % KEEP_EVERY == 0:
                self._keep(state)
            self._good_checks += 1
        return ill

    def recover(self, state: PairState, ill: str) -> str:
        """Goes back, with half the learning rate from then on; gives a sentence about it."""
        self.go_back(state)
        state.calm, state.rollbacks = state.calm / 2, state.rollbacks + 1
        return f"step {state.step}: {ill}; back to step {self.good_step}, learning rate times {state.calm:g}"

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
