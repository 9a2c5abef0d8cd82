"""NNCF, Intel's Neural Network Compression Framework, as the quantiser, with its bias correction.

It decides by itself which light operators the CPU gains by, and leaves biases float.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..runtime.errors import ExportError, need
from .samples import Sample
from .schemes import Scheme, quiet

RANGES = {"minmax": "MINMAX", "mean": "MEAN_MINMAX", "quantile": "MEAN_QUANTILE"}
"""Calibrator -> NNCF's own name: over all samples, the mean of each one's, and the mean of each one's quantiles."""


class Nncf:
    """See `quantize.Engine`."""

    calibrators = tuple(RANGES)

    def __init__(self, model: Any, samples: Sequence[Sample]) -> None:
        self._model, self._samples = model, samples

    def cannot(self, scheme: Scheme) -> str:
        """It writes what CPUs take: after a ReLU bytes without a sign, which TensorRT refuses."""
        return "nncf quantises for CPUs (int8-u8s8) alone; take another --quantizer" if scheme.signed else ""

    def quantize(self, scheme: Scheme, calibrator: str, layers: Sequence[str]) -> Any:
        """Gives the INT8 graph.

        Raises:
            ExportError: NNCF does not take the graph.
        """
        nncf, onnx = need("nncf"), need("onnx")
        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        ignored = [n.name for n in copy.graph.node if n.name not in layers]
        nncf.set_log_level(logging.ERROR)
        try:
            with quiet():
                return nncf.quantize(
                    copy, nncf.Dataset(self._samples, dict), subset_size=len(self._samples),
                    preset=nncf.QuantizationPreset.MIXED, target_device=nncf.TargetDevice.CPU,
                    ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
                    advanced_parameters=_advanced(scheme, calibrator))
        except Exception as error:
            raise ExportError("nncf does not quantise the graph", got=" ".join(str(error).split())[:300],
                              do="take another --quantizer") from error


def _advanced(scheme: Scheme, calibrator: str) -> Any:
    """NNCF's settings beyond the plain ones."""
    settings = need("nncf.quantization.advanced_parameters")
    ranges = need("nncf.quantization.range_estimator").RangeEstimatorParametersSet
    overflow = settings.OverflowFix
    return settings.AdvancedQuantizationParameters(
        overflow_fix=overflow.ENABLE if scheme.reduce_range else overflow.DISABLE,
        activations_range_estimator_params=getattr(ranges, RANGES[calibrator]))
