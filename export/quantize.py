"""INT8: the float graph with QuantizeLinear and DequantizeLinear around what is to be computed in bytes.

ONNX Runtime's quantiser does the work; here are the schemes, one for each kind of target, and what surrounds it.
Ranges are collected once for each calibrator and serve every plan. The tail, from the last convolution on, stays
float: it is cheap, and the ArgMax decides between close numbers there.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import ExportError, need
from .candidate import FRAME
from .to_onnx import IR_VERSION, drop_unused

HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that the time goes into."""
LIGHT = ("Add", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Resize", "Mul", "LeakyRelu",
         "PRelu", "Pad")
"""Operators that are computed in bytes where their neighbours are."""
HISTOGRAM_FRAMES = 24
"""Frames that the calibrators by histogram see; they cost a hundred times what the minimum and maximum cost."""


@dataclass(frozen=True)
class Scheme:
    """How a kind of target wants its bytes.

    Attributes:
        name: of the variant.
        signed: activations are QInt8 with zero point 0, else QUInt8 with any zero point.
        everywhere: light operators and outputs of convolutions are quantised too, as CPU kernels need it; else the
            inputs of heavy operators alone, which is how TensorRT wants to fuse them.
        bias: quantised to int32; TensorRT's parser refuses that.
        reduce_range: weights have 7 bits, so that sums of two products fit into 16 bits (x86 without VNNI).
        targets: as in the manifest.
        x86: whether this kind of CPU is its target, so that it can be timed on one.
    """

    name: str
    signed: bool
    everywhere: bool
    bias: bool
    reduce_range: bool
    targets: tuple[str, ...]
    x86: bool

    @property
    def operators(self) -> tuple[str, ...]:
        """Operators whose tensors are quantised."""
        return HEAVY + LIGHT if self.everywhere else HEAVY


SCHEMES = {s.name: s for s in (
    Scheme("int8-u8s8", False, True, True, False, ("cpu",), True),
    Scheme("int8-s8s8", True, False, False, False, ("tensorrt", "arm"), False),
    Scheme("int8-u8s8-rr", False, True, True, True, ("cpu-without-vnni",), True))}
"""Variant -> scheme."""
CALIBRATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "minmax": ("MinMax", {}),
    "percentile": ("Percentile", {"num_bins": 2048, "percentile": 99.99, "symmetric": False}),
    "entropy": ("Entropy", {"num_bins": 512, "num_quantized_bins": 128}),
}
"""Calibrator -> ONNX Runtime's method and its options, in the order in which they are tried."""


class Quantizer:
    """Makes INT8 graphs of one float graph.

    Attributes:
        model: the float graph, prepared.
        layers: names of the nodes that may be computed in bytes, heavy and light, tail apart.
    """

    def __init__(self, model: Any, frames: Sequence[NDArray[Any]]) -> None:
        """Prepares the graph.

        Args:
            model: `onnx.ModelProto` in float32 that takes FRAME.
            frames: what to calibrate on, at least one, each (H, W, 3) uint8 BGR.
        """
        if not frames:
            raise ExportError("calibration frames", got="none", expected="at least one")
        self._frames = list(frames)
        self.model = _prepared(model)
        self._ranges: dict[str, Any] = {}
        tail = _tail(self.model)
        self.layers = tuple(n.name for n in self.model.graph.node
                            if n.op_type in HEAVY + LIGHT and n.name not in tail)

    def layers_of(self, scheme: Scheme) -> tuple[str, ...]:
        """The layers that a scheme computes in bytes."""
        operators = scheme.operators
        return tuple(n.name for n in self.model.graph.node if n.name in self.layers and n.op_type in operators)

    def quantize(self, scheme: Scheme, calibrator: str = "minmax", left_out: Sequence[str] = (),
                 only: Sequence[str] | None = None) -> Any:
        """Gives the INT8 graph.

        Args:
            scheme: of SCHEMES.
            calibrator: of CALIBRATORS.
            left_out: layers that stay float.
            only: None, or the only layers that do not.
        """
        onnx, quantization = need("onnx"), need("onnxruntime.quantization")
        qdq = need("onnxruntime.quantization.qdq_quantizer")
        layers = [name for name in (self.layers if only is None else only) if name not in left_out]
        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        activation = quantization.QuantType.QInt8 if scheme.signed else quantization.QuantType.QUInt8
        options = {"ActivationSymmetric": scheme.signed, "WeightSymmetric": True, "QuantizeBias": scheme.bias,
                   "OpTypesToExcludeOutputQuantization": [] if scheme.everywhere else list(HEAVY)}
        excluded = [n.name for n in copy.graph.node if n.name not in layers]
        with _quiet():
            quantizer = qdq.QDQQuantizer(copy, True, scheme.reduce_range, quantization.QuantType.QInt8, activation,
                                         self._ranges_of(calibrator), [], excluded, list(scheme.operators), options)
            quantizer.quantize_model()
            quantizer.model.topological_sort()
        return _finished(quantizer.model.model)

    def _ranges_of(self, calibrator: str) -> Any:
        """Ranges of all activations. Copied frames keep 0 to 255, so that their scale is 1 and their zero point 0."""
        if calibrator not in self._ranges:
            ranges = _collect(self.model, calibrator, self._frames)
            tensor = need("onnxruntime.quantization.calibrate").TensorData
            for name in _copies(self.model, FRAME):
                if name in ranges.data:
                    ranges.data[name] = tensor(lowest=np.float32(0), highest=np.float32(255))
            self._ranges[calibrator] = ranges
        return self._ranges[calibrator]


def _collect(model: Any, calibrator: str, frames: Sequence[NDArray[Any]]) -> Any:
    """Runs the frames and gives ONNX Runtime's TensorsData."""
    calibrate = need("onnxruntime.quantization.calibrate")
    onnx = need("onnx")
    method, options = CALIBRATORS[calibrator]
    if calibrator != "minmax":
        chosen = np.linspace(0, len(frames) - 1, min(HISTOGRAM_FRAMES, len(frames))).round().astype(int)
        frames = [frames[int(i)] for i in chosen]
    with tempfile.TemporaryDirectory(prefix="epee-calibration-") as folder, _quiet():
        file = Path(folder, "model.onnx")
        onnx.save(model, file)
        collector = calibrate.create_calibrator(
            file, list(HEAVY + LIGHT), str(Path(folder, "augmented.onnx")),
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


def _prepared(model: Any) -> Any:
    """The graph after ONNX Runtime's own preparation: batch norms folded, shapes known, every node named."""
    onnx, quantization = need("onnx"), need("onnxruntime.quantization.shape_inference")
    with tempfile.TemporaryDirectory(prefix="epee-quantize-") as folder, _quiet():
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(model, before)
        quantization.quant_pre_process(before, after, skip_symbolic_shape=True)
        prepared = onnx.load(after)
    for i, node in enumerate(prepared.graph.node):
        node.name = node.name or f"{node.op_type}_{i}"
    return prepared


def _finished(model: Any) -> Any:
    """Takes out what the quantiser left over, and checks the graph."""
    onnx = need("onnx")
    drop_unused(model)
    domains = {node.domain for node in model.graph.node}
    opsets = [o for o in model.opset_import if o.domain in domains]
    copies = [type(o).FromString(o.SerializeToString()) for o in opsets]
    del model.opset_import[:]
    model.opset_import.extend(copies)
    del model.metadata_props[:]
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "epee", ""
    onnx.checker.check_model(model)
    return model


def _tail(model: Any) -> set[str]:
    """Names of the nodes that no heavy node comes after: from the last convolutions to the mask."""
    feeding: set[str] = set()
    tail = set()
    for node in reversed(model.graph.node):
        if node.op_type in HEAVY or feeding.intersection(node.output):
            feeding.update(node.input)
        else:
            tail.add(node.name)
    return tail


def _copies(model: Any, name: str) -> set[str]:
    """The tensors that hold the same values as `name`, in another type or order."""
    same = {name}
    for node in model.graph.node:
        if node.op_type in ("Cast", "Transpose", "Identity") and node.input[0] in same:
            same.update(node.output)
    return same


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the quantiser's prints and advice off the screen; errors still raise."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.root.setLevel(level)
