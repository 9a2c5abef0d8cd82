"""Learning from unlabelled pictures: what the averaged network is sure of in a plain view holds for a changed one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import check_share
from .gan import computing
from .losses import pseudo_cross_entropy
from .metrics import to_input
from .networks.segmenter import Segmenter
from .unlabelled import Views

CELL = 16
"""Pixels that the sides of a pasted rectangle are multiples of, so that answers at 1/4 and 1/2 can be cut alike."""


@dataclass(frozen=True)
class PseudoConfig:
    """How pseudo labels are taken, where there are unlabelled pictures.

    Attributes:
        weight: of the term.
        confidence: the least probability of a class that is taken for a label.
        begin: share of the budget after which they are taken; before it the teacher knows too little.
        cutmix: share of the steps in which each picture has a rectangle of another one pasted in (CutMix, Yun 2019,
            arXiv 1905.04899; for segmentation French 2019, arXiv 1906.01916).
    """

    weight: float = 1.0
    confidence: float = 0.9
    begin: float = 0.1
    cutmix: float = 0.5

    def __post_init__(self) -> None:
        check_share("pseudo: confidence", self.confidence, below_one=True)
        check_share("pseudo: begin", self.begin, below_one=True)


class Answers(NamedTuple):
    """Unlabelled pictures and what is said of them.

    Attributes:
        x: (N, 3, H, W) float, BGR, 0 to 1: the strongly changed views.
        told: (N, C, h, w) float probabilities, what the teacher says of the weakly changed ones, cut alike.
        said: (N, C, h, w) logits, what the network says of `x`.
        inside: (N, h, w) bool, where a view shows the picture.
    """

    x: Tensor
    told: Tensor
    said: Tensor
    inside: Tensor


def ask(network: Segmenter, teacher: nn.Module, views: Views, config: PseudoConfig,
        rng: np.random.Generator) -> Answers:
    """Asks both of a step's views.

    Args:
        network: what learns.
        teacher: whose answers are trusted, in eval mode.
        views: of the step.
        config: how often rectangles are pasted.
        rng: the only source of chance.
    """
    device = next(network.parameters()).device
    weak, x = (to_input(torch.from_numpy(v).to(device, non_blocking=True)) for v in (views.weak, views.strong))
    with torch.no_grad(), computing(device):
        told = teacher(weak).float().softmax(1)
    inside = F.adaptive_avg_pool2d(torch.from_numpy(views.inside).to(device).float()[:, None], told.shape[-2:])
    if len(x) > 1 and rng.random() < config.cutmix:
        box, scale = rectangle(x.shape[-2], x.shape[-1], rng), round(x.shape[-1] / told.shape[-1])
        for plane, cell in ((x, 1), (told, scale), (inside, scale)):
            y0, y1, x0, x1 = (edge // cell for edge in box)
            plane[..., y0:y1, x0:x1] = plane.roll(1, 0)[..., y0:y1, x0:x1]
    with computing(device):
        said = network(x)
    return Answers(x, told, said, inside[:, 0] > 0.99)


def pseudo_term(answers: Answers, weights: Tensor, config: PseudoConfig) -> tuple[Tensor, float]:
    """The weighted term, and the share of the pixels that were trusted, 0 to 1.

    Args:
        answers: of the step.
        weights: (C,) class weights, as of the labelled pictures.
        config: weight and confidence.
    """
    sure, guesses = answers.told.max(1)
    trusted = sure >= config.confidence
    share = (trusted & answers.inside).sum() / answers.inside.sum().clamp(min=1)
    return config.weight * pseudo_cross_entropy(answers.said, guesses, trusted, answers.inside, weights), float(share)


def rectangle(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) in pixels of a rectangle of a quarter to a half of the area, of any place."""
    area, ratio = rng.uniform(0.25, 0.5), np.exp(rng.uniform(-0.5, 0.5))
    h, w = (min(n, max(CELL, round(n * np.sqrt(area * r) / CELL) * CELL))
            for n, r in ((height, ratio), (width, 1 / ratio)))
    top, left = (int(rng.integers((n - side) // CELL + 1)) * CELL for n, side in ((height, h), (width, w)))
    return top, top + h, left, left + w
