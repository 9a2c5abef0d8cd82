"""`FILE.mp4`: H.264 in yuv420p, which every browser plays.

The file is written in fragments of a second and turned into a plain MP4 when it is closed, so that a process that is
killed leaves a file that plays, too.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SinkError, need
from ..frames import Result
from ..manifest import Fit
from ..pixels import Image, fit
from ..timing import now_s
from . import Opened, SinkInfo
from .card import lost_card

if TYPE_CHECKING:
    from ..sources import Status

DEFAULT_FPS = 25.0
CLOCK = 90_000
OPTIONS = {"preset": "veryfast", "crf": "20", "tune": "zerolatency"}
FRAGMENTS = {"movflags": "+hybrid_fragmented", "frag_duration": "1000000", "flush_packets": "1"}


class Mp4Sink(Opened):
    """Writes `picture` of each result; sizes that are odd get a copied line more, for H.264 wants even ones.

    Frames of a file are evenly spaced at its exact rate; frames of a live source keep their times of capture. While a
    live source is lost, the last picture, dark and with a band that says so, is written once a second.

    Attributes:
        last: the newest picture, what the band is drawn over.
    """

    kind = "mp4"

    def __init__(self, target: str, info: SinkInfo) -> None:
        super().__init__(target)
        self._av: Any = need("av")
        self._rate = rate(info.fps or DEFAULT_FPS)
        self._live = info.live
        self._stream: Any = None
        self._size_hw = (0, 0)
        self._first_s = 0.0
        self._pts = -1
        self.last: Image | None = None
        try:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            self._container: Any = self._av.open(target, "w", format="mp4", options=FRAGMENTS)
        except OSError as error:
            raise self.failed(error) from None

    def prepare(self, result: Result) -> None:
        self._planes(result)

    def write(self, result: Result) -> None:
        self.last = result.picture
        self._encode(self._planes(result), result.frame.captured_s)

    def lost(self, status: Status) -> None:
        if self.last is not None and status.state in ("lost", "connecting"):
            self._encode(to_i420(lost_card(self.last, status)), now_s())

    def _encode(self, planes: NDArray[np.uint8], captured_s: float) -> None:
        try:
            if self._stream is None:
                self._start(planes, captured_s)
            elif planes.shape[0] * 2 // 3 != self._size_hw[0] or planes.shape[1] != self._size_hw[1]:
                planes = self._fitted(planes)
            frame = self._av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = self._next_pts(captured_s), self._stream.codec_context.time_base
            self._container.mux(self._stream.encode(frame))
        except OSError as error:
            raise self.failed(error) from None

    def _fitted(self, planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Another size in the size of this video, whole, with borders: the source came back with other frames."""
        cv2: Any = need("cv2")
        return to_i420(fit(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), self._size_hw, Fit("letterbox")))

    def close(self) -> None:
        container, self._container = self._container, None
        if container is None:
            return
        try:
            try:
                if self._stream is not None:
                    container.mux(self._stream.encode())
            finally:
                container.close()
        except OSError as error:
            raise self.failed(error) from None
        finally:
            if self._stream is None and Path(self.target).is_file():
                Path(self.target).unlink()

    def _planes(self, result: Result) -> NDArray[np.uint8]:
        return result.once("i420", lambda: to_i420(result.picture))

    def _start(self, planes: NDArray[np.uint8], captured_s: float) -> None:
        """Adds the video stream, in the size of the first picture."""
        h, w = planes.shape[0] * 2 // 3, planes.shape[1]
        try:
            stream = self._container.add_stream("libx264", rate=self._rate)
        except Exception as error:
            raise SinkError(f"sink '{self.target}': this PyAV has no libx264", got=str(error),
                            do="pip install 'epee[video]'") from None
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = w, h, "yuv420p"
        context.options = OPTIONS
        context.gop_size = max(1, round(2 * self._rate))
        context.time_base = Fraction(1, CLOCK) if self._live else 1 / self._rate
        context.colorspace, context.color_range = 6, 1  # BT.601 in studio range: what to_i420 makes
        self._stream, self._size_hw, self._first_s = stream, (h, w), captured_s

    def _next_pts(self, captured_s: float) -> int:
        at = round((captured_s - self._first_s) * CLOCK) if self._live else self._pts + 1
        self._pts = max(self._pts + 1, at)
        return self._pts


def rate(fps: float) -> Fraction:
    """The exact rate behind a rounded one: 29.97 is 30000/1001."""
    whole = Fraction(round(fps * 1.001) * 1000, 1001)
    if abs(float(whole) - fps) < 0.006 and abs(fps - round(fps)) > 1e-3:
        return whole
    return Fraction(fps).limit_denominator(1001)


def to_i420(image: Image) -> NDArray[np.uint8]:
    """A picture as the planes of yuv420p, BT.601: (H * 3/2, W) uint8, H and W made even by repeating the last line.

    Args:
        image: (H, W, 3) uint8, BGR.
    """
    cv2: Any = need("cv2")
    h, w = image.shape[:2]
    if h % 2 or w % 2:
        image = cv2.copyMakeBorder(image, 0, h % 2, 0, w % 2, cv2.BORDER_REPLICATE)
    planes: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    return planes
