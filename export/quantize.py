"""INT8: the float graph with QuantizeLinear and DequantizeLinear around what is to be computed in bytes.

The field's quantisers do the work, one file each; here is what surrounds them: the float graph is prepared, the layers
are named, and what comes out is put in order. The tail, from the last convolution on, stays float: it is cheap, and
the ArgMax decides between close numbers there.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

from ..runtime.errors import ExportError, near, need
from .early import early_bytes
from .quantize_ort import OnnxRuntime
from .samples import Sample
from .schemes import HEAVY, LIGHT, Scheme, quiet
from .scratch import scratch
from .to_onnx import IR_VERSION, drop_unused

ENGINES = {"onnxruntime": "quantize_ort:OnnxRuntime", "nncf": "quantize_nncf:Nncf",
           "modelopt": "quantize_modelopt:ModelOpt"}
"""What `--quantizer` takes -> file and class; imported when it is used."""


class Engine(Protocol):
    """Somebody's quantiser, made with the prepared float graph and the samples to calibrate on.

    Attributes:
        calibrators: ways to find ranges, in the order in which they are tried.
    """

    calibrators: tuple[str, ...]

    def cannot(self, scheme: Scheme) -> str:
        """Why it does not write a scheme, or ''."""

    def quantize(self, scheme: Scheme, calibrator: str, layers: Sequence[str]) -> Any:
        """Gives a graph, `onnx.ModelProto`, with the layers in INT8."""


def check_engine(name: str) -> None:
    """Raises ExportError for an engine that does not exist, MissingExtra for one that is not installed."""
    if name not in ENGINES:
        raise ExportError("quantizer", got=name, expected=", ".join(ENGINES), do=near(name, list(ENGINES)))
    need(name)


class Quantizer:
    """Makes INT8 graphs of one float graph.

    Attributes:
        model: the float graph, prepared.
        layers: names of the nodes that may be computed in bytes, heavy and light, without the tail and without what
            leads to a further output: what is carried to the next frame would gather the rounding of all frames.
        engine: who does it.
        calibrators: see Engine.
    """

    def __init__(self, model: Any, samples: Sequence[Sample], engine: str = "onnxruntime") -> None:
        """Prepares the graph.

        Args:
            model: `onnx.ModelProto` in float32.
            samples: what to calibrate on, at least one.
            engine: of ENGINES.

        Raises:
            ExportError: no samples, or no such engine. MissingExtra: the engine is not installed.
        """
        if not samples:
            raise ExportError("calibration samples", got="none", expected="at least one")
        check_engine(engine)
        self.model = _prepared(model)
        tail = _tail(self.model) | _carrying(self.model)
        self.layers = tuple(n.name for n in self.model.graph.node
                            if n.op_type in HEAVY + LIGHT and n.name not in tail)
        file, _, name = ENGINES[engine].partition(":")
        self.engine: Engine = getattr(importlib.import_module(f".{file}", __package__), name)(self.model, list(samples))
        self.calibrators = self.engine.calibrators
        self._alone = self.engine if engine == "onnxruntime" else OnnxRuntime(self.model, list(samples))

    def layers_of(self, scheme: Scheme) -> tuple[str, ...]:
        """The layers that a scheme computes in bytes."""
        operators = scheme.operators
        return tuple(n.name for n in self.model.graph.node if n.name in self.layers and n.op_type in operators)

    def quantize(self, scheme: Scheme, calibrator: str = "minmax", left_out: Sequence[str] = ()) -> Any:
        """Gives the INT8 graph.

        Args:
            scheme: of SCHEMES.
            calibrator: of `calibrators`.
            left_out: layers that stay float.
        """
        layers = [name for name in self.layers if name not in left_out]
        return _finished(self.engine.quantize(scheme, calibrator, layers), scheme)

    def alone(self, scheme: Scheme, layer: str) -> Any:
        """Gives a graph with one layer in INT8, to see the harm it does.

        ONNX Runtime's quantiser makes it whatever the engine: it has its ranges once, others run their frames anew
        for every graph, and the order of the layers is all that counts.
        """
        return _finished(self._alone.quantize(scheme, "minmax", [layer]), scheme)


def _prepared(model: Any) -> Any:
    """The graph after ONNX Runtime's own preparation: batch norms folded, shapes known, every node named."""
    onnx, quantization = need("onnx"), need("onnxruntime.quantization.shape_inference")
    with scratch("epee-quantize-") as folder, quiet():
        before, after = folder / "before.onnx", folder / "after.onnx"
        onnx.save(model, before)
        quantization.quant_pre_process(before, after, skip_symbolic_shape=True)
        prepared = onnx.load(after)
    for i, node in enumerate(prepared.graph.node):
        node.name = node.name or f"{node.op_type}_{i}"
    return prepared


def _finished(model: Any, scheme: Scheme) -> Any:
    """Puts the tail in a CPU's order where that is the target, takes out what the quantiser left over, and checks."""
    onnx = need("onnx")
    if scheme.x86:
        early_bytes(model)
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


def _carrying(model: Any) -> set[str]:
    """Names of the nodes that lead to an output after the first."""
    needed = {output.name for output in list(model.graph.output)[1:]}
    found = set()
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            found.add(node.name)
    return found


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
