"""Exams of networks that make pictures: the float graph's pictures are right, and every difference counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.scores import psnr, ssim
from .candidate import Candidate
from .exam import Exams, Mark, halves, outputs_of

Features = Callable[[NDArray[Any]], NDArray[Any]]
"""A feature extractor: a picture (H, W, 3) uint8 BGR to features, float32 of any one shape."""
MAX_PSNR = 100.0
"""dB that stand for pictures that are equal."""


@dataclass(frozen=True)
class PictureExam:
    """Pictures with what the float graph makes of them.

    Attributes:
        frames: each (H, W, 3) uint8 BGR, at the network's size.
        want: the float graph's pictures, (rH, rW, 3) uint8 BGR each, 11x11 or more.
        features: compares pictures by what a network sees in them, or None.
    """

    frames: Sequence[NDArray[Any]]
    want: Sequence[NDArray[Any]]
    features: Features | None = None

    def mark(self, model: Any) -> Mark:
        """Gives the PSNR over all pictures together, the mean SSIM, and the mean distance of features."""
        pairs = list(zip(outputs_of(model, self.frames), self.want, strict=True))
        decibels = min(psnr(np.stack([a for a, _ in pairs]), np.stack([b for _, b in pairs])), MAX_PSNR)
        numbers = {"psnr": decibels, "ssim": float(np.mean([ssim(a, b) for a, b in pairs]))}
        if self.features is not None:
            numbers["features"] = float(np.mean([distance(self.features(a), self.features(b)) for a, b in pairs]))
        return Mark(0.0 if decibels == MAX_PSNR else 10 ** (-decibels / 20), numbers)


def picture_exams(candidate: Candidate, frames: Sequence[NDArray[Any]], where: str,
                  features: Features | None = None) -> Exams:
    """Exams on frames that are not calibrated on.

    Args:
        frames: at the network's size.
        where: what they are.
        features: an extractor, or None.

    Raises:
        ExportError: fewer than two.
    """
    even, odd = (PictureExam(half, outputs_of(candidate.model, half), features) for half in halves(frames, where))
    return Exams(even, odd, f"{where}, against the float pictures", False)


def distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Distance of two feature arrays of one shape as a share of the second's length: 0 where they are equal."""
    length = float(np.linalg.norm(b))
    apart = float(np.linalg.norm(a.astype(np.float64) - b.astype(np.float64)))
    return apart / length if length else (math.inf if apart else 0.0)
