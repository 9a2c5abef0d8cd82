"""Boundary F: how well the borders of classes are met, within a few pixels.

Csurka 2013 ("What is a good evaluation measure for semantic segmentation?", BMVC): of each class, precision is the
share of the answer's border pixels that have a border pixel of the label nearby, recall the share of the label's that
have one of the answer. Here they are counted over all pictures, and F is averaged over the classes.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

NEAR = 0.0075
"""What is nearby, as a share of the picture's diagonal."""


def count(label: NDArray[Any], answer: NDArray[Any], classes: int, ignore: int) -> NDArray[np.int64]:
    """(C, 4) of one picture: border pixels of the answer that are met, all of them; the same of the label.

    Args:
        label, answer: (H, W) uint8 class ids; where the label is `ignore` neither has borders.
        classes: C.
        ignore: the label id to leave out.
    """
    reach = max(1, round(NEAR * math.hypot(*label.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    void = cv2.dilate((label == ignore).astype(np.uint8), np.ones((3, 3), np.uint8))
    found = np.zeros((classes, 4), np.int64)
    for c in range(classes):
        said, known = (_border(mask, c) & (void == 0) for mask in (answer, label))
        for place, (these, those) in enumerate(((said, known), (known, said))):
            near = cv2.dilate(those.astype(np.uint8), disc) > 0
            found[c, 2 * place:2 * place + 2] = (these & near).sum(), these.sum()
    return found


def score(counts: NDArray[np.int64]) -> float:
    """Mean F over the classes that have borders, 0 to 1; NaN where none has. `counts` is (C, 4), summed."""
    each = []
    for met, all_said, hit, all_known in counts.tolist():
        if all_said or all_known:
            precision, recall = met / max(1, all_said), hit / max(1, all_known)
            each.append(2 * precision * recall / max(1e-12, precision + recall))
    return float(np.mean(each)) if each else math.nan


def _border(mask: NDArray[Any], c: int) -> NDArray[np.bool_]:
    """Pixels of a class with a neighbour, of four, of another one."""
    own = (mask == c).astype(np.uint8)
    inner = cv2.erode(own, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), borderValue=1)
    return (own - inner) > 0
