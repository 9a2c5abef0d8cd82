"""An ONNX graph cut in three for ncnn: numpy steps before, ncnn's layers, numpy steps after.

ncnn knows no batch, no bytes and no class ids: it gets (C, H, W) float32 and gives such. What a latent, a label and a
state go through before they are a map is numpy's, too. What is written here are its
own two files, a text of layers and the weights behind one another, so that no converter is needed on the device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import outside
from ..errors import Unsupported
from ..onnx_file import Graph, Node

MAGIC = "7767517"
BEFORE, INSIDE, AFTER = "before", "inside", "after"


@dataclass
class Cut:
    """What `cut` gives.

    Attributes:
        before, after: numpy steps in their order.
        takes, gives: tensors that go into ncnn and come out, by name in the graph.
        blobs: tensor -> the name that ncnn knows it by.
        param, weights: ncnn's two files.
    """

    before: list[Node] = field(default_factory=list)
    after: list[Node] = field(default_factory=list)
    takes: list[str] = field(default_factory=list)
    gives: list[str] = field(default_factory=list)
    blobs: dict[str, str] = field(default_factory=dict)
    param: str = ""
    weights: bytes = b""


@dataclass(frozen=True)
class Layer:
    """One layer of ncnn: parameters by ncnn's numbers, weights as it reads them."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: dict[int, float] = field(default_factory=dict)
    weights: bytes = b""


def cut(graph: Graph, flat: Collection[str] = ()) -> Cut:
    """Sorts the nodes into the three parts and writes the middle one for ncnn.

    Args:
        graph: of a bundle.
        flat: its inputs that are no maps: (N,) or (N, n).

    Raises:
        Unsupported: a node that neither ncnn nor numpy computes here, named.
    """
    found, layers, flat = Cut(), [], set(flat)
    where = dict.fromkeys(graph.inputs, BEFORE)
    for node in graph.nodes:
        tensors = [name for name in node.inputs if name in where]
        fed = {where[name] for name in tensors}
        layer = None
        if fed == {BEFORE} and (node.op in outside.MOVING or (node.op in outside.FLAT and flat.issuperset(tensors))):
            part = BEFORE
            if flat.issuperset(tensors) and not _to_map(node, graph):
                flat.update(node.outputs)
        elif AFTER not in fed and (layer := _layer(node, graph)) is not None:
            part = INSIDE
        elif _is_step(node, graph):
            part = AFTER
        else:
            raise _unknown(node)
        if layer is not None:
            layers.append(layer)
            found.takes += [x for x in layer.inputs if where[x] == BEFORE and x not in found.takes]
        if part == AFTER:
            found.gives += [x for x in node.inputs if where.get(x) == INSIDE and x not in found.gives]
        {BEFORE: found.before, INSIDE: [], AFTER: found.after}[part].append(node)
        where |= dict.fromkeys(node.outputs, part)
    found.gives += [x for x in graph.outputs if where.get(x) == INSIDE and x not in found.gives]
    if not layers:
        raise Unsupported("backend 'ncnn'", got="a graph without a layer that ncnn computes")
    _write(found, layers)
    return found


def _write(found: Cut, layers: list[Layer]) -> None:
    """Fills `blobs`, `param` and `weights`. A tensor with several readers goes through a Split, as ncnn demands."""
    readers = Counter([x for layer in layers for x in layer.inputs] + found.gives)
    fresh = (f"b{number}" for number in count())
    waiting: dict[str, list[str]] = {}  # tensor -> names that its readers still have to take, one each
    lines: list[str] = []
    for layer in [Layer("Input", (), (x,)) for x in found.takes] + layers:
        given = {x: next(fresh) for x in layer.outputs}
        lines.append(_line(layer, len(lines), [waiting[x].pop(0) for x in layer.inputs], list(given.values())))
        for x, blob in given.items():
            found.blobs[x], waiting[x] = blob, [blob]
            if readers[x] > 1:
                waiting[x] = [next(fresh) for _ in range(readers[x])]
                lines.append(_line(Layer("Split", (x,), (x,)), len(lines), [blob], waiting[x]))
    found.blobs |= {x: waiting[x].pop(0) for x in found.gives}
    found.param = "\n".join([MAGIC, f"{len(lines)} {next(fresh)[1:]}", *lines, ""])
    found.weights = b"".join(layer.weights for layer in layers)


def _line(layer: Layer, number: int, inputs: list[str], outputs: list[str]) -> str:
    parameters = [f"{key}={value}" for key, value in layer.parameters.items()]
    return " ".join([layer.kind, f"l{number}", str(len(inputs)), str(len(outputs)), *inputs, *outputs, *parameters])


def _to_map(node: Node, graph: Graph) -> bool:
    """Whether a flat tensor becomes (N, C, H, W)."""
    shape = graph.weights.get(node.inputs[1]) if node.op == "Reshape" else None
    return shape is not None and shape.size == 4


def _is_step(node: Node, graph: Graph) -> bool:
    if node.op == "Resize":
        return outside.is_repeat(node, graph.weights.get(node.inputs[-1]))
    return node.op in outside.STEPS


def _layer(node: Node, graph: Graph) -> Layer | None:
    """The node as ncnn's layer, or None where ncnn has none (or this file does not know it)."""
    write = WRITERS.get(node.op)
    weights = [graph.weights.get(name) for name in node.inputs[1:]]
    if write is None or node.inputs[0] in graph.weights or len(node.outputs) != 1:
        return None
    made = write(node, weights)
    if made is None:
        return None
    kind, parameters, data = made
    fed = tuple(name for name in node.inputs if name and name not in graph.weights)
    return Layer(kind, fed, node.outputs, parameters, data)


Made = tuple[str, dict[int, float], bytes] | None
Weights = list[NDArray[Any] | None]


def _conv(node: Node, weights: Weights) -> Made:
    """Weights (out, in / groups, kh, kw); of a transposed convolution (in, out / groups, kh, kw)."""
    weight, bias, get = weights[0], weights[1] if len(weights) > 1 else None, node.attributes.get
    groups, turned = get("group", 1), node.op == "ConvTranspose"
    if weight is None or weight.ndim != 4 or weight.dtype != np.float32 or get("auto_pad", "NOTSET") != "NOTSET":
        return None
    if turned and (groups > 1 or get("output_shape")):
        return None
    if turned:
        weight = weight.transpose(1, 0, 2, 3)
    top, left, bottom, right = get("pads", [0, 0, 0, 0])
    (kh, kw), (sh, sw), (dh, dw) = weight.shape[2:], get("strides", [1, 1]), get("dilations", [1, 1])
    parameters = {0: weight.shape[0], 1: kw, 11: kh, 2: dw, 12: dh, 3: sw, 13: sh, 4: left, 14: top, 15: right,
                  16: bottom, 5: int(bias is not None), 6: weight.size}
    if groups > 1:
        parameters[7] = groups
    if turned:
        extra_h, extra_w = get("output_padding", [0, 0])
        parameters |= {18: extra_w, 19: extra_h}
    kind = ("Deconvolution" if turned else "Convolution") + "DepthWise" * (groups > 1)
    return kind, parameters, _raw(weight) + (_plain(bias) if bias is not None else b"")


def _prelu(node: Node, weights: Weights) -> Made:
    slope = weights[0]
    return None if slope is None else ("PReLU", {0: slope.size}, _plain(slope))


def _clip(node: Node, weights: Weights) -> Made:
    low, high = [float(w) if w is not None else None for w in [*weights, None, None][:2]]
    return ("Clip", {0: -3.4e38 if low is None else low, 1: 3.4e38 if high is None else high}, b"")


def _binary(node: Node, weights: Weights) -> Made:
    """Of two tensors, or with one number; what is wider, numpy does where it stands at the end."""
    code = {"Add": 0, "Sub": 1, "Mul": 2, "Div": 3}[node.op]
    constant = weights[0]
    if constant is None:
        return "BinaryOp", {0: code}, b""
    return ("BinaryOp", {0: code, 1: 1, 2: float(constant.reshape(()))}, b"") if constant.size == 1 else None


def _concat(node: Node, weights: Weights) -> Made:
    known = node.attributes.get("axis") in (1, -3) and not any(w is not None for w in weights)
    return ("Concat", {0: 0}, b"") if known else None


def _spread(node: Node, weights: Weights) -> Made:
    """Channels spread out to squares of pixels; ncnn has both orders of them, too."""
    modes = {"CRD": 0, "DCR": 1}
    return "PixelShuffle", {0: node.attributes["blocksize"], 1: modes[node.attributes.get("mode", "DCR")]}, b""


def _resize(node: Node, weights: Weights) -> Made:
    """ncnn's linear is half-pixel, its nearest asymmetric and rounded down.

    It goes by the sizes before and after, ONNX by the factor: the same where the factor gives a whole size, as it does
    in every graph that this project exports.
    """
    scales = weights[-1]
    if scales is None or scales.dtype != np.float32 or scales.shape != (4,) or tuple(scales[:2]) != (1, 1):
        return None
    linear = node.attributes.get("mode") == "linear"
    where = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    if linear and where in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        kind, corners = 2, int(where == "align_corners")
    elif outside.is_repeat(node, scales):
        kind, corners = 1, 0
    else:
        return None
    return "Interp", {0: kind, 1: float(scales[2]), 2: float(scales[3]), 6: corners}, b""


WRITERS: dict[str, Callable[[Node, Weights], Made]] = {
    "Conv": _conv, "ConvTranspose": _conv, "PRelu": _prelu, "Clip": _clip, "Concat": _concat, "Resize": _resize,
    "DepthToSpace": _spread,
    "Add": _binary, "Sub": _binary, "Mul": _binary, "Div": _binary,
    "Relu": lambda node, weights: ("ReLU", {}, b""),
    "LeakyRelu": lambda node, weights: ("ReLU", {0: node.attributes.get("alpha", 0.01)}, b""),
    "Sigmoid": lambda node, weights: ("Sigmoid", {}, b""),
    "Tanh": lambda node, weights: ("TanH", {}, b""),
}
"""Operator -> what writes its layer: kind, parameters and weights, or None where this form has no layer."""


def _raw(weight: NDArray[Any]) -> bytes:
    """Weights behind the four zero bytes that say `float32, as they are`."""
    return b"\0\0\0\0" + _plain(weight)


def _plain(weight: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(weight, np.float32).tobytes()


def _unknown(node: Node) -> Unsupported:
    return Unsupported(f"backend 'ncnn': {node.label}", got="no layer of ncnn for this form of it",
                        expected="one of " + ", ".join(sorted(WRITERS)), do="try another backend")
