"""Parity: does the exported graph answer as the network that was trained? Measured on real pictures, never on noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import ExportError, need
from ..runtime.scores import equal_share
from .candidate import FRAME, Candidate
from .to_onnx import with_output


@dataclass(frozen=True)
class Thresholds:
    """What parity must reach.

    Attributes:
        min_equal: least share of equal values (class ids, or a picture's values within `max_step`), 0 to 1.
        max_logit_diff: largest difference of an inner value, as a share of the reference's largest.
        max_step: a picture's values within so many grey levels are equal; rounding to bytes turns any rounding
            inside into one.
    """

    min_equal: float
    max_logit_diff: float
    max_step: int = 1


THRESHOLDS: dict[str, Thresholds] = {"fp32": Thresholds(min_equal=0.9995, max_logit_diff=1e-3),
                                     "fp16": Thresholds(min_equal=0.995, max_logit_diff=5e-2, max_step=2)}
"""Precision -> thresholds. INT8 is judged by its budget instead."""


@dataclass(frozen=True)
class Parity:
    """What was measured.

    Attributes:
        equal: share of equal values of the output, 0 to 1, see Thresholds.
        logit_max_diff: largest difference of an inner value (a logit before the ArgMax); None where the graph has no
            inner tensor to compare.
        logit_scale: largest magnitude of the reference's inner values, or None.
        frames: number of pictures.
    """

    equal: float
    logit_max_diff: float | None
    logit_scale: float | None
    frames: int

    def failure(self, thresholds: Thresholds) -> str:
        """Says what does not hold, or '' where all does."""
        if self.logit_scale is not None and not math.isfinite(self.logit_scale):
            return "the network's logits are not finite; its weights are broken"
        if not self.equal >= thresholds.min_equal:
            return (f"{self.equal:.5f} of the output's values equal the reference's, "
                    f"expected at least {thresholds.min_equal}")
        if self.logit_scale is None or self.logit_max_diff is None:
            return ""
        allowed = thresholds.max_logit_diff * self.logit_scale
        if not self.logit_max_diff <= allowed:  # written so that NaN fails
            return f"logits differ by {self.logit_max_diff:.2g} from the reference's, expected at most {allowed:.2g}"
        return ""

    def to_json(self) -> dict[str, float | None]:
        """The numbers by name; what is not finite is None."""
        return {k: v if v is not None and math.isfinite(v) else None for k, v in vars(self).items()}


def measure(model: Any, candidate: Candidate, frames: Sequence[NDArray[Any]],
            thresholds: Thresholds = THRESHOLDS["fp32"]) -> Parity:
    """Compares a graph in ONNX Runtime, on the CPU, with the candidate's reference.

    Args:
        model: `onnx.ModelProto` with the candidate's input, output and inner tensor.
        candidate: whose reference it is.
        frames: at least one picture, each (H, W, 3) uint8, BGR.
        thresholds: say which values of a picture are equal.
    """
    c = candidate
    session = open_onnx(with_output(model, c.inner) if c.inner else model)
    names = [c.output, c.inner] if c.inner else [c.output]
    max_step = thresholds.max_step if c.makes_pictures else 0
    equal, differences, scales = [], [], []
    for frame in frames:
        got, *inner = session.run(names, {FRAME: frame[None]})
        want, want_inner = c.answer(frame)
        equal.append(equal_share(got, want, max_step))
        if inner and want_inner is not None:
            differences.append(float(np.abs(inner[0].astype(np.float32) - want_inner).max()))
            scales.append(float(np.abs(want_inner).max()))
    return Parity(float(np.mean(equal)), float(np.max(differences)) if differences else None,
                  float(np.max(scales)) if scales else None, len(equal))


def open_onnx(model: Any) -> Any:
    """Gives an `onnxruntime.InferenceSession` on the CPU for a model in memory.

    Raises:
        ExportError: ONNX Runtime does not take the graph.
    """
    ort = need("onnxruntime")
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # several may be open side by side
    try:
        return ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError("ONNX Runtime does not open the exported graph",
                          got=" ".join(str(error).split())[:300]) from error
