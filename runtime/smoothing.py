"""Smoothing: masks that do not flicker, and are no later than they must be.

A pixel takes a new class only if the network says so twice in a row at the same place of the scene, or if that place
looks different now. The scene moves, so what was said before is carried along by the optical flow between the two
frames (dense inverse search, Kroeger et al. 2016, arXiv 1603.03590), computed at half the mask's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import pixels
from .errors import DataError, need
from .frames import Result
from .manifest import Fit, Manifest
from .timing import timed

OUTSIDE = 255
"""What lies outside the previous frame; no class has this id."""
GAP_S = 1.0
"""After so long without a frame nothing of what was before is held."""
LEAST = 32
"""Height and width of the pictures that the flow is computed on, at least; smaller masks are enlarged for it."""


@dataclass(frozen=True)
class Smoothing:
    """How masks are smoothed.

    Attributes:
        same_grey: a place looks the same where its grey level (0 to 255) differs by at most so much.
    """

    same_grey: int = 8


class Smoother:
    """Smooths the masks of one stream; call it with its frames in order, from one thread at a time.

    Args:
        fit: how frames are brought to the network's size, from the manifest.
        settings: see Smoothing.
    """

    def __init__(self, fit: Fit, settings: Smoothing = Smoothing()) -> None:
        self._fit, self._settings = fit, settings
        cv2: Any = need("cv2")
        self._cv2, self._flow = cv2, cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._before: tuple[NDArray[Any], NDArray[Any]] | None = None
        self._grids: dict[tuple[int, int], NDArray[np.float32]] = {}

    def __call__(self, image: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
        """The smoothed mask.

        Args:
            image: (H, W, 3) uint8 BGR, the frame.
            mask: (h, w) uint8 class ids below 255, what the network says of it, at the network's size.

        Returns:
            (h, w) uint8, a new array; the first frame's mask, and one of another size than before, comes out as it is.

        Raises:
            DataError: the mask is no (h, w) uint8.
        """
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise DataError("mask to smooth", got=f"{mask.shape} {mask.dtype}", expected="(h, w) uint8 class ids")
        cv2, grey = self._cv2, self._small(image, mask.shape)
        before, smooth = self._before, mask
        if before is not None and before[1].shape[:2] == mask.shape:
            was_grey, was_ids = before
            flow = self._flow.calc(grey, was_grey, None)
            said, smoothed = cv2.split(self._carried(was_ids, flow))
            keep = cv2.compare(mask, said, cv2.CMP_NE)  # the network says something new: for the first time
            cv2.bitwise_and(keep, self._looks_same(grey, was_grey, flow, mask.shape), dst=keep)
            cv2.bitwise_and(keep, cv2.compare(smoothed, OUTSIDE, cv2.CMP_NE), dst=keep)
            smooth = mask.copy()
            cv2.copyTo(smoothed, keep, smooth)
        self._before = (grey, cv2.merge([mask, smooth]))
        return smooth

    def reset(self) -> None:
        """Forgets what was before, e.g. after a gap in the stream."""
        self._before = None

    def _small(self, image: NDArray[Any], mask_hw: tuple[int, ...]) -> NDArray[Any]:
        """The frame as the network saw it, grey, at half the size."""
        cv2, (h, w) = self._cv2, mask_hw
        grey = cv2.cvtColor(pixels.fit(image, (h, w), self._fit), cv2.COLOR_BGR2GRAY)
        size_wh = max(LEAST, w // 2), max(LEAST, h // 2)
        small: NDArray[Any] = cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA)
        return small

    def _carried(self, ids: NDArray[Any], flow: NDArray[Any]) -> NDArray[Any]:
        """(h, w, 2) ids of the previous frame where they are now; OUTSIDE where they were out of the picture."""
        cv2, (h, w), (fh, fw) = self._cv2, ids.shape[:2], flow.shape[:2]
        if fw / w != fh / h:
            flow = flow * np.array([w / fw, h / fh], np.float32)
        at = cv2.scaleAdd(cv2.resize(flow, (w, h)), w / fw if fw / w == fh / h else 1.0, self._grid(h, w))
        carried: NDArray[Any] = cv2.remap(ids, at, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT,
                                          borderValue=(OUTSIDE, OUTSIDE))
        return carried

    def _looks_same(self, grey: NDArray[Any], was: NDArray[Any], flow: NDArray[Any],
                    mask_hw: tuple[int, ...]) -> NDArray[Any]:
        """(h, w) uint8, 255 where the grey level has hardly changed along the flow."""
        cv2, (h, w) = self._cv2, mask_hw
        carried = cv2.remap(was, cv2.add(flow, self._grid(*flow.shape[:2])), None, cv2.INTER_LINEAR)
        same = cv2.compare(cv2.absdiff(carried, grey), self._settings.same_grey, cv2.CMP_LE)
        large: NDArray[Any] = cv2.resize(same, (w, h), interpolation=cv2.INTER_NEAREST)
        return large

    def _grid(self, h: int, w: int) -> NDArray[np.float32]:
        """(h, w, 2) float32: x and y of each pixel."""
        if (h, w) not in self._grids:
            y, x = np.mgrid[:h, :w].astype(np.float32)
            self._grids[h, w] = np.dstack([x, y])
        return self._grids[h, w]


class SmoothedResults:
    """Smooths the masks of one stream's results, which come in order; a stage between the network and the sinks."""

    def __init__(self, settings: Smoothing = Smoothing()) -> None:
        self._settings = settings
        self._manifest: Manifest | None = None
        self._smoother: Smoother | None = None
        self._last_s = 0.0

    def __call__(self, result: Result) -> Result:
        """The same result with a smoothed mask, and the stage `smooth` among its times.

        After a gap of GAP_S, and after another bundle was swapped in, it starts anew.

        Raises:
            DataError: the network gives no mask.
        """
        if "mask" not in result.outputs:
            raise DataError(f"--smooth of a '{result.manifest.task}' model", got="no mask",
                            expected="a model that gives class ids", do="leave it out")
        if self._smoother is None or result.manifest is not self._manifest:
            self._manifest, self._smoother = result.manifest, Smoother(result.manifest.fit, self._settings)
        if result.frame.captured_s - self._last_s > GAP_S:
            self._smoother.reset()
        self._last_s = result.frame.captured_s
        with timed(result.times_ms, "smooth"):
            mask = self._smoother(result.frame.image, result.outputs["mask"])
        return Result(result.frame, {**result.outputs, "mask": mask}, result.manifest, result.times_ms)
