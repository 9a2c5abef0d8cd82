"""Cameras at this machine, through OpenCV.

The driver's queue is kept as short as it will be. A camera that is unplugged is opened again by its number until it is
back; one that hangs is noticed by the source's own watchdog. Where the driver stamps frames with the system's
monotonic clock (V4L2 does), that is their time of capture.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from typing import Any

from ..errors import SourceError
from ..pixels import Image
from ..timing import now_s
from . import Source
from .live import Arrival, LiveSource
from .options import StreamOptions
from .video import quiet_cv2

CHECK = "is it plugged in, is its number right, may this user read it (group 'video')?"
STAMP_S = 5.0
"""A driver's time stamp that is further from now than this is on another clock."""


def open_camera(text: str, *, options: StreamOptions, **_: object) -> Source:
    """Opens a camera by number or `/dev/videoN`.

    Raises:
        SourceError: it does not open, and `options.wait` is not set.
    """
    number = int(re.sub(r"\D", "", text))
    return LiveSource(f"camera{number}", f"camera {text}", lambda: CameraLink(text, number), options)


class CameraLink:
    """One opening of a device; see `live.Link`.

    Raises:
        SourceError: it does not open.
    """

    def __init__(self, text: str, number: int) -> None:
        cv2 = self._cv2 = quiet_cv2()
        self._text, self._stopped = text, False
        backend = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
        self._capture: Any = cv2.VideoCapture(number, backend)
        if not self._capture.isOpened():
            raise SourceError(f"camera {text} does not open", do=CHECK)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        size_wh = (int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        self.fps = fps if 0 < fps <= 1000 else None
        self.size_wh = size_wh if min(size_wh) > 0 else None

    def __iter__(self) -> Iterator[Arrival | None]:
        while not self._stopped:
            if not self._capture.grab():
                raise SourceError(f"camera {self._text} is lost", got="no more frames", do=CHECK)
            captured_s, start = self._stamp_s(), time.perf_counter()
            ok, image = self._capture.retrieve()
            decode_ms = 1e3 * (time.perf_counter() - start)
            yield Arrival(captured_s, _Held(image), decode_ms) if ok and image is not None else None

    def _stamp_s(self) -> float:
        """When the driver filled the buffer that was grabbed, or now where it does not say."""
        arrived_s = now_s()
        stamp_s = self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1e3
        return stamp_s if 0 <= arrived_s - stamp_s < STAMP_S else arrived_s

    def interrupt(self) -> None:
        """Ends the iteration with the next frame."""
        self._stopped = True

    def close(self) -> None:
        self._capture.release()


class _Held:
    """Gives an image that was decoded already."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def __call__(self) -> Image:
        return self._image
