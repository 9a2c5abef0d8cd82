"""`window`: shows results on this machine's screen, at the pace of the source.

Esc, q or closing the window ends the run.

Has to be opened, written and closed on one thread, the main one on macOS; the loop does.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from ..errors import SinkError, need
from ..frames import Result
from ..pixels import Image
from . import Opened, SinkEnd, SinkInfo
from .card import lost_card

if TYPE_CHECKING:
    from ..sources import Status

ESCAPE = 27


class WindowSink(Opened):
    """A window named after the source. A file is not shown faster than it was recorded."""

    kind = "window"

    def __init__(self, target: str, info: SinkInfo) -> None:
        super().__init__()
        self._cv2: Any = need("cv2")
        if not has_windows(self._cv2):
            raise SinkError("sink 'window'", got="an OpenCV without windows (opencv-python-headless)",
                            do="pip uninstall opencv-python-headless, then pip install 'epee[cv]'; or take FILE.mp4")
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise SinkError("sink 'window'", got="no screen here (DISPLAY is not set)",
                            do="take FILE.mp4, or log in with a desktop or ssh -X")
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")  # OpenCV's Qt complains of missing fonts
        self._title = f"epee - {info.source}"
        self._step_s = 1 / info.fps if info.fps and not info.live else 0.0
        self._due_s = 0.0
        try:
            self._cv2.namedWindow(self._title, self._cv2.WINDOW_NORMAL | self._cv2.WINDOW_KEEPRATIO)
        except self._cv2.error as error:
            raise SinkError("sink 'window' does not open", got=str(error).splitlines()[0],
                            do="take FILE.mp4, or check DISPLAY") from None
        self._shown = False
        self._last: Image | None = None

    def prepare(self, result: Result) -> None:
        _ = result.picture

    def write(self, result: Result) -> None:
        self._last = result.picture
        self._show(self._last)

    def lost(self, status: Status) -> None:
        if status.state in ("lost", "connecting"):
            self._show(lost_card(self._last, status))

    def _show(self, image: Image) -> None:
        cv2 = self._cv2
        if not self._shown:
            h, w = image.shape[:2]
            cv2.resizeWindow(self._title, w, h)
            self._shown, self._due_s = True, time.monotonic()
        cv2.imshow(self._title, image)
        self._due_s = max(self._due_s + self._step_s, time.monotonic() - self._step_s)
        key = cv2.waitKey(max(1, round(1e3 * (self._due_s - time.monotonic())))) & 0xFF
        if key in (ESCAPE, ord("q")) or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            raise SinkEnd

    def close(self) -> None:
        if self._title:
            with_title, self._title = self._title, ""
            try:
                self._cv2.destroyWindow(with_title)
                self._cv2.waitKey(1)
            except self._cv2.error:  # closed by hand already
                pass


def has_windows(cv2: Any) -> bool:
    """Whether this OpenCV was built with windows at all."""
    for line in cv2.getBuildInformation().splitlines():
        if line.strip().startswith("GUI:"):
            return line.split(":", 1)[1].strip().upper() != "NONE"
    return True
