"""Parity: does the exported graph answer as the network that was trained? Measured on real pictures, never on noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import ExportError, need
from ..runtime.machine import cpu
from ..runtime.manifest import TensorSpec
from ..runtime.scores import close_share, equal_share, psnr
from ..runtime.variants import NEEDS_VNNI, saturates
from .candidate import Candidate
from .samples import Sample
from .to_onnx import with_output

MAX_PSNR = 100.0
"""dB that stand for pictures that are equal."""


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
        frames: number of samples.
        psnr: of pictures, in dB over all of them together, at most MAX_PSNR; None for masks.
    """

    equal: float
    logit_max_diff: float | None
    logit_scale: float | None
    frames: int
    psnr: float | None = None

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
        """The numbers by name; what is not finite is None, and a mask has no `psnr`."""
        return {k: v if v is not None and math.isfinite(v) else None for k, v in vars(self).items()
                if k != "psnr" or v is not None}


def measure(model: Any, candidate: Candidate, samples: Sequence[Sample],
            thresholds: Thresholds = THRESHOLDS["fp32"]) -> Parity:
    """Compares a graph in ONNX Runtime, on the CPU, with the candidate's reference.

    Args:
        model: `onnx.ModelProto` with the candidate's inputs, outputs and inner tensor.
        candidate: whose reference it is.
        samples: at least one.
        thresholds: say which values of a picture are equal.
    """
    inner = candidate.inner
    session = open_onnx(with_output(model, inner) if inner else model)
    names = [spec.name for spec in candidate.outputs] + ([inner] if inner else [])
    equal, differences, scales, pairs = [], [], [], []
    for sample in samples:
        got, want = dict(zip(names, session.run(names, dict(sample)), strict=True)), candidate.answer(sample)
        equal.append(min(_equal(got[spec.name], want[spec.name], spec, thresholds) for spec in candidate.outputs))
        if inner in want:
            differences.append(float(np.abs(got[inner].astype(np.float32) - want[inner]).max()))
            scales.append(float(np.abs(want[inner]).max()))
        pairs.append((got[candidate.output.name], want[candidate.output.name]))
    decibels = min(psnr(*map(np.concatenate, zip(*pairs, strict=True))), MAX_PSNR) if candidate.makes_pictures else None
    return Parity(float(np.mean(equal)), float(np.max(differences)) if differences else None,
                  float(np.max(scales)) if scales else None, len(equal), decibels)


def _equal(got: NDArray[Any], want: NDArray[Any], spec: TensorSpec, thresholds: Thresholds) -> float:
    """Share of equal values of one output, 0 to 1."""
    if spec.dtype != "uint8":
        return close_share(got, want, thresholds.max_logit_diff)
    return equal_share(got, want, thresholds.max_step if spec.pixel == "bgr8" else 0)


def open_onnx(model: Any) -> Any:
    """Gives an `onnxruntime.InferenceSession` on the CPU for a model in memory.

    A graph in INT8 answers as on the targets that it is made for: where this CPU's kernels cut off sums of products of
    bytes, they are left out, and the same bytes are multiplied in float.

    Raises:
        ExportError: ONNX Runtime does not take the graph.
    """
    ort = need("onnxruntime")
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # several may be open side by side
    if saturates(NEEDS_VNNI, cpu()):
        settings.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError("ONNX Runtime does not open the exported graph",
                          got=" ".join(str(error).split())[:300]) from error
