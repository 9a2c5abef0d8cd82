"""Flicker: how often a mask changes its mind about a place of the scene that itself did not change.

The score of two frames in a row is the share of pixels whose class differs from the class that the same place of the
scene had before, among the pixels that are followed surely: optical flow forth and back ends where it began (within a
pixel), inside both frames, on nearly the same grey level. Zero is no flicker at all, which a frozen mask reaches, so
the score means something only beside the IoU.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, need

SAME_GREY, SAME_PLACE = 10, 1.0
"""A place is followed surely where its grey level (0 to 255) differs by less, and forth and back by fewer pixels."""


@dataclass(frozen=True)
class Path:
    """Where the pixels of one frame were in the frame before.

    Attributes:
        at: (H, W, 2) float32, x and y in the frame before.
        sure: (H, W) bool, where this is certain.
    """

    at: NDArray[np.float32]
    sure: NDArray[np.bool_]


@dataclass
class Flicker:
    """Counts changes over a stream's masks.

    Attributes:
        changed, followed: numbers of pixels.
    """

    changed: int = 0
    followed: int = 0
    _before: NDArray[Any] | None = field(default=None, repr=False)

    def add(self, mask: NDArray[Any], path: Path | None) -> None:
        """Takes the next mask, (H, W) uint8 ids, with the path from the frame before; None for the first."""
        if self._before is not None and path is not None:
            cv2: Any = need("cv2")
            before = cv2.remap(self._before, path.at, None, cv2.INTER_NEAREST)
            self.changed += int(np.count_nonzero((before != mask) & path.sure))
            self.followed += int(np.count_nonzero(path.sure))
        self._before = mask

    @property
    def share(self) -> float:
        """The score, 0 to 1; NaN where nothing could be followed."""
        return self.changed / self.followed if self.followed else float("nan")


def paths(images: Iterable[NDArray[Any]]) -> list[Path | None]:
    """The path of each frame of a video, (H, W, 3) uint8 BGR all of one size; None for the first.

    Raises:
        DataError: a frame of another size.
    """
    cv2: Any = need("cv2")
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found: list[Path | None] = []
    before: NDArray[Any] | None = None
    for image in images:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if before is not None and before.shape != grey.shape:
            raise DataError(f"frame {len(found)} of a video", got=str(grey.shape), expected=str(before.shape))
        found.append(None if before is None else _path(cv2, flow, before, grey))
        before = grey
    return found


def _path(cv2: Any, flow: Any, before: NDArray[Any], now: NDArray[Any]) -> Path:
    """Flow back, checked against the flow forth and against the grey levels."""
    h, w = now.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    back, forth = flow.calc(now, before, None), flow.calc(before, now, None)
    at = np.dstack([x, y]) + back
    inside = (at >= 0).all(2) & (at[..., 0] <= w - 1) & (at[..., 1] <= h - 1)
    away = np.linalg.norm(cv2.remap(forth, at, None, cv2.INTER_LINEAR) + back, axis=2)
    same = cv2.absdiff(cv2.remap(before, at, None, cv2.INTER_LINEAR), now) < SAME_GREY
    return Path(at, inside & (away < SAME_PLACE) & same)
