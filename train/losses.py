"""The methods, and nothing else: no logging, no devices, no files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .networks.segmenter import resize_logits


def class_weights(frequency: NDArray[np.float64], floor: float) -> NDArray[np.float32]:
    """Weights against class imbalance, w_c = 1 / ln(floor + f_c) (Paszke 2016, arXiv 1606.02147), mean 1.

    Args:
        frequency: (C,) share of each class among the labelled pixels, sums to 1.
        floor: 1.02 (strong) to 1.5 (weak); 0 weighs all classes alike.
    """
    if floor == 0:
        return np.ones(len(frequency), np.float32)
    weights = 1.0 / np.log(floor + frequency)
    return (weights / weights.mean()).astype(np.float32)


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, ignore: int, phase: tuple[int, int],
                  hardest: float = 1.0) -> Tensor:
    """Weighted cross-entropy on every second pixel of every second row.

    Comparing at half size costs a quarter of the time and memory of full size; `phase` picks which of the four
    half-size grids is used, so that over the steps every labelled pixel counts.

    Args:
        logits: (N, C, h, w) float, at any size.
        labels: (N, H, W) int64 class ids.
        weights: (C,) float.
        ignore: the label id to leave out.
        phase: (row, column), each 0 or 1.
        hardest: share of the labelled pixels that counts, those with the largest loss (OHEM, Shrivastava 2016,
            arXiv 1604.03540); above 0 to 1.

    Returns:
        Scalar: mean over the pixels that count by weight; 0 where none is labelled.
    """
    labels = labels[:, phase[0]::2, phase[1]::2]
    logits = resize_logits(logits.float(), labels.shape[-2:])
    labelled = labels != ignore
    each = F.cross_entropy(logits, labels, weight=weights, ignore_index=ignore, reduction="none")
    counted = weights[labels.clamp(max=len(weights) - 1)] * labelled
    if hardest < 1.0:
        chosen = each.detach().flatten().topk(math.ceil(hardest * int(labelled.sum()))).indices
        each, counted = each.flatten()[chosen], counted.flatten()[chosen]
    return each.sum() / torch.clamp(counted.sum(), min=1e-6)


def boundaries(labels: Tensor, ignore: int, size_hw: tuple[int, int] | torch.Size) -> Tensor:
    """Where classes meet: (N, 1, h, w) float, 1 in each cell that holds two neighbours of different classes.

    Args:
        labels: (N, H, W) integer class ids; what borders on `ignore` is no boundary.
        ignore: the label id to leave out.
        size_hw: of the answer, at most (H, W).
    """
    known = labels != ignore
    edge = torch.zeros(labels.shape, device=labels.device)
    edge[:, :, 1:] = ((labels[:, :, 1:] != labels[:, :, :-1]) & known[:, :, 1:] & known[:, :, :-1]).float()
    edge[:, 1:] += ((labels[:, 1:] != labels[:, :-1]) & known[:, 1:] & known[:, :-1]).float()
    return F.adaptive_max_pool2d(edge[:, None], tuple(size_hw)).clamp(max=1.0)


def boundary_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy in which both sides weigh the same (HED, Xie 2015, arXiv 1504.06375).

    Args:
        logits, target: (N, 1, h, w) float; target is 0 or 1.
    """
    share = target.mean()
    weight = torch.where(target > 0, 1.0 - share, share)
    return F.binary_cross_entropy_with_logits(logits.float(), target, weight, reduction="sum") / torch.clamp(
        weight.sum(), min=1e-6)


def distillation(pupil: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """What the pupil's answer lacks of the teacher's: T^2 KL(teacher || pupil) of logits over T, the mean over pixels.

    Hinton 2015, arXiv 1503.02531; pixel by pixel as Liu 2019, arXiv 1903.04197.

    Args:
        pupil: (N, C, h, w) logits, brought to the teacher's size.
        teacher: (N, C, H, W) logits.
        temperature: T, 1 or more.
    """
    pupil = resize_logits(pupil.float(), teacher.shape[-2:])
    told = F.log_softmax(teacher.float() / temperature, 1)
    said = F.log_softmax(pupil / temperature, 1)
    return temperature ** 2 * (told.exp() * (told - said)).sum(1).mean()


def pairwise(pupil: Tensor, teacher: Tensor, cell: int = 2) -> Tensor:
    """Whether places are as alike to the pupil as to the teacher: mean squared difference of cosine similarities.

    Liu 2019, arXiv 1903.04197.

    Args:
        pupil, teacher: (N, C, h, w) and (N, D, h, w) features; C and D may differ.
        cell: so many pixels a side are averaged to one place.
    """
    first, second = (F.normalize(F.avg_pool2d(x.float(), cell, ceil_mode=True).flatten(2), dim=1)
                     for x in (pupil, teacher))
    return (first.mT @ first - second.mT @ second).square().mean()


def evidence(made: Tensor, images: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of a VAE's loss, in nats a picture: reconstruction and divergence (Kingma 2014, arXiv 1312.6114).

    The deviation of a pixel is the best one for the batch, so that no weight has to be chosen between the two
    (sigma-VAE, Rybkin 2021, arXiv 2006.13202): reconstruction = D/2 log MSE, D being the number of values of a picture.

    Args:
        made, images: (N, 3, H, W) float, -1 to 1.
        mean, log_variance: (N, z) float, what the encoder says of `images`.
    """
    error = (made.float() - images).square().mean()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(1).mean()
    return 0.5 * images[0].numel() * torch.log(error + 1e-8), divergence


def soft_labels(labels: Tensor, ignore: int, classes: int, size_hw: tuple[int, int] | torch.Size
                ) -> tuple[Tensor, Tensor]:
    """Shares of the classes in each cell of a coarser grid: what a label looks like at the size of an answer.

    Args:
        labels: (N, H, W) int64 class ids.
        ignore: the label id to leave out.
        classes: C.
        size_hw: of the grid, at most (H, W).

    Returns:
        (N, C, h, w) float, which sum to 1 over C where anything is labelled; (N, 1, h, w) bool, whether half of the
        cell is labelled.
    """
    planes = torch.zeros(len(labels), classes + 1, *labels.shape[1:], device=labels.device)
    planes.scatter_(1, torch.where(labels == ignore, classes, labels)[:, None], 1.0)
    shares = F.adaptive_avg_pool2d(planes, (size_hw[0], size_hw[1]))[:, :classes]
    known = shares.sum(1, keepdim=True)
    return shares / known.clamp(min=1e-6), known >= 0.5


def pseudo_cross_entropy(logits: Tensor, guesses: Tensor, trusted: Tensor, counted: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy against labels that nobody drew: sum of trusted w_k CE(p, k) / sum of counted w_k.

    FixMatch (Sohn 2020, arXiv 2001.07685), in segmentation UniMatch (Yang 2022, arXiv 2208.09910), trusts where a
    teacher is sure, max q >= t; AdvSemiSeg (Hung 2018, arXiv 1802.07934) where a discriminator takes the answer for a
    label. The mean is over all that counts, so that few trusted pixels also weigh little.

    Args:
        logits: (N, C, h, w) float.
        guesses: (N, h, w) int64 class ids k.
        trusted, counted: (N, h, w) bool; what is trusted and not counted is left out.
        weights: (C,) float, w.
    """
    each = F.cross_entropy(logits.float(), guesses, weight=weights, reduction="none")
    return (each * (trusted & counted)).sum() / torch.clamp((weights[guesses] * counted).sum(), min=1e-6)


def feature_matching(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean over scales of the mean |f(found) - f(wanted)| of a discriminator's features.

    SegAN (Xue 2017, arXiv 1706.01805); pix2pixHD (Wang 2017, arXiv 1711.11585).

    Args:
        found, wanted: (N, channels, h, w) for each scale, of what was made and of what it should have been.
    """
    return torch.stack([F.l1_loss(a.float(), b.float()) for a, b in zip(found, wanted, strict=True)]).mean()
