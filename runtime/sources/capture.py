"""Cameras and network streams, through OpenCV's reader as it is.

The reader keeps a few frames of its own, so a slow model sees frames that are a little old, and a lost stream is an
error: there is no reconnect here.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ..errors import SourceError
from ..frames import Frame
from ..pixels import Image
from ..timing import now_s
from . import Opened
from .video import quiet_cv2

OPEN_MS, READ_MS = 10_000, 10_000
CLOSE_S = 0.5


class _Capture(Opened):
    """Grabs, stamps, decodes."""

    _capture: Any
    _what: str
    _may_end = False
    _closed = False

    def _start(self, capture: Any, name: str, what: str, do: str) -> None:
        cv2 = quiet_cv2()
        if not capture.isOpened():
            raise SourceError(f"{what} does not open", do=do)
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        size_wh = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        super().__init__(name, fps=fps if 0 < fps <= 1000 else None, live=True,
                         size_wh=size_wh if min(size_wh) > 0 else None)
        self._capture, self._what = capture, what
        self._reading = threading.Lock()

    def __iter__(self) -> Iterator[Frame]:
        index, first_s = 0, None
        while (read := self._read()) is not None:
            captured_s, decode_ms, image = read
            first_s = captured_s if first_s is None else first_s
            yield Frame(self.bgr(image), index, self.name, captured_s, f"{index:06d}", captured_s - first_s, decode_ms)
            index += 1
        if not self._closed and (index == 0 or not self._may_end):
            raise SourceError(f"{self._what} gives no more frames", got=f"{index} frames so far",
                              do="check the cable, the network and whether another program holds it")

    def _read(self) -> tuple[float, float, Image] | None:
        """Time of capture, milliseconds of decoding and image of the next frame that decodes, or None at the end."""
        with self._reading:
            while not self._closed and self._capture.grab():
                captured_s, start = now_s(), time.perf_counter()
                ok, image = self._capture.retrieve()
                if ok:
                    return captured_s, 1e3 * (time.perf_counter() - start), image
            if self._closed:
                self._capture.release()
        return None

    def close(self) -> None:
        """Releases the device; where another thread waits in a read, that thread releases it when the read returns."""
        self._closed = True
        if self._reading.acquire(timeout=CLOSE_S):
            self._capture.release()
            self._reading.release()


class CameraSource(_Capture):
    """A camera by number or `/dev/videoN`."""

    def __init__(self, text: str, **_: object) -> None:
        cv2 = quiet_cv2()
        number = int(re.sub(r"\D", "", text))
        self._start(cv2.VideoCapture(number), f"camera{number}", f"camera {text}",
                    "is it plugged in, is its number right, may this user read it (group 'video')?")


class StreamSource(_Capture):
    """`rtsp://…` or `http://…`; a stream over HTTP may come to an end, one over RTSP may not."""

    def __init__(self, text: str, **_: object) -> None:
        cv2 = quiet_cv2()
        url = urlsplit(text)
        shown = f"{url.scheme}://{url.hostname}{f':{url.port}' if url.port else ''}{url.path}"
        self._may_end = url.scheme.startswith("http")
        capture = cv2.VideoCapture(text, cv2.CAP_FFMPEG, [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_MS,
                                                          cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_MS])
        self._start(capture, f"{url.hostname}{url.path}".strip("/"), f"stream '{shown}'",
                    "check address, network and credentials")
