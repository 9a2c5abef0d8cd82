"""Exams: what a smaller graph loses against the float graph, on pictures it was not calibrated on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..runtime import pixels
from ..runtime.dataset import SYNTHETIC, Pair
from ..runtime.errors import EpeeError, ExportError
from ..runtime.evaluate import open_fitting
from ..runtime.manifest import Fit
from ..runtime.scores import Confusion
from .calibration import spread
from .candidate import FRAME, Candidate
from .parity import open_onnx

PICTURES = 120
"""Most pictures of a validation split, both halves together."""


@dataclass(frozen=True)
class Mark:
    """What an exam says of a graph; `Budget.refuses` judges it.

    Attributes:
        drop: how much worse than the float graph, 0 to 1, the smaller the better: mIoU lost (negative where it wins),
            or of pictures the root mean square difference as a share of the range (40 dB PSNR are 0.01).
        numbers: for pictures `psnr`, `ssim` and, with an extractor, `features`; empty for masks.
    """

    drop: float
    numbers: Mapping[str, float] = field(default_factory=dict)


class Exam(Protocol):
    """Pictures to compare a smaller graph with the float graph on.

    Attributes:
        frames: each (H, W, 3) uint8 BGR, at the network's size.
    """

    @property
    def frames(self) -> Sequence[NDArray[Any]]:
        """See the class."""

    def mark(self, model: Any) -> Mark:
        """Measures a graph, `onnx.ModelProto`."""


@dataclass(frozen=True)
class MaskExam:
    """Pictures with the mask that is right.

    Attributes:
        frames: each (H, W, 3) uint8 BGR, at the network's size.
        labels: (h, w) uint8 class ids each, at their own size.
        fit: how frames were fitted, or None where labels have the network's size.
        classes: how many there are.
        ignore: the label id that is left out.
        miou: what the float graph reaches, 0 to 1.
    """

    frames: Sequence[NDArray[Any]]
    labels: Sequence[NDArray[Any]]
    fit: Fit | None
    classes: int
    ignore: int
    miou: float

    def mark(self, model: Any) -> Mark:
        """Gives the mIoU that a graph loses."""
        return Mark(self.miou - score(model, self.frames, self.labels, self.fit, self.classes, self.ignore))


@dataclass(frozen=True)
class Exams:
    """Two halves of one set of pictures.

    Attributes:
        search: what plans are compared on; even positions.
        gate: what the chosen plan must pass, once; odd positions.
        where: what the pictures are.
        labelled: whether labels say what is right; else the float graph does.
    """

    search: Exam
    gate: Exam
    where: str
    labelled: bool


def labelled_exams(candidate: Candidate, data: str | None) -> Exams | None:
    """Exams of masks on a validation split, or None where none is at hand.

    Args:
        candidate: the float graph.
        data: as `--data` names it; None takes the training's where it fits.

    Raises:
        DataError: `data` was named and cannot be read or has other classes.
        ExportError: fewer than two pictures.
    """
    text = data or candidate.data
    if not text or candidate.makes_pictures:
        return None
    try:
        split = open_fitting(candidate.manifest((), {}), text, "val")
        pairs = [split[i] for i in spread(len(split), PICTURES)]
    except EpeeError:
        if data is not None:
            raise
        return None
    where = text if text == SYNTHETIC else Path(text).name
    even, odd = halves(pairs, where)
    return Exams(_labelled(candidate, even), _labelled(candidate, odd), where, True)


def float_exams(candidate: Candidate, frames: Sequence[NDArray[Any]], where: str) -> Exams:
    """Exams of masks without labels: the float graph's masks are right.

    Args:
        frames: not used for calibration, at the network's size.

    Raises:
        ExportError: fewer than two.
    """
    def exam(half: Sequence[NDArray[Any]]) -> Exam:
        masks = outputs_of(candidate.model, half)
        return MaskExam(half, masks, None, len(candidate.names), candidate.ignore, 1.0)

    even, odd = halves(frames, where)
    return Exams(exam(even), exam(odd), f"{where}, without labels", False)


def halves(items: Sequence[Any], where: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """Even and odd positions. Raises ExportError where one of them would be empty."""
    if len(items) < 2:
        raise ExportError(f"pictures of '{where}' to measure INT8 on", got=len(items),
                          expected="at least 2 that are not calibrated on",
                          do="name a labelled data set with --data, or more frames with --calibration")
    return items[::2], items[1::2]


def outputs_of(model: Any, frames: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """The graph's answers in ONNX Runtime, a mask (H, W) uint8 or an image (rH, rW, 3) uint8 for each frame."""
    session = open_onnx(model)
    name = session.get_outputs()[0].name
    return [np.asarray(session.run([name], {FRAME: frame[None]})[0][0]) for frame in frames]


def score(model: Any, frames: Sequence[NDArray[Any]], labels: Sequence[NDArray[Any]], fit: Fit | None, classes: int,
          ignore: int) -> float:
    """mIoU of a graph, 0 to 1; see Exam for the arguments."""
    confusion = Confusion(classes, ignore)
    for label, mask in zip(labels, outputs_of(model, frames), strict=True):
        confusion.add(label, mask if fit is None else pixels.unfit_mask(mask, label.shape, fit))
    return confusion.miou()


def _labelled(candidate: Candidate, pairs: Sequence[Pair]) -> MaskExam:
    c = candidate
    frames = [np.ascontiguousarray(pixels.fit(image, c.size_hw, c.fit)) for image, _ in pairs]
    labels = [label for _, label in pairs]
    miou = score(c.model, frames, labels, c.fit, len(c.names), c.ignore)
    if math.isnan(miou):
        raise ExportError("labels to measure INT8 on", got="no labelled pixel", expected="class ids",
                          do="name another data set with --data")
    return MaskExam(frames, labels, c.fit, len(c.names), c.ignore, miou)
