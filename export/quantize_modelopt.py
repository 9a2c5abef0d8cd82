"""NVIDIA's Model Optimizer as the quantiser: symmetric INT8 the way TensorRT fuses it.

It calibrates on the CPU, and on the given samples alone: without any it would make up random ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..runtime.errors import ExportError, need
from .samples import Sample, stacked
from .schemes import HEAVY, Scheme, quiet
from .scratch import scratch

METHODS = {"minmax": "max", "entropy": "entropy"}
"""Calibrator -> Model Optimizer's own name."""


class ModelOpt:
    """See `quantize.Engine`."""

    calibrators = tuple(METHODS)

    def __init__(self, model: Any, samples: Sequence[Sample]) -> None:
        self._model, self._samples = model, samples

    def cannot(self, scheme: Scheme) -> str:
        """It writes what TensorRT takes, and nothing for CPUs."""
        return "" if scheme.signed else "modelopt quantises for TensorRT (int8-s8s8) alone; take another --quantizer"

    def quantize(self, scheme: Scheme, calibrator: str, layers: Sequence[str]) -> Any:
        """Gives the INT8 graph.

        Raises:
            ExportError: Model Optimizer does not take the graph.
        """
        onnx, quantization = need("onnx"), need("modelopt.onnx.quantization")
        others = [f"^{re.escape(n.name)}$" for n in self._model.graph.node if n.name not in layers]
        with scratch("epee-modelopt-") as folder, quiet():
            before, after = folder / "float.onnx", folder / "int8.onnx"
            onnx.save(self._model, before)
            try:
                quantization.quantize(
                    str(before), "int8", calibration_data=stacked(self._samples),
                    calibration_method=METHODS[calibrator], calibration_eps=["cpu"], high_precision_dtype="fp32",
                    op_types_to_quantize=list(HEAVY), nodes_to_exclude=others, output_path=str(after),
                    log_level="ERROR")
                return onnx.load(after)
            except Exception as error:
                raise ExportError("modelopt does not quantise the graph", got=" ".join(str(error).split())[:300],
                                  do="take another --quantizer") from error
