"""Whether an adversarial training is well: what is measured, the limits, and the words.

Recognised are a divergence (a number that is none, a discriminator that is certain of everything) and a collapse (the
generator draws one picture whatever the latent). A loss of some modes is none of these: scores tell that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Limits:
    """When a training is ill.

    Attributes:
        every: steps between two checks; one costs about as much as half a step.
        patience: checks in a row that must be bad: a single bad one is noise.
        grace_images: pictures seen before which nothing but numbers that are none is held against it: without a
            history Adam's first steps are the largest, and networks swing.
        diversity: least mean distance between two generated pictures of a class, as a share of that between two real
            ones. Healthy runs stay above 0.5 from their first thousands of pictures on; a collapse goes to 0.0 to 0.1.
        gap: largest mean distance of real from fake scores. A loss of logistic form has no gradient left for one of
            the two beyond (e^-20 = 2e-9); healthy runs lie between 0 and 5.
        good: a state is kept to go back to where diversity is above `good` times its limit and the gap below its
            limit divided by `good`.
        rollbacks: how many times a training goes back, each time with half the learning rate, before it is given up.
    """

    every: int = 20
    patience: int = 5
    grace_images: int = 10_000
    diversity: float = 0.2
    gap: float = 20.0
    good: float = 2.0
    rollbacks: int = 2


class Health:
    """Follows one training.

    Args:
        limits: when it is ill.
        real_diversity: `diversity` of real pictures.
        says_gap: whether a gap of scores means anything for this loss.
    """

    def __init__(self, limits: Limits, real_diversity: float, says_gap: bool) -> None:
        self.limits, self.real_diversity, self.says_gap = limits, real_diversity, says_gap
        self._bad = {"diversity": 0, "gap": 0}
        self._gaps: list[float] = []

    @property
    def suspects(self) -> bool:
        """Whether the last check was bad."""
        return any(self._bad.values())

    def step(self, values: Mapping[str, float]) -> str | None:
        """Takes what a step measured. Gives a sentence where a number is none, else None."""
        for name, value in values.items():
            if not math.isfinite(value):
                return f"diverged: {name.replace('_', ' ')} became {value}"
        if self.says_gap and "real_score" in values:
            self._gaps.append(values["real_score"] - values["fake_score"])
        return None

    def check(self, share: float, images: int) -> tuple[str | None, bool]:
        """Takes a check's measure of diversity.

        Args:
            share: diversity of generated pictures over that of real ones.
            images: pictures seen so far.

        Returns:
            A sentence where it is ill, else None; and whether the state is worth going back to.
        """
        limits, gap = self.limits, sum(self._gaps) / max(1, len(self._gaps))
        self._gaps.clear()
        if images < limits.grace_images:
            return None, False
        self._bad["diversity"] = self._bad["diversity"] + 1 if share < limits.diversity else 0
        self._bad["gap"] = self._bad["gap"] + 1 if gap > limits.gap else 0
        if self._bad["diversity"] >= limits.patience:
            return (f"collapsed: generated pictures differ {share:.2f} times as much as real ones, "
                    f"below {limits.diversity} at {limits.patience} checks in a row"), False
        if self._bad["gap"] >= limits.patience:
            return (f"diverged: real and fake scores lie {gap:.1f} apart, above {limits.gap:g} at {limits.patience} "
                    "checks in a row, and the generator learns nothing any more"), False
        return None, share > limits.good * limits.diversity and gap < limits.gap / limits.good

    def recovered(self) -> None:
        """Forgets what was bad; called after going back."""
        self._bad = dict.fromkeys(self._bad, 0)
        self._gaps.clear()


class Features(nn.Module):
    """A fixed feature space for distances: coarse pixels beside random convolutions, the same in every run.

    Random filters see edges and texture and need no weights from elsewhere; coarse pixels see colour and layout.

    Input: (N, 3, H, W) float, -1 to 1, H = W and 8 or more.
    Output: (N, 192 + 512) float32, both parts of about the same scale.
    """

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        for name, shape in (("first", (16, 3, 3, 3)), ("second", (32, 16, 3, 3))):
            kernel = torch.randn(shape, generator=draw)
            self.register_buffer(name, kernel * math.sqrt(2.0 / kernel[0].numel()))

    def forward(self, images: Tensor) -> Tensor:
        x = images.float()
        coarse = F.adaptive_avg_pool2d(x, 8).flatten(1) / math.sqrt(192)
        x = F.avg_pool2d(F.relu(F.conv2d(x, self.get_buffer("first"), padding=1)), 2)
        x = F.adaptive_avg_pool2d(F.relu(F.conv2d(x, self.get_buffer("second"), padding=1)), 4).flatten(1)
        return torch.cat([coarse, x / math.sqrt(512)], 1)


def diversity(features: Tensor, labels: Tensor | None) -> float:
    """Mean distance between two pictures (of the same class where there are labels), in `Features`.

    Args:
        features: (N, F) float, N being 2 or more.
        labels: (N,) int64, or None.
    """
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    pairs = ~torch.eye(len(features), dtype=torch.bool, device=features.device)
    if labels is not None:
        pairs &= labels[:, None] == labels[None, :]
    return float(distances[pairs].mean()) if bool(pairs.any()) else 0.0
