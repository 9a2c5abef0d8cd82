"""Sliced Wasserstein distance between sets of pictures, on patches, by band of detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import DataError, need

PATCH, LEVELS, DIRECTIONS = 64, 3, 128
"""Pixels of a patch's side, bands of detail, and directions that each band is looked at from."""


@dataclass(frozen=True)
class Projected:
    """Patches of a set of pictures, each band seen from each direction.

    Attributes:
        bands: for each band (pictures, patches a picture, DIRECTIONS) float32; finest first.
    """

    bands: tuple[NDArray[np.float32], ...]

    def take(self, pictures: NDArray[np.int64]) -> Projected:
        """Those of some pictures, in this order."""
        return Projected(tuple(band[pictures] for band in self.bands))


class Slicer:
    """Looks at pictures as Karras 2017 does (arXiv 1710.10196, section 5), with patches as large as a facade's window.

    Patches at fixed, even places become a Laplacian pyramid; each band is divided by the deviation that the real
    pictures have there, channel by channel, and seen from random directions of length 1.

    Args:
        real: (N, H, W, 3) uint8: the real pictures, which set the scale.
        patch: pixels of a patch's side, a multiple of 4.
        seed: of the directions.

    Raises:
        DataError: pictures smaller than a patch.
    """

    def __init__(self, real: NDArray[np.uint8], patch: int = PATCH, seed: int = 0) -> None:
        self._patch = patch
        if min(real.shape[1:3]) < patch:
            raise DataError("pictures", got=f"{real.shape[2]}x{real.shape[1]}", expected=f"{patch}x{patch} or larger")
        rng = np.random.default_rng(seed)
        bands = self._bands(real)
        self._scale = [np.maximum(band.std((0, 1, 2, 3)), 1e-6) for band in bands]
        self._directions = []
        for band in bands:
            drawn = rng.standard_normal((int(np.prod(band.shape[2:])), DIRECTIONS)).astype(np.float32)
            self._directions.append(drawn / np.linalg.norm(drawn, axis=0))

    def __call__(self, pictures: NDArray[np.uint8]) -> Projected:
        """Looks at (N, H, W, 3) uint8."""
        seen = []
        for band, scale, directions in zip(self._bands(pictures), self._scale, self._directions, strict=True):
            flat = (band / scale).astype(np.float32).reshape(*band.shape[:2], -1)
            seen.append(flat @ directions)
        return Projected(tuple(seen))

    def _bands(self, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """For each band (N, patches, h, w, 3): what a blur takes away, again and again, and what is left."""
        cv2: Any = need("cv2")
        places = [_even(n, self._patch) for n in pictures.shape[1:3]]
        pyramids = []
        for picture in pictures:
            for y in places[0]:
                for x in places[1]:
                    level = picture[y:y + self._patch, x:x + self._patch].astype(np.float32)
                    pyramid = []
                    for _ in range(LEVELS - 1):
                        small = cv2.pyrDown(level)
                        pyramid.append(level - cv2.pyrUp(small, dstsize=level.shape[1::-1]))
                        level = small
                    pyramids.append([*pyramid, level])
        count = len(places[0]) * len(places[1])
        return [np.stack(band).reshape(len(pictures), count, *band[0].shape) for band in zip(*pyramids, strict=True)]


def distance(a: Projected, b: Projected) -> float:
    """Mean over bands and directions of the Wasserstein distance, in the real pictures' deviations.

    With as many patches on both sides it is the mean distance of the sorted values.
    """
    return float(np.mean([np.abs(_sorted(x) - _sorted(y)).mean() for x, y in zip(a.bands, b.bands, strict=True)]))


def ratio(real: Projected, ours: Projected, theirs: Projected, *, resamples: int = 200,
          seed: int = 0) -> tuple[float, float, float]:
    """Distance of ours over distance of theirs, and its 95% interval by a bootstrap over pictures.

    A picture that is drawn is drawn in all three sets: picture i of each was made of the same input.
    """
    rng, count = np.random.default_rng(seed), len(real.bands[0])
    draws = [rng.integers(0, count, count) for _ in range(resamples)]
    ratios = [distance(ours.take(d), real.take(d)) / distance(theirs.take(d), real.take(d)) for d in draws]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return distance(ours, real) / distance(theirs, real), float(low), float(high)


def _sorted(band: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sort(band.reshape(-1, band.shape[-1]), axis=0)


def _even(length: int, patch: int) -> Sequence[int]:
    """Places of patches that overlap by half, evenly from end to end."""
    count = max(1, round((length - patch) / (patch / 2)) + 1)
    return [int(x) for x in np.linspace(0, length - patch, count).round()]
