"""Tiles: a frame of any size through a network of one size, in parts that overlap and are blended without a seam.

Near a tile's border a network sees padding where the frame goes on, as far as its reach. So neighbours overlap, what
lies within the reach of a border that is not the frame's own is left out where the overlap allows it, and over the
rest one tile fades into the other. An overlap of more than twice the reach gives what the network would make of the
whole frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError, DataError, need
from .frames import Arrays, Frame, frame_spec
from .manifest import TILE, Manifest
from .pixels import Image
from .timing import timed

FADE = 8
"""Pixels over which one tile fades into the next where nobody says how far they overlap."""
AT_ONCE = 4
"""Tiles that go through the network together, where its batch is free."""


@dataclass(frozen=True)
class Tiles:
    """That frames go through in tiles, and how.

    Attributes:
        overlap: pixels that neighbouring tiles share at least; None takes twice the network's reach and a little to
            fade over, at most half a tile.
    """

    overlap: int | None = None

    def __post_init__(self) -> None:
        if self.overlap is not None and self.overlap < 0:
            raise ConfigError("overlap of tiles", got=self.overlap, expected="0 or more pixels")


@dataclass(frozen=True)
class Layout:
    """Where tiles lie.

    Attributes:
        tile_hw: height and width of a tile.
        rows, columns: where they begin, from 0 up; the last may end outside the frame, which is continued there.
        trim: pixels that are left out at a border inside the frame, where the overlap is wide enough.
    """

    tile_hw: tuple[int, int]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    trim: int

    @property
    def covered_hw(self) -> tuple[int, int]:
        """Height and width of what the tiles cover: the frame, or a little more."""
        return self.rows[-1] + self.tile_hw[0], self.columns[-1] + self.tile_hw[1]

    def cut(self, image: Image) -> Image:
        """(tiles, h, w, 3) uint8, row after row; beyond the frame its last pixels are repeated."""
        (h, w), (covered_h, covered_w), (tile_h, tile_w) = image.shape[:2], self.covered_hw, self.tile_hw
        if (h, w) != (covered_h, covered_w):
            cv2: Any = need("cv2")
            image = cv2.copyMakeBorder(image, 0, covered_h - h, 0, covered_w - w, cv2.BORDER_REPLICATE)
        return np.stack([image[y:y + tile_h, x:x + tile_w] for y in self.rows for x in self.columns])

    def joined(self, tiles: Image, frame_hw: tuple[int, int]) -> Image:
        """One picture of all tiles.

        Args:
            tiles: (tiles, r h, r w, 3) uint8, as `cut` gave them, r times as large.
            frame_hw: height and width of the frame.

        Returns:
            (r H, r W, 3) uint8.
        """
        scale = tiles.shape[1] // self.tile_hw[0]
        grid = tiles.reshape(len(self.rows), len(self.columns), *tiles.shape[1:])
        columns, rows = ([start * scale for start in starts] for starts in (self.columns, self.rows))
        strips = [merged(list(row), columns, self.trim * scale, axis=1) for row in grid]
        whole = merged(strips, rows, self.trim * scale, axis=0)
        return np.ascontiguousarray(whole[:frame_hw[0] * scale, :frame_hw[1] * scale])


@dataclass(frozen=True)
class TiledFrame(Frame):
    """A frame that goes through the network in tiles; see Frame."""

    layout: Layout = field(default_factory=lambda: Layout((1, 1), (0,), (0,), 0))
    most: int = AT_ONCE

    def feeds(self, manifest: Manifest, times_ms: dict[str, float]) -> Arrays:
        """All tiles; the stage `tile` is the time to cut them."""
        with timed(times_ms, "tile"):
            return {frame_spec(manifest).name: self.layout.cut(self.image)}

    def parts(self, feeds: Arrays) -> Iterator[Arrays]:
        """So many tiles at a time that memory stays bounded."""
        for start in range(0, len(next(iter(feeds.values()))), self.most):
            yield {name: array[start:start + self.most] for name, array in feeds.items()}

    def own(self, outputs: Arrays, times_ms: dict[str, float]) -> Arrays:
        """The pictures, each joined from its tiles in the stage `join`."""
        with timed(times_ms, "join"):
            return {name: self.layout.joined(array, self.size_hw) for name, array in outputs.items()}


def tiled(frame: Frame, manifest: Manifest, tiles: Tiles | None) -> Frame:
    """The frame in tiles, where they are asked for or the bundle itself wants them, and its size is not the network's.

    Args:
        frame: of any size.
        manifest: the model's description.
        tiles: how; None leaves it to the manifest's `fit`.

    Raises:
        DataError: tiles are asked for, and the model takes none.
        ConfigError: an overlap as large as a tile.
    """
    if tiles is None and manifest.fit.mode != TILE:
        return frame
    spec, tiling = frame_spec(manifest), manifest.tiling
    if tiling is None or spec.size_hw is None:
        raise DataError(f"tiles for model '{manifest.name}' ({manifest.task})",
                        got="a bundle that says nothing of them",
                        expected="a translator or an enhancer",
                        do="leave --tile and --overlap out, or export it again")
    if frame.size_hw == spec.size_hw:
        return frame
    overlap = tiles.overlap if tiles is not None else None
    rows, columns = (starts(length, tile, tiling.step, _overlap(overlap, tiling.reach, tile))
                     for length, tile in zip(frame.size_hw, spec.size_hw, strict=True))
    own = {f.name: getattr(frame, f.name) for f in fields(Frame)}
    return TiledFrame(**own, layout=Layout(spec.size_hw, rows, columns, tiling.reach), most=spec.shape[0] or AT_ONCE)


def starts(length: int, tile: int, step: int, overlap: int) -> tuple[int, ...]:
    """Where tiles begin along an axis: at multiples of `step`, with at least `overlap` between neighbours.

    Args:
        length: of the frame.
        tile: of a tile.
        step: see `manifest.Tiling`.
        overlap: less than `tile`.

    Raises:
        ConfigError: so large an overlap that tiles get nowhere.
    """
    if length <= tile:
        return (0,)
    stride = (tile - overlap) // step * step
    if stride < 1:
        most = max(0, tile - step)
        raise ConfigError("overlap of tiles", got=overlap, expected=f"at most {most} for tiles of {tile}",
                          do="take a smaller one, or export the bundle for larger frames with --size")
    last = math.ceil((length - tile) / step) * step
    return (*range(0, last, stride), last)


def merged(pictures: list[Image], begins: list[int], trim: int, axis: int) -> Image:
    """Pictures along an axis, each faded into the one before.

    Args:
        pictures: (H, W, 3) uint8 each, of one size.
        begins: where each begins, rising.
        trim: of both sides of an overlap, left out where it is wide enough.
        axis: 0 (down) or 1 (across).
    """
    if len(pictures) == 1:
        return pictures[0]
    size = pictures[0].shape[axis]
    shape = list(pictures[0].shape)
    shape[axis] = begins[-1] + size
    whole = np.empty(shape, np.uint8)
    end = 0
    for picture, begin in zip(pictures, begins, strict=True):
        shared = end - begin
        left_out = max(0, min(trim, (shared - 1) // 2)) if shared > 0 else 0
        first, last = (begin + left_out, end - left_out) if shared > 0 else (begin, begin)
        if last > first:
            zone = _along(whole, first, last, axis)
            zone[:] = faded(zone, _along(picture, first - begin, last - begin, axis), axis)
        _along(whole, last, begin + size, axis)[:] = _along(picture, last - begin, size, axis)
        end = begin + size
    return whole


def faded(before: Image, after: Image, axis: int) -> Image:
    """From one picture to the other along an axis, evenly, both (H, W, 3) uint8."""
    cv2: Any = need("cv2")
    h, w, length = *before.shape[:2], before.shape[axis]
    ramp = ((np.arange(length, dtype=np.float32) + 1) / (length + 1)).reshape((-1, 1) if axis == 0 else (1, -1))
    share = np.ascontiguousarray(np.broadcast_to(ramp, (h, w)))
    mixed: NDArray[Any] = cv2.blendLinear(np.ascontiguousarray(before), np.ascontiguousarray(after), 1 - share, share)
    return mixed


def _overlap(asked: int | None, reach: int, tile: int) -> int:
    return min(2 * reach + FADE, tile // 2) if asked is None else asked


def _along(image: Image, first: int, last: int, axis: int) -> Image:
    return image[first:last] if axis == 0 else image[:, first:last]
