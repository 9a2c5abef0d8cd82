"""ONNX Runtime's quantiser. Ranges are collected once for each calibrator and serve every plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..runtime.errors import need
from .calibration import spread
from .samples import Sample
from .schemes import HEAVY, LIGHT, Scheme, quiet
from .scratch import scratch

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "minmax": ("MinMax", {}),
    "percentile": ("Percentile", {"num_bins": 2048, "percentile": 99.99, "symmetric": False}),
    "entropy": ("Entropy", {"num_bins": 512, "num_quantized_bins": 128}),
}
"""Calibrator -> ONNX Runtime's method and its options, in the order in which they are tried."""
HISTOGRAM_SAMPLES = 24
"""Samples that the calibrators by histogram see; they cost a hundred times what the minimum and maximum cost."""


class OnnxRuntime:
    """See `quantize.Engine`."""

    calibrators = tuple(METHODS)

    def __init__(self, model: Any, samples: Sequence[Sample]) -> None:
        self._model, self._samples = model, samples
        self._ranges: dict[str, Any] = {}

    def cannot(self, scheme: Scheme) -> str:
        """It writes every scheme."""
        return ""

    def quantize(self, scheme: Scheme, calibrator: str, layers: Sequence[str]) -> Any:
        """Gives the INT8 graph."""
        onnx, quantization = need("onnx"), need("onnxruntime.quantization")
        qdq = need("onnxruntime.quantization.qdq_quantizer")
        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        activation = quantization.QuantType.QInt8 if scheme.signed else quantization.QuantType.QUInt8
        options = {"ActivationSymmetric": scheme.signed, "WeightSymmetric": True, "QuantizeBias": scheme.bias,
                   "OpTypesToExcludeOutputQuantization": [] if scheme.everywhere else list(HEAVY)}
        excluded = [n.name for n in copy.graph.node if n.name not in layers]
        with quiet():
            quantizer = qdq.QDQQuantizer(copy, True, scheme.reduce_range, quantization.QuantType.QInt8, activation,
                                         self._ranges_of(calibrator), [], excluded, list(scheme.operators), options)
            quantizer.quantize_model()
            quantizer.model.topological_sort()
        return quantizer.model.model

    def _ranges_of(self, calibrator: str) -> Any:
        """Ranges of all activations. Copied bytes keep 0 to 255, so that their scale is 1 and their zero point 0."""
        if calibrator not in self._ranges:
            ranges = collect(self._model, calibrator, self._samples)
            tensor = need("onnxruntime.quantization.calibrate").TensorData
            for name in _copies(self._model):
                if name in ranges.data:
                    ranges.data[name] = tensor(lowest=np.float32(0), highest=np.float32(255))
            self._ranges[calibrator] = ranges
        return self._ranges[calibrator]


def collect(model: Any, calibrator: str, samples: Sequence[Sample]) -> Any:
    """Runs the samples and gives ONNX Runtime's TensorsData."""
    calibrate = need("onnxruntime.quantization.calibrate")
    onnx = need("onnx")
    method, options = METHODS[calibrator]
    if calibrator != "minmax":
        samples = [samples[i] for i in spread(len(samples), HISTOGRAM_SAMPLES)]
    with scratch("epee-calibration-") as folder, quiet():
        file = folder / "model.onnx"
        onnx.save(model, file)
        collector = calibrate.create_calibrator(
            file, list(HEAVY + LIGHT), str(folder / "augmented.onnx"),
            calibrate_method=getattr(calibrate.CalibrationMethod, method), extra_options=options)
        for sample in samples:  # one by one, so that histograms are merged instead of held
            collector.collect_data(_reader(sample))
        return collector.compute_data()


def _reader(sample: Sample) -> Any:
    """ONNX Runtime's CalibrationDataReader of one sample."""
    class Reader(need("onnxruntime.quantization").CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = iter([dict(sample)])

        def get_next(self) -> Any:
            return next(self.feeds, None)

    return Reader()


def _copies(model: Any) -> set[str]:
    """The tensors that hold the same values as an input of bytes, in another type or order."""
    same = {i.name for i in model.graph.input if i.type.tensor_type.elem_type == need("onnx").TensorProto.UINT8}
    for node in model.graph.node:
        if node.op_type in ("Cast", "Transpose", "Identity") and node.input[0] in same:
            same.update(node.output)
    return same
