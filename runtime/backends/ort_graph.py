"""What an ONNX graph computes in, read from the graph itself: the types of the weights that its layers get."""

from __future__ import annotations

import re

import numpy as np

from ..onnx_file import DTYPES, Graph, Node

UNKNOWN = "unknown"
LAYERS = re.compile(r"conv|gemm|matmul|attention|lstm|gru", re.IGNORECASE)
"""Operators that compute with weights: `Conv`, `FusedConv`, `QLinearConv`, `MatMulInteger` …"""
IN_BYTES = re.compile(r"^qlinear|^qgemm|^qattention|integer|^dynamicquantize|^qmoe", re.IGNORECASE)
"""Those of them that add products of bytes."""
PRECISIONS = {"f4": "fp32", "f2": "fp16", "f8": "fp64", "i1": "int8", "u1": "int8"}
ORDER = ("int8", "fp16", "fp32", "fp64")


def computes_in(graph: Graph) -> str:
    """The narrowest precision that a layer with weights computes in, or `unknown` where none tells.

    An INT8 graph of which a few layers were left in float is `int8`; one whose quantised weights a runtime turns back
    into float32 before every layer is `fp32`.
    """
    made_by = {name: node for node in graph.nodes for name in node.outputs}
    found = {layer_precision(node, graph, made_by) for node in graph.nodes if LAYERS.search(node.op)}
    return next((precision for precision in ORDER if precision in found), UNKNOWN)


def layer_precision(node: Node, graph: Graph, made_by: dict[str, Node]) -> str:
    """What one layer computes in: bytes by its operator, else the type of its weights or of its bias."""
    if IN_BYTES.search(node.op):
        return "int8"
    kinds = [_kind(name, graph, made_by) for name in node.inputs[1:]]
    return next((PRECISIONS.get(kind, UNKNOWN) for kind in kinds if kind), UNKNOWN)


def _kind(name: str, graph: Graph, made_by: dict[str, Node], depth: int = 8) -> str:
    """The type of a tensor, e.g. `f4`: of a weight its own; of what a Dequantize or Cast made, what it makes; of what
    only moves values, that of its input; '' where that says nothing."""
    if name in graph.weights:
        return _plain(graph.weights[name].dtype)
    node = made_by.get(name)
    if node is None or not depth:
        return ""
    if node.op == "Cast":
        return _plain(np.dtype(DTYPES.get(node.attributes["to"], "V")))
    if node.op == "DequantizeLinear":
        return _kind(node.inputs[1], graph, made_by, depth - 1)
    return _kind(node.inputs[0], graph, made_by, depth - 1) if node.inputs else ""


def _plain(dtype: np.dtype[np.generic]) -> str:
    return f"{dtype.kind}{dtype.itemsize}"
