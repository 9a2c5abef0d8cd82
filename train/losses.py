"""The methods, and nothing else: no logging, no devices, no files."""

from __future__ import annotations

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
        floor: 1.02 (strong) to 1.5 (weak).
    """
    weights = 1.0 / np.log(floor + frequency)
    return (weights / weights.mean()).astype(np.float32)


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, ignore: int, phase: tuple[int, int]) -> Tensor:
    """Weighted cross-entropy on every second pixel of every second row.

    Comparing at half size costs a quarter of the time and memory of full size; `phase` picks which of the four
    half-size grids is used, so that over the steps every labelled pixel counts.

    Args:
        logits: (N, C, h, w) float, at any size.
        labels: (N, H, W) int64 class ids.
        weights: (C,) float.
        ignore: the label id to leave out.
        phase: (row, column), each 0 or 1.

    Returns:
        Scalar: mean over the labelled pixels by weight; 0 where none is labelled.
    """
    labels = labels[:, phase[0]::2, phase[1]::2]
    logits = resize_logits(logits.float(), labels.shape[-2:])
    each = F.cross_entropy(logits, labels, weight=weights, ignore_index=ignore, reduction="sum")
    total = (weights[labels.clamp(max=len(weights) - 1)] * (labels != ignore)).sum()
    return each / torch.clamp(total, min=1e-6)


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
