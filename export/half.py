"""fp16: the float graph with weights and activations in half precision.

Bytes are cast to float16 directly, so that no float32 tensor is left between a camera and its mask. What ONNX defines
in float32 alone (a Resize's scales) stays, and so do the operators in FLOAT_OPERATORS, whose sums leave float16's
range: they get a Cast before and after.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..runtime.errors import ExportError, need
from .to_onnx import drop_unused

FLOAT_OPERATORS = ("InstanceNormalization", "LayerNormalization", "GroupNormalization", "ReduceMean", "ReduceSum",
                   "ReduceSumSquare", "ReduceL2", "Softmax", "LogSoftmax", "Exp", "Pow", "CumSum")
"""Operators that stay in float32: their inner sums or powers overflow or lose too much in float16."""
FLOAT_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}
"""Operator -> inputs that ONNX defines as float32."""
LARGEST = float(np.finfo(np.float16).max)


def to_half(model: Any) -> Any:
    """Gives a copy in float16; inputs and outputs of the graph keep their types.

    Args:
        model: `onnx.ModelProto` in float32, weights inside.

    Raises:
        ExportError: a weight does not fit into float16.
    """
    onnx = need("onnx")
    half = onnx.ModelProto()
    half.CopyFrom(onnx.shape_inference.infer_shapes(model))
    single = _single_tensors(half)
    kept = _kept_weights(half)
    for weight in half.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT and weight.name not in kept:
            _halve(weight)
    nodes: list[Any] = []
    for node in half.graph.node:
        nodes += _converted(node, single, kept)
    outputs = {o.name for o in half.graph.output if o.name in single}
    inputs = {i.name for i in half.graph.input if i.name in single}
    nodes = _borders(nodes, inputs, outputs)
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    del half.graph.value_info[:]
    half = onnx.shape_inference.infer_shapes(half)
    drop_unused(half)
    onnx.checker.check_model(half, full_check=True)
    return half


def _single_tensors(model: Any) -> set[str]:
    """Names of all float32 tensors that a node may read."""
    single = model.graph.value_info, model.graph.input, model.graph.output
    names = {v.name for field in single for v in field if v.type.tensor_type.elem_type == 1}
    return names | {w.name for w in model.graph.initializer if w.data_type == 1}


def _kept_weights(model: Any) -> set[str]:
    """Weights that only inputs in FLOAT_INPUTS read."""
    kept: set[str] = set()
    halved: set[str] = set()
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            (kept if i in FLOAT_INPUTS.get(node.op_type, ()) else halved).add(name)
    return kept - halved


def _halve(weight: Any) -> None:
    """Turns one float32 TensorProto into float16, in place."""
    numpy_helper = need("onnx.numpy_helper")
    values = numpy_helper.to_array(weight)
    largest = float(np.abs(values).max()) if values.size else 0.0
    if not largest <= LARGEST:  # written so that NaN fails
        raise ExportError(f"weight '{weight.name}' in float16", got=f"{largest:.3g}", expected=f"at most {LARGEST:g}",
                          do="leave fp16 out of --precision")
    weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), weight.name))


def _converted(node: Any, single: set[str], kept: set[str]) -> Iterable[Any]:
    """The node in float16, or, where it stays in float32, with a Cast for each of its float tensors."""
    onnx = need("onnx")
    floats = FLOAT_INPUTS.get(node.op_type, ())
    if node.op_type in FLOAT_OPERATORS:
        before, after = [], []
        for i, name in enumerate(node.input):
            if name in single:
                before.append(_cast(name, f"{name}_single_{node.output[0]}", 1))
                node.input[i] = before[-1].output[0]
        for i, name in enumerate(node.output):
            if name in single:
                after.append(_cast(f"{name}_single", name, 10))
                node.output[i] = after[-1].input[0]
        return [*before, node, *after]
    before = []
    for i in floats:  # computed scales come back to float32
        if i < len(node.input) and node.input[i] in single and node.input[i] not in kept:
            before.append(_cast(node.input[i], f"{node.input[i]}_single_{node.output[0]}", 1))
            node.input[i] = before[-1].output[0]
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
            attribute.i = onnx.TensorProto.FLOAT16
        if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == onnx.TensorProto.FLOAT:
            _halve(attribute.t)
    return [*before, node]


def _borders(nodes: list[Any], inputs: set[str], outputs: set[str]) -> list[Any]:
    """Casts float32 inputs and outputs of the graph, so that they keep their type."""
    for node in nodes:
        for field in (node.input, node.output):
            for i, name in enumerate(field):
                if name in inputs | outputs:
                    field[i] = f"{name}_half"
    return [*(_cast(name, f"{name}_half", 10) for name in sorted(inputs)), *nodes,
            *(_cast(f"{name}_half", name, 1) for name in sorted(outputs))]


def _cast(before: str, after: str, to: int) -> Any:
    """A Cast node; 1 is float32, 10 is float16."""
    return need("onnx").helper.make_node("Cast", [before], [after], name=f"cast_{before}_to_{after}", to=to)
