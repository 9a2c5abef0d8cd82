"""`mosaic:SINK`: the newest pictures of several streams side by side, at a steady rate, in one sink."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import SinkError, need
from .frames import Frame, Result
from .manifest import Fit, Manifest, TensorSpec
from .outlets import Outlets
from .pixels import Image, fit
from .sinks import Opened, SinkInfo, open_sink, parse_sink
from .sinks.card import lost_card
from .timing import now_s

if TYPE_CHECKING:
    from .sources import Status

FPS = 12.5
LARGEST_WH = (1920, 1080)
TILE_WH = (640, 480)
TAKES = ("window", "mp4", "recording", "png", "web", "null")
"""Kinds of sinks that a mosaic may go into: those that show pictures."""


class TileSink(Opened):
    """One stream's place in a mosaic: keeps the newest picture for whoever draws it."""

    kind = "mosaic"

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._newest: Image | None = None
        self._status: Status | None = None
        self._lock = threading.Lock()

    def prepare(self, result: Result) -> None:
        _ = result.picture

    def write(self, result: Result) -> None:
        with self._lock:
            self._newest, self._status = result.picture, None

    def lost(self, status: Status) -> None:
        with self._lock:
            self._status = status if status.state in ("lost", "connecting") else None

    def picture(self) -> Image | None:
        """What is to be shown of this stream now; None where nothing came yet."""
        with self._lock:
            newest, status = self._newest, self._status
        return newest if status is None else lost_card(newest, status)


class Mosaic:
    """Draws tiles into sinks; opened, ticked and closed on one thread. A context manager.

    Args:
        texts: sinks for `open_sink`.
        names: the streams', in the order of their tiles.
        manifest: of one of the streams' models; what it says of masks is left out, for a mosaic is a picture.

    Attributes:
        tiles: a sink for each stream.
        alive: whether it still has a sink to draw into.

    Raises:
        SinkError: a sink that shows no pictures, or one that does not open.
    """

    def __init__(self, texts: Sequence[str], names: Sequence[str], manifest: Manifest) -> None:
        self.tiles = [TileSink(name) for name in names]
        columns = math.ceil(math.sqrt(len(names)))
        rows = math.ceil(len(names) / columns)
        scale = min(1.0, LARGEST_WH[0] / (columns * TILE_WH[0]), LARGEST_WH[1] / (rows * TILE_WH[1]))
        w, h = (round(side * scale) // 2 * 2 for side in TILE_WH)
        self._boxes = [(i // columns * h, i % columns * w) for i in range(len(names))]
        self._tile_hw, self._size_hw = (h, w), (rows * h, columns * w)
        self._manifest = replace(manifest, task="translate", classes=(), colours=(),
                                 outputs=(TensorSpec("image", (None, *self._size_hw, 3), "uint8", "NHWC", "bgr8"),))
        info = SinkInfo("mosaic", self._manifest, FPS, live=True)
        for text in texts:
            if parse_sink(text)[0] not in TAKES:
                raise SinkError(f"sink 'mosaic:{text}'", got="a sink that shows no pictures",
                                expected="mosaic: and one of " + ", ".join(TAKES))
        self._outlets = Outlets([open_sink(text, info) for text in texts])
        self._index, self._next_s = 0, now_s()
        self.alive = True

    @property
    def outlets(self) -> Outlets:
        """The sinks that it draws into: which files they wrote, which failed."""
        return self._outlets

    def tick(self) -> None:
        """Draws a picture if it is time for one. Raises SinkEnd and EpeeError as `Outlets.write` does."""
        now = now_s()
        if now < self._next_s:
            return
        self._next_s = max(self._next_s + 1 / FPS, now)
        image = self.draw()
        frame = Frame(image, self._index, "mosaic", now, f"{self._index:06d}")
        self._index += 1
        self._outlets.write(Result(frame, {"image": image}, self._manifest))

    def draw(self) -> Image:
        """All tiles, (H, W, 3) uint8 BGR: each the stream's newest picture, whole, with its name below it."""
        cv2: Any = need("cv2")
        image: Image = np.full((*self._size_hw, 3), 24, np.uint8)
        h, w = self._tile_hw
        for tile, (top, left) in zip(self.tiles, self._boxes, strict=True):
            place = image[top:top + h, left:left + w]
            picture = tile.picture()
            if picture is not None:
                place[:] = fit(picture, (h, w), Fit("letterbox", "area"))
            cv2.putText(place, tile.name.encode("ascii", "replace").decode(), (8, h - 10), cv2.FONT_HERSHEY_SIMPLEX,
                        h / 700, (0, 0, 0), 3, cv2.LINE_AA)
            cv2.putText(place, tile.name.encode("ascii", "replace").decode(), (8, h - 10), cv2.FONT_HERSHEY_SIMPLEX,
                        h / 700, (255, 255, 255), 1, cv2.LINE_AA)
        return image

    def close(self) -> None:
        """Finishes the sinks."""
        self._outlets.close()

    def __enter__(self) -> Mosaic:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
