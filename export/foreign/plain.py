"""Somebody else's graph made plain: fixed sizes, our operator set, everything known computed, batch norms folded.

ONNX Runtime's basic optimisation does the folding; it keeps to ONNX's own operators. What is left then depends on the
picture, so a size or an index that is still computed is one that no engine can be built for: its node is named.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ...runtime.errors import ExportError, need
from ..to_onnx import OPSET, clean
from .reading import STANDARD, check_domains, opset
from .understanding import Inlet

CONTROL = ("If", "Loop", "Scan", "SequenceMap")
"""Operators with graphs inside; one that is left after folding depends on the picture."""
QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger",
             "QLinearConv", "QLinearMatMul")
"""Operators of graphs that are in INT8 already."""
ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Neg", "Abs", "Sum", "MatMul", "Gemm", "Conv", "BitShift",
              "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "CumSum", "Clip", "Max", "Min", "Relu")
"""Operators that compute with values; on integers, no target is sure to have them."""


def plain(model: Any, inlet: Inlet, output: str) -> Any:
    """Gives a copy that takes one picture of the inlet's size and ends in `output`.

    Args:
        model: from `read_model`; `output` may be any tensor in it.

    Raises:
        ExportError: an operator set that cannot be converted, or a node that no engine can be built of.
    """
    sized = ending_in(model, output)
    _fix_input(sized, inlet)
    folded = _folded(_our_opset(sized))
    check_domains(folded)
    folded = need("onnx").shape_inference.infer_shapes(folded, data_prop=True)
    _check_nodes(folded)
    return clean(folded)


def ending_in(model: Any, name: str) -> Any:
    """Gives a copy whose only output is the tensor `name`; runtimes find out its type and sizes themselves."""
    onnx = need("onnx")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {v.name: v for v in (*model.graph.output, *onnx.shape_inference.infer_shapes(model).graph.value_info)}
    kind = known[name].type.tensor_type.elem_type if name in known else onnx.TensorProto.FLOAT
    del copy.graph.output[:]
    copy.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    return copy


def _fix_input(model: Any, inlet: Inlet) -> None:
    """Gives the input one picture's sizes and forgets every size that was written down."""
    value = next(v for v in model.graph.input if v.name == inlet.name)
    onnx = need("onnx")
    value.CopyFrom(onnx.helper.make_tensor_value_info(inlet.name, onnx.TensorProto.FLOAT, inlet.shape))
    weights = {w.name for w in model.graph.initializer}
    kept = [type(v).FromString(v.SerializeToString()) for v in model.graph.input if v.name not in weights]
    del model.graph.input[:], model.graph.value_info[:]
    model.graph.input.extend(kept)


def _our_opset(model: Any) -> Any:
    """The graph in operator set 18; a newer one that cannot be lowered stays what it is."""
    version = opset(model)
    kept = [type(o).FromString(o.SerializeToString()) for o in model.opset_import if o.domain in STANDARD]
    del model.opset_import[:]
    model.opset_import.extend(kept[:1])
    if version == OPSET:
        return model
    try:
        return need("onnx.version_converter").convert_version(model, OPSET)
    except Exception as error:  # the converter has no error type of its own
        if version > OPSET:
            return model
        raise ExportError(f"the model's operator set {version} cannot be raised to {OPSET}",
                          got=" ".join(str(error).split())[:300], do=f"export it again with opset {OPSET}") from None


def _folded(model: Any) -> Any:
    """What ONNX Runtime's basic optimisation makes of the graph."""
    onnx = need("onnx")
    version = opset(model)
    with tempfile.TemporaryDirectory(prefix="epee-plain-") as folder:
        file = Path(folder, "plain.onnx")
        try:
            _opened(model, file)
        except Exception as error:
            try:
                _opened(model, None)
            except Exception:
                raise ExportError("ONNX Runtime does not open the model at this size",
                                  got=" ".join(str(error).split())[:300],
                                  do=f"try another --size, or export it again with opset {OPSET}") from None
            raise ExportError(f"cannot write into the temporary folder '{folder}'", got=" ".join(str(error).split()),
                              do="free some space, or name another place in TMPDIR") from None
        folded = onnx.load(file)
    del folded.opset_import[:]
    folded.opset_import.append(onnx.helper.make_opsetid("", version))
    for i, node in enumerate(folded.graph.node):
        node.name = node.name or f"{node.op_type}_{i}"
    return folded


def _opened(model: Any, file: Path | None) -> None:
    """Opens a graph in ONNX Runtime, which writes down what it made of it where a file is named."""
    ort = need("onnxruntime")
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    if file is not None:
        settings.optimized_model_filepath = str(file)
    ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])


def _check_nodes(model: Any) -> None:
    """Raises ExportError at the first node that depends on the picture in a way no engine can."""
    onnx = need("onnx")
    graph = model.graph
    values = {v.name: v.type.tensor_type for v in (*graph.value_info, *graph.input, *graph.output)}
    integers = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.INT16, onnx.TensorProto.INT8,
                onnx.TensorProto.UINT8, onnx.TensorProto.UINT16, onnx.TensorProto.UINT32, onnx.TensorProto.UINT64)
    for node in graph.node:
        what = f"operator '{node.op_type}' of node '{node.name}'"
        if node.op_type in CONTROL:
            raise ExportError(what, got="a branch or loop that depends on the picture", expected="a plain graph",
                              do="export the network without control flow")
        if node.op_type in QUANTISED:
            raise ExportError(what, got="a graph that is in INT8 already", expected="float",
                              do="give the float model; `epee export --precision int8` quantises it itself")
        kinds = [values[name].elem_type for name in node.input if name in values]
        if node.op_type in ARITHMETIC and any(kind in integers for kind in kinds):
            raise ExportError(what, got="integer arithmetic on values of the picture", expected="float32",
                              do="compute in float there, and export again")
        for name in node.output:
            if name and not _has_sizes(values.get(name)):
                raise ExportError(what, got=f"tensor '{name}' whose size is not known",
                                  expected="sizes that do not depend on the picture's values",
                                  do="name an earlier tensor with --output, or export the network without it")


def _has_sizes(kind: Any) -> bool:
    return kind is not None and kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim)
