"""Tails: how a segmenter's logits, small and float, become a mask of the frame's size.

The tail decides much of the time of a small network: a bilinear resize of all classes to the full size and the ArgMax
there cost as much as half of an INT8 network. Most of it is the resize. So the cheaper tails resize less and fill up
with class ids, which are one plane instead of eleven. All take the ArgMax over the last axis, which OpenVINO computes
twice as fast as over the second. `benchmarks/studies/tails.py` measures them, see TAILS.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..train.networks.segmenter import resize_logits

Tail = Callable[[Tensor, tuple[int, int]], tuple[Tensor, Tensor]]
"""(logits (N, classes, h, w), size_hw) -> (class ids (N, *size_hw) of any type, logits (N, h', w', classes) that the
ArgMax saw)."""


def full(logits: Tensor, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The reference: logits and ArgMax at the frame's size."""
    return _argmax(logits, size_hw)


def tall(logits: Tensor, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """All columns and half of the rows: what is thin in a street stands upright."""
    h, w = size_hw
    ids, seen = _argmax(logits, (-(-h // 2), w))
    return double(ids, size_hw), seen


def half(logits: Tensor, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Half of both, every id doubled."""
    h, w = size_hw
    ids, seen = _argmax(logits, (-(-h // 2), -(-w // 2)))
    return double(ids, size_hw), seen


def smooth(logits: Tensor, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Half of both, doubled so that slanted edges stay smooth, see `scale2x`."""
    h, w = size_hw
    ids, seen = _argmax(logits, (-(-h // 2), -(-w // 2)))
    return scale2x(ids)[:, :h, :w], seen


TAILS: dict[str, Tail] = {"full": full, "tall": tall, "half": half, "smooth": smooth}
"""By `python -m epee.benchmarks.studies.tails RUN --data $EPEE_DATA/camvid/camvid.yaml`, a network of 1.3 M
parameters at 480x360 with 11 classes, two cores; the last column was timed once by hand, on random logits:

| tail | mIoU, val | as `full` | INT8 in ONNX Runtime | the tail alone, ONNX Runtime / OpenVINO |
| --- | --- | --- | --- | --- |
| full | 0.6946 | 1 | 6.6 ms | 2.1 / 2.2 ms |
| tall | 0.6942 | 0.9942 | 5.5 ms | 1.2 / 1.4 ms |
| smooth | 0.6934 | 0.9931 | 5.2 ms | 0.9 / 1.2 ms |
| half | 0.6926 | 0.9907 | 5.0 ms | 0.6 / 0.9 ms |

Tried by hand on the same logits and left: bytes instead of floats before the resize (ONNX Runtime resizes them at half
the speed, 4 ms), a chain of Greater and Where (3.7 / 2.7 ms), class ids in the low digits of the logits and a ReduceMax
(3.0 / 3.0 ms), all rows and half of the columns (mIoU 0.6929), two thirds of both (the mean of its samples lies off the
pixel's centre, which moves edges by a quarter of a pixel)."""
TAIL = "tall"


def double(ids: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Nearest resize of (N, h, w) class ids to (N, *size_hw); in float32, which every runtime resizes."""
    return F.interpolate(ids[:, None].to(torch.float32), size=size_hw, mode="nearest").squeeze(1)


def scale2x(ids: Tensor) -> Tensor:
    """Doubles (N, h, w) class ids to (N, 2h, 2w) by Scale2x (Mazzoleni 2001), in float32.

    A quarter of a pixel takes the id of its two outer neighbours where these agree, unless the pixel ends a line (its
    neighbours to the left and right agree, or those above and below). Multiplied, not selected: ONNX Runtime's Where
    takes three times as long.
    """
    n, h, w = ids.shape
    e = ids.to(torch.float32)
    padded = F.pad(e[:, None], (1, 1, 1, 1), mode="replicate").squeeze(1)
    up, down = padded[:, :-2, 1:-1], padded[:, 2:, 1:-1]
    left, right = padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]
    edge = ~((left == right) | (up == down))  # (N, h, w)
    to_left, to_right = left - e, right - e
    rows = [torch.stack([e + ((side == left) & edge) * to_left, e + ((side == right) & edge) * to_right], -1)
            for side in (up, down)]  # (N, h, w, 2) each
    return torch.stack(rows, 2).reshape(n, 2 * h, 2 * w)


def _argmax(logits: Tensor, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    seen = resize_logits(logits, size_hw).permute(0, 2, 3, 1)  # (N, h, w, classes)
    return seen.argmax(-1), seen
