"""Where frames come from: pictures of a data set where one is at hand, else synthetic scenes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import pixels
from ..runtime.dataset import open_dataset
from ..runtime.description import SYNTHETIC
from ..runtime.errors import DataError
from ..runtime.manifest import Fit
from .calibration import check_calibration, pictures_of, read_calibration, training_data
from .samples import Asked, Calibration, Sample, framed

SCENES, PICTURES, SCENE_WH = 4, 8, (480, 360)
"""Synthetic stills for goldens (and parity), pictures of a data set for parity, and the size scenes are drawn at."""
EXAM_FRAMES = 120
"""Most pictures of a data set that picture-making networks are measured on."""


@dataclass(frozen=True)
class FrameSupply:
    """See `samples.Supply`.

    Attributes:
        size_hw: height and width of the network's frames.
        fit: how pictures of another size are fitted.
        data: what the network was trained on, or '' where nobody knows.
    """

    size_hw: tuple[int, int]
    fit: Fit
    data: str = ""

    def goldens(self) -> list[Sample]:
        """Synthetic scenes."""
        return framed(pictures(SYNTHETIC, self.size_hw, self.fit, SCENES))

    def parity(self, data: str | None) -> tuple[list[Sample], str]:
        """Validation pictures of `data`, else of the training's where they are at hand, else the goldens."""
        text = data or self.data
        if text not in ("", SYNTHETIC):
            try:
                return framed(pictures(text, self.size_hw, self.fit, PICTURES)), Path(text).name
            except DataError:
                if data is not None:
                    raise
        return self.goldens(), SYNTHETIC

    def held_out(self, data: str | None) -> tuple[list[Sample], str] | None:
        """Validation pictures of `data`."""
        if data is None:
            return None
        return framed(pictures_of(data, "val", self.size_hw, self.fit, EXAM_FRAMES)), Path(data).name

    def calibration(self, text: str, count: int, hold_back: bool) -> Calibration:
        """Pictures evenly spread over what is named."""
        return read_calibration(text, self.size_hw, self.fit, count=count, hold_back=hold_back)


def check(asked: Asked) -> None:
    """Looks at the pictures that INT8 is to be calibrated on.

    Raises:
        ExportError: there are none.
        DataError, SourceError: what was named cannot be read.
    """
    if asked.count:
        check_calibration(training_data(asked.trained_on, asked.calibration), asked.count)


def pictures(text: str, size_hw: tuple[int, int], fit: Fit, count: int) -> list[NDArray[Any]]:
    """Pictures spread over a validation split, fitted to (H, W, 3) uint8 BGR as the runtime will fit frames."""
    split = open_dataset(text, "val", size_wh=SCENE_WH, count=count if text == SYNTHETIC else None)
    chosen = np.linspace(0, len(split) - 1, min(count, len(split))).round().astype(int)
    return [np.ascontiguousarray(pixels.fit(split[int(i)][0], size_hw, fit)) for i in chosen]
