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
from .parity import MAX_PSNR
from .samples import Sample

Features = Callable[[NDArray[Any]], NDArray[Any]]
"""A feature extractor: a picture (H, W, 3) uint8 BGR to features, float32 of any one shape."""
SMALLEST_SSIM = 11
"""Height and width of SSIM's window: smaller pictures have none."""


@dataclass(frozen=True)
class PictureExam:
    """Samples with what the float graph makes of them.

    Attributes:
        samples: what goes in.
        want: the float graph's pictures, (H, W, 3) uint8 BGR each.
        features: compares pictures by what a network sees in them, or None.
        run: so many pictures in a row are of one stream, in order.
    """

    samples: Sequence[Sample]
    want: Sequence[NDArray[Any]]
    features: Features | None = None
    run: int = 1

    def mark(self, model: Any) -> Mark:
        """Gives the PSNR over all pictures together, the mean SSIM, the mean distance of features, and of streams the
        flicker that is not the float graph's own."""
        pairs = list(zip(outputs_of(model, self.samples), self.want, strict=True))
        decibels = min(psnr(np.stack([a for a, _ in pairs]), np.stack([b for _, b in pairs])), MAX_PSNR)
        numbers = {"psnr": decibels}
        if min(self.want[0].shape[:2]) >= SMALLEST_SSIM:
            numbers["ssim"] = float(np.mean([ssim(a, b) for a, b in pairs]))
        if self.features is not None:
            numbers["features"] = float(np.mean([distance(self.features(a), self.features(b)) for a, b in pairs]))
        if self.run > 1:
            numbers["flicker"] = flicker([a for a, _ in pairs], [b for _, b in pairs], self.run)
        return Mark(0.0 if decibels == MAX_PSNR else 10 ** (-decibels / 20), numbers)

    def apart(self, got: NDArray[Any], want: NDArray[Any]) -> float:
        """The root mean square difference as a share of the range."""
        return float(10 ** (-psnr(got, want) / 20))


def picture_exams(candidate: Candidate, samples: Sequence[Sample], where: str,
                  features: Features | None = None) -> Exams:
    """Exams on samples that are not calibrated on.

    Args:
        samples: what goes in.
        where: what they are.
        features: an extractor, or None.

    Raises:
        ExportError: fewer than two.
    """
    even, odd = (PictureExam(half, outputs_of(candidate.model, half), features, max(1, candidate.run // 2))
                 for half in halves(samples, where))
    return Exams(even, odd, f"{where}, against the float pictures", False)


def flicker(got: Sequence[NDArray[Any]], want: Sequence[NDArray[Any]], run: int) -> float:
    """How much an error changes from frame to frame: the root mean square of its change, as a share of the range.

    A stream that is wrong everywhere in the same way does not flicker; one whose every frame is wrong in its own way
    does, and an eye sees that sooner.

    Args:
        got, want: (H, W, 3) uint8 each, streams of `run` frames one after another.
        run: 2 or more.
    """
    error = np.stack(got).astype(np.float32) - np.stack(want)
    changes = [np.diff(error[i:i + run], axis=0) for i in range(0, len(error), run)]
    return float(np.sqrt(np.mean(np.square(np.concatenate(changes)))) / 255)


def distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Distance of two feature arrays of one shape as a share of the second's length: 0 where they are equal."""
    length = float(np.linalg.norm(b))
    apart = float(np.linalg.norm(a.astype(np.float64) - b.astype(np.float64)))
    return apart / length if length else (math.inf if apart else 0.0)
