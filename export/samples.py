"""Samples: what goes into a graph, whatever its task, and where it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .tensors import FRAME

Sample = Mapping[str, NDArray[Any]]
"""The inputs of one picture by name, batch axis of 1 first, as a session takes them."""


@dataclass(frozen=True)
class Calibration:
    """Samples that INT8's ranges come from.

    Attributes:
        source: as given, or how they were drawn.
        names: of the samples used, in order: files, numbers of frames, or numbers of draws.
        samples: those used.
        held_back: from between those, not to be calibrated on; empty unless asked for.
        sha256: over the bytes of the samples, hex.
    """

    source: str
    names: tuple[str, ...]
    samples: tuple[Sample, ...]
    held_back: tuple[Sample, ...]
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {"source": Path(self.source).name, "frames": list(self.names), "sha256": self.sha256}


class Supply(Protocol):
    """Where the samples of a task come from: pictures, or chance. No two of its methods give the same sample."""

    def goldens(self) -> list[Sample]:
        """Samples that anyone may have: they are written into the bundle."""

    def parity(self, data: str | None) -> tuple[list[Sample], str]:
        """Samples that fp32 and fp16 are compared with the reference on, and what they are.

        Args:
            data: as `--data` names it, or None.

        Raises:
            DataError: `data` was named and cannot be read.
        """

    def held_out(self, data: str | None) -> tuple[list[Sample], str] | None:
        """Samples that INT8's pictures are measured on, and what they are; None where they are held back from those
        that are calibrated on."""

    def calibration(self, text: str, count: int, hold_back: bool) -> Calibration:
        """Samples to calibrate INT8 on.

        Args:
            text: as `--calibration` names it, or ''.
            count: at most so many, where there are others.
            hold_back: also gives samples that lie between those used, where there are any.

        Raises:
            ExportError: there are none.
            DataError, SourceError: what was named cannot be read.
        """


@dataclass(frozen=True)
class Asked:
    """What a user asks of an export, as far as samples go: looked at before a network is traced, which takes long.

    Attributes:
        trained_on: the training's data, or '' where nobody knows.
        data, calibration: as the options name them, or None.
        count: samples to calibrate on; 0 where no INT8 is asked for.
    """

    trained_on: str
    data: str | None
    calibration: str | None
    count: int


def framed(frames: Iterable[NDArray[Any]]) -> list[Sample]:
    """Samples of frames, each (H, W, 3) uint8 BGR."""
    return [{FRAME: np.ascontiguousarray(frame)[None]} for frame in frames]


def stacked(samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
    """At least one sample, as one batch."""
    return {name: np.concatenate([sample[name] for sample in samples]) for name in samples[0]}


def digest_of(samples: Sequence[Sample]) -> str:
    """SHA-256 over the bytes of the samples, hex."""
    digest = hashlib.sha256()
    for sample in samples:
        for name in sorted(sample):
            digest.update(sample[name].tobytes())
    return digest.hexdigest()
