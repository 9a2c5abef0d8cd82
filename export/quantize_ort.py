"""ONNX Runtime's quantiser. Ranges are collected once for each calibrator and serve every plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import need
from .calibration import spread
from .candidate import FRAME
from .schemes import HEAVY, LIGHT, Scheme, quiet
from .scratch import scratch

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "minmax": ("MinMax", {}),
    "percentile": ("Percentile", {"num_bins": 2048, "percentile": 99.99, "symmetric": False}),
    "entropy": ("Entropy", {"num_bins": 512, "num_quantized_bins": 128}),
}
"""Calibrator -> ONNX Runtime's method and its options, in the order in which they are tried."""
HISTOGRAM_FRAMES = 24
"""Frames that the calibrators by histogram see; they cost a hundred times what the minimum and maximum cost."""


class OnnxRuntime:
    """See `quantize.Engine`."""

    calibrators = tuple(METHODS)

    def __init__(self, model: Any, frames: Sequence[NDArray[Any]]) -> None:
        self._model, self._frames = model, frames
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
        """Ranges of all activations. Copied frames keep 0 to 255, so that their scale is 1 and their zero point 0."""
        if calibrator not in self._ranges:
            ranges = collect(self._model, calibrator, self._frames)
            tensor = need("onnxruntime.quantization.calibrate").TensorData
            for name in _copies(self._model, FRAME):
                if name in ranges.data:
                    ranges.data[name] = tensor(lowest=np.float32(0), highest=np.float32(255))
            self._ranges[calibrator] = ranges
        return self._ranges[calibrator]


def collect(model: Any, calibrator: str, frames: Sequence[NDArray[Any]]) -> Any:
    """Runs the frames and gives ONNX Runtime's TensorsData."""
    calibrate = need("onnxruntime.quantization.calibrate")
    onnx = need("onnx")
    method, options = METHODS[calibrator]
    if calibrator != "minmax":
        frames = [frames[i] for i in spread(len(frames), HISTOGRAM_FRAMES)]
    with scratch("epee-calibration-") as folder, quiet():
        file = folder / "model.onnx"
        onnx.save(model, file)
        collector = calibrate.create_calibrator(
            file, list(HEAVY + LIGHT), str(folder / "augmented.onnx"),
            calibrate_method=getattr(calibrate.CalibrationMethod, method), extra_options=options)
        for frame in frames:  # one by one, so that histograms are merged instead of held
            collector.collect_data(_reader(frame))
        return collector.compute_data()


def _reader(frame: NDArray[Any]) -> Any:
    """ONNX Runtime's CalibrationDataReader of one frame."""
    class Reader(need("onnxruntime.quantization").CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = iter([{FRAME: frame[None]}])

        def get_next(self) -> Any:
            return next(self.feeds, None)

    return Reader()


def _copies(model: Any, name: str) -> set[str]:
    """The tensors that hold the same values as `name`, in another type or order."""
    same = {name}
    for node in model.graph.node:
        if node.op_type in ("Cast", "Transpose", "Identity") and node.input[0] in same:
            same.update(node.output)
    return same
