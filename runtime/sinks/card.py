"""The card that is shown and recorded while there is no picture: the last one, dimmed, and how long it is old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import need
from ..pixels import Image

if TYPE_CHECKING:
    from ..sources import Status

EMPTY_HW = (360, 640)


def lost_card(last: Image | None, status: Status, name: str = "") -> Image:
    """The last picture, dark, under a band that says what is missing and since when.

    Args:
        last: (H, W, 3) uint8 BGR; None where there was none yet.

    Returns:
        (H, W, 3) uint8, BGR; a new array.
    """
    cv2: Any = need("cv2")
    card: Image = np.full((*EMPTY_HW, 3), 24, np.uint8) if last is None else cv2.convertScaleAbs(last, alpha=0.3)
    h, w = card.shape[:2]
    what = "connecting" if status.state == "connecting" else "signal lost"
    lines = [f"{name}: {what}" if name else what, _since(status.for_s)]
    scale = max(0.3, min(h / 300, w / 420))
    step = round(36 * scale)
    top = h // 2 - step
    card[max(0, top - step):top + round(1.6 * step)] = (40, 40, 160) if status.state == "lost" else (90, 70, 30)
    for i, line in enumerate(lines):
        (width, _), _ = cv2.getTextSize(_ascii(line), cv2.FONT_HERSHEY_SIMPLEX, scale, max(1, round(2 * scale)))
        at = max(2, (w - width) // 2), top + i * step + step // 3
        cv2.putText(card, _ascii(line), at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), max(1, round(2 * scale)),
                    cv2.LINE_AA)
    return card


def _since(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _ascii(text: str) -> str:
    """OpenCV's fonts have no other letters."""
    return text.encode("ascii", "replace").decode()
