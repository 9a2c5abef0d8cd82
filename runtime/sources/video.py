"""A video file, decoded by the FFmpeg inside OpenCV.

Measured on 2 cores (milliseconds of CPU a frame up to BGR, H.264): OpenCV with one decoder thread 0.36 at 480x360 and
1.96 at 1280x720, PyAV 0.45 and 1.99 at best. So OpenCV decodes, and no extra is needed to read a video.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import SourceError, need
from ..frames import Frame
from ..timing import cpus, now_s
from . import Opened, notice
from .containers import box_names, declared_bytes


class VideoSource(Opened):
    """Every frame of a file, turned upright as its metadata says.

    A file that was cut gives the frames it has; then the iteration ends in an error that counts them.
    """

    def __init__(self, text: str, **_: object) -> None:
        path = Path(text)
        cv2 = quiet_cv2()
        self._cv2 = cv2
        threads = max(1, min(4, cpus() // 2))
        self._capture: Any = cv2.VideoCapture(text, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
        if not self._capture.isOpened():
            raise SourceError(f"video '{text}' does not open", got=_why(path), expected="a whole video file")
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        size_wh = (int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        super().__init__(path.stem, path=text, fps=fps if math.isfinite(fps) and 0 < fps <= 1000 else None,
                         count=count if count > 0 else None, size_wh=size_wh if min(size_wh) > 0 else None)

    def __iter__(self) -> Iterator[Frame]:
        capture, position = self._capture, self._cv2.CAP_PROP_POS_MSEC
        index = 0
        while True:
            start = time.perf_counter()
            ok, image = capture.read()
            if not ok:
                break
            self._tally.frame()
            yield Frame(self.bgr(image), index, self.name, now_s(), f"{index:06d}", capture.get(position) / 1e3,
                        1e3 * (time.perf_counter() - start))
            index += 1
        self._tally.ended()
        self._account_for(index)

    def _account_for(self, decoded: int) -> None:
        """Raises SourceError where the file ended before it should have."""
        declared, actual = declared_bytes(Path(self.path)), os.path.getsize(self.path)
        if declared is not None and actual < declared:
            raise SourceError(f"video '{self.path}' is cut off: {decoded} of {self.count or '?'} frames decoded",
                              got=f"{actual} bytes", expected=f"{declared} bytes",
                              do="copy it again; what could be decoded was processed")
        if decoded == 0:
            raise SourceError(f"video '{self.path}'", got="no frame that decodes", expected="a whole video file")
        if self.count is not None and decoded < 0.9 * self.count:
            notice(f"video '{self.path}': {decoded} frames decoded where its header says {self.count}")

    def close(self) -> None:
        self._capture.release()


def quiet_cv2() -> Any:
    """OpenCV, told to keep its and FFmpeg's own chatter off standard error: we say in one line what is wrong."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2: Any = need("cv2")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def _why(path: Path) -> str:
    """What is wrong with a file that does not open."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        return error.strerror or str(error)
    if not head:
        return "an empty file"
    declared = declared_bytes(path)
    if declared is not None and declared > path.stat().st_size:
        return f"{path.stat().st_size} bytes where its header says {declared}: the copy is cut off"
    if head[4:8] == b"ftyp" and "moov" not in box_names(path):
        return "an MP4 without its index (moov): the recording was not finished, or the copy is cut off"
    return "no video that FFmpeg knows"
