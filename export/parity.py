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
from .candidate import FRAME, LOGITS, MASK, Answer
from .to_onnx import with_output


@dataclass(frozen=True)
class Thresholds:
    """What parity must reach.

    Attributes:
        min_equal: least share of pixels with the same class id, 0 to 1.
        max_logit_diff: largest difference of a logit, as a share of the largest logit of the reference.
    """

    min_equal: float
    max_logit_diff: float


THRESHOLDS: dict[str, Thresholds] = {"fp32": Thresholds(min_equal=0.9995, max_logit_diff=1e-3),
                                     "fp16": Thresholds(min_equal=0.995, max_logit_diff=5e-2)}
"""Precision -> thresholds. INT8 is judged by its budget instead."""


@dataclass(frozen=True)
class Parity:
    """What was measured.

    Attributes:
        equal: share of pixels with the same class id, 0 to 1.
        logit_max_diff: largest difference of a logit, before the ArgMax.
        logit_scale: largest magnitude of the reference's logits.
        frames: number of pictures.
    """

    equal: float
    logit_max_diff: float
    logit_scale: float
    frames: int

    def failure(self, thresholds: Thresholds) -> str:
        """Says what does not hold, or '' where all does."""
        allowed = thresholds.max_logit_diff * self.logit_scale
        if not math.isfinite(self.logit_scale):
            return "the network's logits are not finite; its weights are broken"
        if not self.equal >= thresholds.min_equal:
            return (f"{self.equal:.5f} of the mask's pixels equal the reference's, "
                    f"expected at least {thresholds.min_equal}")
        if not self.logit_max_diff <= allowed:  # written so that NaN fails
            return f"logits differ by {self.logit_max_diff:.2g} from the reference's, expected at most {allowed:.2g}"
        return ""

    def to_json(self) -> dict[str, float | None]:
        """The numbers by name; what is not finite is None."""
        return {k: v if math.isfinite(v) else None for k, v in vars(self).items()}


def measure(model: Any, answer: Answer, frames: Sequence[NDArray[Any]]) -> Parity:
    """Compares a graph in ONNX Runtime, on the CPU, with the reference.

    Args:
        model: `onnx.ModelProto` that answers MASK and has LOGITS inside.
        answer: the reference's answers.
        frames: at least one picture, each (H, W, 3) uint8, BGR.
    """
    session = open_onnx(with_output(model, LOGITS))
    equal, differences, scales = [], [], []
    for frame in frames:
        mask, logits = session.run([MASK, LOGITS], {FRAME: frame[None]})
        want_mask, want_logits = answer(frame)
        equal.append(equal_share(mask, want_mask))
        differences.append(np.abs(logits.astype(np.float32) - want_logits).max())
        scales.append(np.abs(want_logits).max())
    return Parity(float(np.mean(equal)), float(np.max(differences)), float(np.max(scales)), len(equal))


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
