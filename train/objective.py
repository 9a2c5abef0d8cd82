"""What one step of the segmenter's training makes smaller: a sum of terms, each of which can be left out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..runtime.errors import ConfigError
from .losses import boundaries, boundary_loss, cross_entropy, distillation, pairwise
from .networks.heads import Heads
from .networks.segmenter import Seen, Segmenter, SegmenterConfig


@dataclass(frozen=True)
class Terms:
    """Weights of the terms beside cross-entropy; 0 leaves a term out, with what it would cost.

    Attributes:
        hardest: share of the labelled pixels that cross-entropy counts, the worst ones; 1 counts all.
        auxiliary: of a second answer's cross-entropy, from 1/16.
        boundary: of where classes meet.
        distill: of the teacher's answer, where there is a teacher.
        pairwise: of how alike places are to the teacher, where there is one.
        temperature: that the teacher's answers are softened by.
    """

    hardest: float = 1.0
    auxiliary: float = 0.0
    boundary: float = 0.0
    distill: float = 1.0
    pairwise: float = 0.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.hardest <= 1:
            raise ConfigError("hardest", got=self.hardest, expected="a share above 0, up to 1")
        if self.temperature < 1:
            raise ConfigError("temperature", got=self.temperature, expected="1 or more")

    def heads(self, network: SegmenterConfig) -> Heads | None:
        """The heads that the terms need, or None."""
        if self.auxiliary <= 0 and self.boundary <= 0:
            return None
        return Heads(network, auxiliary=self.auxiliary > 0, boundary=self.boundary > 0)


@dataclass(frozen=True)
class Objective:
    """The terms of a training.

    Attributes:
        network: what learns.
        terms: what is added up.
        weights: (C,) class weights.
        ignore: the label id to leave out.
        heads: that learn beside the network; or None.
        teacher: a trained network in eval mode with the same classes; or None.
    """

    network: Segmenter
    terms: Terms
    weights: Tensor
    ignore: int
    heads: Heads | None = None
    teacher: Segmenter | None = None

    def __call__(self, x: Tensor, labels: Tensor, phase: tuple[int, int], half: bool) -> dict[str, Tensor]:
        """Gives each term, weighted; their sum is the loss.

        Args:
            x: (N, 3, H, W) float, BGR, 0 to 1.
            labels: (N, H, W) int64 class ids.
            phase: (row, column), each 0 or 1: the half-size grid that is compared.
            half: whether the networks compute in bfloat16.
        """
        return self.terms_of(self.look(x, half), x, labels, phase, half)

    def look(self, x: Tensor, half: bool) -> Seen:
        """What the network makes of pictures, for `terms_of`."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
            return self.network.look(x)

    def terms_of(self, seen: Seen, x: Tensor, labels: Tensor, phase: tuple[int, int], half: bool) -> dict[str, Tensor]:
        """As a call, where the network has been asked already."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
            auxiliary, boundary = (None, None) if self.heads is None else self.heads(seen)
            with torch.no_grad():
                shown = None if self.teacher is None else self.teacher.look(x)
        t = self.terms
        found = {"cross_entropy": cross_entropy(seen.logits, labels, self.weights, self.ignore, phase, t.hardest)}
        if auxiliary is not None:
            found["auxiliary"] = t.auxiliary * cross_entropy(auxiliary, labels, self.weights, self.ignore, phase)
        if boundary is not None:
            target = boundaries(labels, self.ignore, boundary.shape[-2:])
            found["boundary"] = t.boundary * boundary_loss(boundary, target)
        if shown is not None and t.distill:
            found["distill"] = t.distill * distillation(seen.logits, shown.logits, t.temperature)
        if shown is not None and t.pairwise:
            found["pairwise"] = t.pairwise * pairwise(seen.deep, shown.deep)
        return found
