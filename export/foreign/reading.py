"""Opens somebody else's ONNX file without trusting it, and refuses early what no bundle can hold.

External data is looked at before a byte of it is read: each piece must lie inside the model's own folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...runtime.errors import ExportError, need

OPSETS = (7, 23)
"""Operator sets that are understood, the first and the last."""
MOST_BYTES = 1_900_000_000
"""Of a graph with its weights: a protocol buffer holds 2 GB, and a bundle's variant is one file."""
STANDARD = ("", "ai.onnx")
"""Domains of ONNX's own operators."""
IR_VERSION = 10
"""Newest file format that every runtime here opens; newer ones are written down to it."""


def read_model(path: Path) -> Any:
    """Gives the `onnx.ModelProto` of a file, weights inside, local functions inlined, every node named, checked.

    Raises:
        ExportError: it is missing, cut, too large or no ONNX; data lies outside its folder; an operator of a domain
            that is not ONNX's; an operator set that is not understood; a tensor without a rank.
    """
    onnx = need("onnx")
    model = _parsed(path)
    _bring_inside(model, path)
    if model.functions:
        model = need("onnx.inliner").inline_local_functions(model)
    check_domains(model)
    check_opset(model)
    _check_ranks(model)
    model.ir_version = min(model.ir_version, IR_VERSION)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"'{path}' is no valid ONNX", got=_line(error), do="export it again") from None
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{i}"
    return model


def opset(model: Any) -> int:
    """The version of ONNX's own operators that a model uses, 0 where it does not say."""
    return next((int(o.version) for o in model.opset_import if o.domain in STANDARD), 0)


def check_domains(model: Any) -> None:
    """Raises ExportError at the first node whose operator is not ONNX's own."""
    for graph in _graphs(model):
        for node in graph.node:
            if node.domain not in STANDARD:
                raise ExportError(
                    f"operator '{node.op_type}' of node '{node.name or node.output[0]}'",
                    got=f"custom domain '{node.domain}'", expected="operators of ONNX's own domain",
                    do="export the network with plain operators, and without a runtime's optimisations")


def check_opset(model: Any) -> None:
    """Raises ExportError for a version of the operators that is not understood."""
    if not OPSETS[0] <= opset(model) <= OPSETS[1]:
        raise ExportError("operator set of the model", got=opset(model) or "none",
                          expected=f"{OPSETS[0]} to {OPSETS[1]}", do="export it again with opset 18")


def _parsed(path: Path) -> Any:
    """The file as a message; external data is not touched."""
    onnx = need("onnx")
    try:
        size = path.stat().st_size
        model = onnx.load(path, load_external_data=False) if size <= MOST_BYTES else None
    except OSError as error:
        raise ExportError(f"model '{path}'", got=error.strerror or str(error), expected="an .onnx file") from None
    except Exception as error:  # protobuf's DecodeError has no public home
        raise ExportError(f"'{path}' does not open as ONNX", got=_line(error),
                          do="the file is cut or no ONNX; copy or export it again") from None
    if model is None:
        raise ExportError(f"model '{path}'", got=f"{size / 1e9:.1f} GB", expected=f"at most {MOST_BYTES / 1e9:g} GB")
    if not model.graph.node or not model.graph.output:
        raise ExportError(f"'{path}' does not open as ONNX", got="no graph in it",
                          do="the file is cut or no ONNX; copy or export it again")
    return model


def _bring_inside(model: Any, path: Path) -> None:
    """Checks where each tensor's external data lies, then loads it into the model."""
    onnx = need("onnx")
    outside = [t for t in _tensors(model) if t.data_location == onnx.TensorProto.EXTERNAL]
    total = sum(_checked(tensor, path) for tensor in outside)
    if total > MOST_BYTES:
        raise ExportError(f"weights of '{path}'", got=f"{total / 1e9:.1f} GB",
                          expected=f"at most {MOST_BYTES / 1e9:g} GB, since a variant is one file")
    for tensor in outside:
        need("onnx.external_data_helper").load_external_data_for_tensor(tensor, str(path.parent.resolve()))
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _checked(tensor: Any, path: Path) -> int:
    """Bytes of a tensor's external data, which lies inside the model's folder and is all there."""
    entries = {e.key: e.value for e in tensor.external_data}
    location, what = entries.get("location", ""), f"external data of tensor '{tensor.name}'"
    folder = path.parent.resolve()
    file = (folder / location).resolve()  # links are followed: what they lead to counts
    if not location or Path(location).is_absolute() or ".." in Path(location).parts or not file.is_relative_to(folder):
        raise ExportError(what, got=f"'{location}'", expected="a file in the model's own folder",
                          do="do not use this model, or save it again with its data beside it")
    if not file.is_file():
        raise ExportError(what, got="nothing there", expected=str(file), do="copy it along with the model")
    have, digits = file.stat().st_size, {k: entries.get(k, "") or "0" for k in ("offset", "length")}
    if not all(value.isdecimal() for value in digits.values()):
        raise ExportError(what, got=", ".join(f"{k} {v!r}" for k, v in digits.items()), expected="numbers of bytes")
    start = int(digits["offset"])
    size = int(digits["length"]) or max(0, have - start)
    if start + size > have:
        raise ExportError(what, got=f"{have} bytes in {file.name}", expected=f"{start + size}",
                          do="the file is cut; copy it again")
    return size


def _check_ranks(model: Any) -> None:
    """Raises ExportError where an input does not say how many axes it has."""
    weights = {w.name for w in model.graph.initializer}
    for value in model.graph.input:
        if value.name in weights:
            continue
        if not value.type.HasField("tensor_type"):
            raise ExportError(f"input '{value.name}'", got=value.type.WhichOneof("value") or "no type",
                              expected="a tensor")
        if not value.type.tensor_type.HasField("shape"):
            raise ExportError(f"input '{value.name}'", got="a tensor of unknown rank", expected="four axes",
                              do="export it with the axes of a batch of pictures; sizes may stay free")


def _graphs(model: Any) -> Iterator[Any]:
    """The graph and all graphs inside its nodes, and the bodies of local functions."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def _tensors(model: Any) -> Iterator[Any]:
    """All tensors with values, wherever they are."""
    for graph in _graphs(model):
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
