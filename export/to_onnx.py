"""A torch module becomes a plain ONNX graph: free batch, fixed picture size, nothing computed that is known.

The graph keeps to operator set 18 and IR version 9, which ONNX Runtime 1.23, OpenVINO and TensorRT 10.3 all open.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..runtime.errors import ExportError, need

OPSET, IR_VERSION = 18, 9
BATCH = "N"
"""The name of the free batch axis."""


def to_onnx(module: nn.Module, inputs: Sequence[Tensor], input_names: Sequence[str],
            output_names: Sequence[str]) -> Any:
    """Gives the ONNX model of a module whose inputs and outputs all have the batch as their first axis.

    Args:
        module: in eval mode; what depends on training or chance does not belong into a graph.
        inputs: an example of each input. The batch may be any; the other axes stay as they are here.
        input_names, output_names: the tensors' names, in the order of `forward`.

    Returns:
        `onnx.ModelProto`, checked, weights inside.

    Raises:
        ExportError: the module is in train mode, or torch cannot trace it.
    """
    onnx = need("onnx")
    need("onnxscript")
    if any(m.training for m in module.modules()):
        raise ExportError("network to export", got="train mode", expected="eval mode", do="call .eval() first")
    examples = tuple(torch.cat([x[:1], x[:1]]) for x in inputs)  # a batch of 1 would be taken for a constant
    batch = torch.export.Dim(BATCH)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module, examples, dynamo=True, opset_version=OPSET, external_data=False, verbose=False,
                input_names=list(input_names), output_names=list(output_names),
                dynamic_shapes=tuple({0: batch} for _ in examples))
    except Exception as error:
        raise ExportError("torch cannot trace the network", got=" ".join(str(error).split())[:300],
                          do="keep branches that depend on values, and noise, out of forward") from error
    model = program.model_proto if program is not None else None
    return clean(onnx.shape_inference.infer_shapes(model))


def clean(model: Any) -> Any:
    """Makes the sizes of every Resize constant, drops what is then unused, and what says where it was built."""
    onnx = need("onnx")
    _fix_resizes(model, _shapes(model))
    drop_unused(model)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "epee", ""
    model.graph.name = "epee"
    for thing in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input,
                  *model.graph.output, *model.graph.initializer):
        thing.ClearField("doc_string")
        thing.ClearField("metadata_props")
    del model.functions[:]
    onnx.checker.check_model(model, full_check=True)
    return model


def drop_unused(model: Any) -> None:
    """Removes nodes, weights and shapes that no output needs."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):  # the nodes stand in the order in which they are computed
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    _replace(graph.node, kept[::-1])
    _replace(graph.initializer, [w for w in graph.initializer if w.name in needed])
    _replace(graph.value_info, [v for v in graph.value_info if v.name in needed])


def with_output(model: Any, name: str) -> Any:
    """Gives a copy that also puts out the inner tensor `name`, e.g. the logits before the ArgMax."""
    onnx = need("onnx")
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    if name not in [output.name for output in twin.graph.output]:
        inner = [v for v in onnx.shape_inference.infer_shapes(twin).graph.value_info if v.name == name]
        if not inner:
            raise ExportError(f"tensor '{name}'", got="not in the graph", do="the graph has another tail")
        twin.graph.output.append(inner[0])
    return twin


def without_output(model: Any, name: str) -> Any:
    """Gives a copy that keeps the tensor `name` inside, with its shape, instead of putting it out."""
    onnx = need("onnx")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.value_info.extend(o for o in model.graph.output if o.name == name)
    _replace(copy.graph.output, [o for o in model.graph.output if o.name != name])
    drop_unused(copy)
    return copy


def multiply_adds(model: Any) -> int:
    """Multiplications with a weight for one picture: the usual measure of a network's work."""
    shapes, total = _shapes(model), 0
    weights = {w.name: list(w.dims) for w in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            grid = shapes[node.output[0] if node.op_type == "Conv" else node.input[0]][2:]
            total += math.prod(n or 1 for n in grid) * math.prod(weights[node.input[1]])
    return total


def _fix_resizes(model: Any, shapes: dict[str, list[int | None]]) -> None:
    """torch computes a Resize's sizes from the batch; constant scales keep the batch free and need no arithmetic."""
    onnx = need("onnx")
    for i, node in enumerate(model.graph.node):
        if node.op_type != "Resize" or len(node.input) < 4:
            continue
        before, after = shapes[node.input[0]], shapes[node.output[0]]
        scales = [1.0 if n == m else _scale(n, m) for n, m in zip(before, after, strict=True)]
        name = f"{node.output[0]}_scales"
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(scales, np.float32), name))
        keep = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute
                if a.name not in ("axes", "keep_aspect_ratio_policy")}
        model.graph.node[i].CopyFrom(onnx.helper.make_node(
            "Resize", [node.input[0], "", name], list(node.output), name=node.name, **keep))


def _scale(before: int | None, after: int | None) -> float:
    """The least float32 scale s with floor(before * s) == after, so that every runtime gets the same size."""
    if before is None or after is None:
        raise ExportError("Resize of a tensor", got="a size that is not fixed", expected="fixed height and width")
    scale = np.float32(after / before)
    while math.floor(float(scale) * before) < after or np.floor(scale * np.float32(before)) < after:
        scale = np.nextafter(scale, np.float32(np.inf))
    return float(scale)


def _shapes(model: Any) -> dict[str, list[int | None]]:
    graph = model.graph
    return {v.name: [d.dim_value if d.HasField("dim_value") else None for d in v.type.tensor_type.shape.dim]
            for v in (*graph.value_info, *graph.input, *graph.output)}


def _replace(field: Any, values: Sequence[Any]) -> None:
    values = [type(v).FromString(v.SerializeToString()) for v in values]
    del field[:]
    field.extend(values)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's log lines and deprecation warnings off the screen; errors still raise."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
