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
from ..runtime.dataset import Pair
from ..runtime.description import SYNTHETIC
from ..runtime.errors import EpeeError, ExportError
from ..runtime.evaluate import open_fitting
from ..runtime.manifest import Fit
from ..runtime.scores import Confusion, equal_share
from .calibration import spread
from .candidate import Candidate
from .parity import open_onnx
from .samples import Sample, framed

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

    def line(self) -> str:
        """What a person reads of it."""
        numbers = self.numbers
        return f"PSNR {numbers['psnr']:.1f} dB" if "psnr" in numbers else f"drop {self.drop:.4f}"


class Exam(Protocol):
    """Samples to compare a smaller graph with the float graph on.

    Attributes:
        samples: what goes in.
    """

    @property
    def samples(self) -> Sequence[Sample]:
        """See the class."""

    def mark(self, model: Any) -> Mark:
        """Measures a graph, `onnx.ModelProto`."""

    def apart(self, got: NDArray[Any], want: NDArray[Any]) -> float:
        """How far two outputs are apart, 0 (equal) to 1."""


@dataclass(frozen=True)
class MaskExam:
    """Frames with the mask that is right.

    Attributes:
        samples: of frames.
        labels: (h, w) uint8 class ids each, at their own size.
        fit: how frames were fitted, or None where labels have the network's size.
        classes: how many there are.
        ignore: the label id that is left out.
        miou: what the float graph reaches, 0 to 1.
    """

    samples: Sequence[Sample]
    labels: Sequence[NDArray[Any]]
    fit: Fit | None
    classes: int
    ignore: int
    miou: float

    def mark(self, model: Any) -> Mark:
        """Gives the mIoU that a graph loses."""
        return Mark(self.miou - score(model, self.samples, self.labels, self.fit, self.classes, self.ignore))

    def apart(self, got: NDArray[Any], want: NDArray[Any]) -> float:
        """Share of pixels of another class."""
        return 1 - equal_share(got, want)


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


def float_exams(candidate: Candidate, samples: Sequence[Sample], where: str) -> Exams:
    """Exams of masks without labels: the float graph's masks are right.

    Args:
        samples: not used for calibration.

    Raises:
        ExportError: fewer than two.
    """
    def exam(half: Sequence[Sample]) -> Exam:
        masks = outputs_of(candidate.model, half)
        return MaskExam(half, masks, None, len(candidate.names), ignored(candidate), 1.0)

    even, odd = halves(samples, where)
    return Exams(exam(even), exam(odd), f"{where}, without labels", False)


def ignored(candidate: Candidate) -> int:
    """The label id that scores leave out: none of a byte's where the candidate names none."""
    return 256 if candidate.ignore is None else candidate.ignore


def halves(items: Sequence[Any], where: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """Even and odd positions. Raises ExportError where one of them would be empty."""
    if len(items) < 2:
        raise ExportError(f"pictures of '{where}' to measure INT8 on", got=len(items),
                          expected="at least 2 that are not calibrated on",
                          do="name a labelled data set with --data, or more frames with --calibration")
    return items[::2], items[1::2]


def outputs_of(model: Any, samples: Sequence[Sample]) -> list[NDArray[Any]]:
    """The graph's first output in ONNX Runtime, a mask (H, W) uint8 or an image (H, W, 3) uint8 for each sample."""
    session = open_onnx(model)
    name = session.get_outputs()[0].name
    return [np.asarray(session.run([name], dict(sample))[0][0]) for sample in samples]


def answers_of(model: Any, samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
    """All outputs of the graph in ONNX Runtime by name, one batch."""
    session = open_onnx(model)
    names = [output.name for output in session.get_outputs()]
    answers = [session.run(names, dict(sample)) for sample in samples]
    return {name: np.concatenate(arrays) for name, arrays in zip(names, zip(*answers, strict=True), strict=True)}


def score(model: Any, samples: Sequence[Sample], labels: Sequence[NDArray[Any]], fit: Fit | None, classes: int,
          ignore: int) -> float:
    """mIoU of a graph, 0 to 1; see MaskExam for the arguments."""
    confusion = Confusion(classes, ignore)
    for label, mask in zip(labels, outputs_of(model, samples), strict=True):
        confusion.add(label, mask if fit is None else pixels.unfit_mask(mask, label.shape, fit))
    return confusion.miou()


def _labelled(candidate: Candidate, pairs: Sequence[Pair]) -> MaskExam:
    c = candidate
    samples = framed(pixels.fit(image, c.size_hw, c.fit) for image, _ in pairs)
    labels = [label for _, label in pairs]
    miou = score(c.model, samples, labels, c.fit, len(c.names), ignored(c))
    if math.isnan(miou):
        raise ExportError("labels to measure INT8 on", got="no labelled pixel", expected="class ids",
                          do="name another data set with --data")
    return MaskExam(samples, labels, c.fit, len(c.names), ignored(c), miou)
