"""Latents: what a source gives to a generator in place of frames; and the grid that its pictures are laid out in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError
from .frames import Arrays, Frame
from .manifest import Manifest
from .pixels import Image, resize

NOTHING: Image = np.empty((0, 0, 3), np.uint8)
"""The picture of a frame that was not captured."""


@dataclass(frozen=True)
class Grid:
    """How pictures of a batch become one.

    Attributes:
        columns, rows: pictures side by side and one below another; a batch has columns * rows.
        scale: how many times each picture is enlarged.
        enlarge: `nearest` (pixels become squares) or `cubic`.

    Raises:
        ConfigError: a value that makes no sense.
    """

    columns: int = 1
    rows: int = 1
    scale: int = 1
    enlarge: str = "nearest"

    def __post_init__(self) -> None:
        if self.columns < 1 or self.rows < 1:
            raise ConfigError("grid", got=f"{self.columns}x{self.rows}", expected="COLUMNSxROWS, 1x1 or more, e.g. 8x8")
        if self.scale < 1:
            raise ConfigError("scale", got=self.scale, expected="1 or more")
        if self.enlarge not in ("nearest", "cubic"):
            raise ConfigError("enlarge", got=repr(self.enlarge), expected="nearest or cubic")

    @property
    def count(self) -> int:
        """Pictures in a batch."""
        return self.columns * self.rows

    def laid_out(self, images: Image) -> Image:
        """One picture of all, row after row.

        Args:
            images: (columns * rows, H, W, 3) uint8.

        Returns:
            (rows * H * scale, columns * W * scale, 3) uint8; of a single picture, not enlarged, a view.
        """
        if self.scale > 1 and self.enlarge == "cubic":  # each by itself: pictures must not run into one another
            h, w = images.shape[1] * self.scale, images.shape[2] * self.scale
            images = np.stack([resize(image, (h, w), "cubic") for image in images])
        _, h, w, _ = images.shape
        tiled = images.reshape(self.rows, self.columns, h, w, 3).swapaxes(1, 2)
        whole = tiled.reshape(self.rows * h, self.columns * w, 3)
        if self.scale > 1 and self.enlarge == "nearest":
            whole = resize(whole, (whole.shape[0] * self.scale, whole.shape[1] * self.scale), "nearest")
        return whole


@dataclass(frozen=True)
class Latents(Frame):
    """A frame that has yet to be made: its `image` is NOTHING, `size_hw` is (0, 0).

    The network computes the grid as one batch, so a Result's outputs keep their batch axis.

    Attributes:
        inputs: what the network is given, by name, (n, …) each, n being the grid's count. Nothing writes into it.
        grid: how n pictures become one.
        told: what events say of it, e.g. seed and labels.
        turn: the inputs of one turn of a loop that it is part of, frame after frame; None in a stream that never
            closes.
    """

    inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    grid: Grid = field(default_factory=Grid)
    told: Mapping[str, Any] = field(default_factory=dict)
    turn: Callable[[], Iterator[Arrays]] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """`{"latents": …}`."""
        return {"latents": dict(self.told)}

    def feeds(self, manifest: Manifest, times_ms: dict[str, float]) -> Arrays:
        """The inputs as they are; the source has made them for this model."""
        return dict(self.inputs)

    def before(self) -> Iterator[Arrays]:
        """One turn of the loop, where there is one."""
        return iter(()) if self.turn is None else self.turn()

    def own(self, outputs: Arrays, times_ms: dict[str, float]) -> Arrays:
        """All of the batch."""
        return outputs

    def look(self, image: NDArray[Any]) -> NDArray[Any]:
        """The grid."""
        return self.grid.laid_out(image)
