"""Scores of answers against labels, numpy only, so that a device can compute them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Confusion:
    """A confusion matrix summed over a whole split; pixels labelled `ignore` are left out of both sides.

    Attributes:
        matrix: (C, C) int64, rows are labels, columns are answers.
    """

    def __init__(self, classes: int, ignore: int = 255) -> None:
        self.matrix = np.zeros((classes, classes), np.int64)
        self.ignore = ignore
        self._outside = np.zeros(classes, np.int64)  # labelled pixels whose answer is no class

    def add(self, label: NDArray[Any], answer: NDArray[Any]) -> None:
        """Counts one mask. Both (H, W) or (N, H, W) integer ids; an answer outside the classes counts as wrong.

        Raises:
            ValueError: the shapes differ.
        """
        if label.shape != answer.shape:
            raise ValueError(f"label and answer differ in shape: {label.shape} and {answer.shape}")
        n = len(self.matrix)
        keep = label != self.ignore
        wide = label[keep].astype(np.int64) * (n + 1) + np.minimum(answer[keep], n)
        counts = np.bincount(wide, minlength=n * (n + 1)).reshape(n, n + 1)
        self.matrix += counts[:, :n]
        self._outside += counts[:, n]

    def __add__(self, other: Confusion) -> Confusion:
        """Both counted together; they have the same classes."""
        both = Confusion(len(self.matrix), self.ignore)
        both.matrix = self.matrix + other.matrix
        both._outside = self._outside + other._outside
        return both

    def iou(self) -> NDArray[np.float64]:
        """(C,) intersection over union; NaN for a class that neither labels nor answers have."""
        hit = np.diag(self.matrix).astype(np.float64)
        union = self._labelled() + self.matrix.sum(0) - hit
        with np.errstate(invalid="ignore"):
            return np.where(union > 0, hit / np.maximum(union, 1), np.nan)

    def miou(self) -> float:
        """Mean IoU over the classes that occur, 0 to 1; NaN where nothing was counted."""
        iou = self.iou()
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else math.nan

    def pixel_accuracy(self) -> float:
        """Share of labelled pixels answered right, 0 to 1; NaN where nothing was counted."""
        total = self._labelled().sum()
        return float(np.diag(self.matrix).sum() / total) if total else math.nan

    def _labelled(self) -> NDArray[np.float64]:
        return (self.matrix.sum(1) + self._outside).astype(np.float64)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures of one shape; infinite where they are equal."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255.0**2 / error)


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Structural similarity of two uint8 pictures of one shape, (H, W) or (H, W, C), 11x11 or more; 1 where equal.

    Wang et al. 2004, doi 10.1109/TIP.2003.819861: Gaussian window of 11x11 with sigma 1.5, K1 0.01, K2 0.03, the mean
    over all windows that lie inside the picture, and over the channels.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = _windowed(x), _windowed(y)
    vx, vy, cov = _windowed(x * x) - mx * mx, _windowed(y * y) - my * my, _windowed(x * y) - mx * my
    likeness = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(likeness.mean())


def _windowed(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian means over 11x11 windows along the first two axes, where the window lies inside."""
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights /= weights.sum()
    h, w = x.shape[0] - 10, x.shape[1] - 10
    rows = sum(weight * x[i:i + h] for i, weight in enumerate(weights))
    return np.asarray(sum(weight * rows[:, i:i + w] for i, weight in enumerate(weights)))


def close_share(a: NDArray[Any], b: NDArray[Any], max_share: float) -> float:
    """Share of float values, 0 to 1, that lie within a share of the largest magnitude of `b`."""
    return float(np.mean(np.abs(a - b) <= max_share * np.abs(b).max()))


def equal_share(a: NDArray[Any], b: NDArray[Any], max_step: int = 0) -> float:
    """Share of equal values, 0 to 1; values within `max_step` of each other count as equal."""
    if max_step == 0:
        return float(np.mean(a == b))
    return float(np.mean(np.abs(a.astype(np.int32) - b.astype(np.int32)) <= max_step))
