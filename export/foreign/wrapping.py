"""The fused contract around somebody else's network: bytes of a camera in, bytes of a mask out.

Scale and colour order disappear into the first convolution, exactly. A mean does so only where that convolution pads
nothing, since its zeros stand for the mean; else one subtraction stays. A network that begins with something else
keeps its arithmetic as nodes. The tail is exact: scores at a smaller size are resized to the frame's, then ArgMax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import need
from ..tensors import FRAME, LOGITS, MASK
from ..to_onnx import clean
from .described import Preprocessing
from .understanding import IDS, SCORES, Inlet, Outlet

MARK = "epee_"
"""How the names of tensors and nodes begin that are put around the network."""
NEAREST = {"mode": "nearest", "nearest_mode": "round_prefer_floor"}
"""How ids are resized."""
TO_PLANES, TO_PIXELS = (0, 3, 1, 2), (0, 2, 3, 1)


def wrap(model: Any, inlet: Inlet, outlet: Outlet, prepared: Preprocessing) -> Any:
    """Gives the fused graph for one picture, FRAME in and MASK out, with LOGITS inside where there are scores.

    Args:
        model: from `plain`.
        inlet, outlet: its input and output.
        prepared: what the network wants to see.
    """
    onnx = need("onnx")
    fused = onnx.ModelProto()
    fused.CopyFrom(model)
    graph = fused.graph
    for node in graph.node:
        for tensors in (node.input, node.output):
            _rename(tensors)
    for value in (*graph.value_info, *graph.initializer):
        value.name = _theirs(value.name)
    head, tail = _Part(), _Part()
    _head(graph, head, inlet, prepared)
    _tail(tail, outlet, inlet.size_hw)
    nodes = [*head.nodes, *graph.node, *tail.nodes]
    copies = [type(n).FromString(n.SerializeToString()) for n in nodes]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(copies)
    graph.initializer.extend([*head.weights, *tail.weights])
    kind, (h, w) = onnx.TensorProto.UINT8, inlet.size_hw
    graph.input.append(onnx.helper.make_tensor_value_info(FRAME, kind, (1, h, w, 3)))
    graph.output.append(onnx.helper.make_tensor_value_info(MASK, kind, (1, h, w)))
    return clean(onnx.shape_inference.infer_shapes(fused))


def inner_of(outlet: Outlet) -> str:
    """The float tensor inside the fused graph that the decision is made of, '' where there is none."""
    return "" if outlet.kind == IDS else LOGITS


def nearest(size: int, count: int) -> NDArray[np.intp]:
    """Where each of `count` pixels lies among `size`, by the centre that is nearest, the lower of two."""
    centre = (np.arange(count) + 0.5) * size / count - 0.5
    return np.clip(np.ceil(centre - 0.5), 0, size - 1).astype(np.intp)


@dataclass
class _Part:
    """Nodes and weights that stand before or behind the network."""

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Adds a node and gives its output's name."""
        name = f"{MARK}{operator.lower()}_{output.removeprefix(MARK)}"
        self.nodes.append(need("onnx").helper.make_node(operator, list(inputs), [output], name=name, **attributes))
        return output

    def weight(self, name: str, values: Any) -> str:
        """Adds a constant and gives its name."""
        self.weights.append(need("onnx").numpy_helper.from_array(np.asarray(values), MARK + name))
        return MARK + name


def _head(graph: Any, head: _Part, inlet: Inlet, prepared: Preprocessing) -> None:
    """Bytes, then float, then planes: TensorRT takes bytes only into a Cast."""
    name = _theirs(inlet.name)
    x = head.add("Cast", [FRAME], MARK + "float", to=need("onnx").TensorProto.FLOAT)
    readers, planes = _readers(graph, name), inlet.layout == "nchw"
    if not planes and len(readers) == 1 and _permutes(readers[0], TO_PLANES):  # NHWC outside, NCHW inside
        name, planes = readers[0].output[0], True
        graph.node.remove(readers[0])
    if planes:
        x = head.add("Transpose", [x], MARK + "planes", perm=TO_PLANES)
    weights = {w.name: w for w in graph.initializer}
    first, zeros = _behind_pads(graph, name, weights)
    folds = planes and bool(first) and all(_takes_colours(node, weights) for node in first)
    shift, factor = -np.array(prepared.mean) * prepared.scale, 1 / (np.array(prepared.std) * prepared.scale)
    swap = prepared.colour_order == "rgb"
    if folds and shift.any() and not zeros and all(_pads_nothing(node) for node in first):
        for node in first:
            _fold_shift(graph, node, weights, shift * factor)
        shift = np.zeros(3)
    if folds:
        for node in first:
            _fold_factor(graph, node, weights, factor, swap)
    readers = _readers(graph, name)
    x = _arithmetic(head, x, planes, swap, shift, np.ones(3) if folds else factor, swap and not folds)
    for node in readers:
        for i, read in enumerate(node.input):
            node.input[i] = x if read == name else read


def _readers(graph: Any, name: str) -> list[Any]:
    """The nodes that read a tensor."""
    return [node for node in graph.node if name in node.input]


def _behind_pads(graph: Any, name: str, weights: dict[str, Any]) -> tuple[list[Any], bool]:
    """The nodes that read the picture once borders are around it, and whether some of these are zeros."""
    onnx, zeros = need("onnx"), False
    readers = _readers(graph, name)
    while len(readers) == 1 and readers[0].op_type == "Pad":
        pad = readers[0]
        mode = next((a.s for a in pad.attribute if a.name == "mode"), b"constant")
        value = weights.get(pad.input[2]) if len(pad.input) > 2 and pad.input[2] else None
        if mode == b"constant" and value is not None and onnx.numpy_helper.to_array(value).any():
            break  # a border that is neither black nor part of the picture
        zeros |= mode == b"constant"
        readers = _readers(graph, pad.output[0])
    return readers, zeros


def _arithmetic(head: _Part, x: str, planes: bool, swap: bool, shift: NDArray[Any], factor: NDArray[Any],
                swaps_here: bool) -> str:
    """What does not fold: the colours' turn, the mean, the scale. Each is in the network's channel order."""
    shape = (1, 3, 1, 1) if planes else (1, 1, 1, 3)
    if swaps_here:
        order = head.weight("order", np.array([2, 1, 0]))
        x = head.add("Gather", [x, order], MARK + "swapped", axis=1 if planes else 3)
    turn = slice(None, None, -1 if swap and not swaps_here else 1)
    for operator, values, name in (("Add", shift, "shifted"), ("Mul", factor, "scaled")):
        if (values != (operator == "Mul")).any():
            x = head.add(operator, [x, head.weight(f"{name}_by", values[turn].astype(np.float32).reshape(shape))],
                         MARK + name)
    return x


def _tail(tail: _Part, outlet: Outlet, size_hw: tuple[int, int]) -> None:
    """From the network's answer to the mask; the Cast to bytes is the last thing, as TensorRT wants it."""
    x, axis, byte = _theirs(outlet.name), outlet.axis, need("onnx").TensorProto.UINT8
    if outlet.kind != SCORES:
        tail.add("Cast", [_flat(tail, x, outlet, size_hw)], MASK, to=byte)
        return
    if outlet.size_hw != size_hw:
        x = tail.add("Transpose", [x], MARK + "answer", perm=TO_PLANES) if axis == 3 else x
        x, axis = _resized(tail, x, outlet, size_hw, mode="linear"), 1
    x = tail.add("Transpose", [x], LOGITS, perm=TO_PIXELS) if axis == 1 else tail.add("Identity", [x], LOGITS)
    tail.add("Cast", [tail.add("ArgMax", [x], MARK + "ids", axis=3, keepdims=0)], MASK, to=byte)


def _flat(tail: _Part, x: str, outlet: Outlet, size_hw: tuple[int, int]) -> str:
    """What is cast to bytes where there is no axis of classes: ids (N, H, W), or whether a score is large enough."""
    scores = outlet.kind != IDS
    if outlet.size_hw != size_hw:
        if not scores:
            x = tail.add("Cast", [x], MARK + "float_ids", to=need("onnx").TensorProto.FLOAT)
        x = tail.add("Reshape", [x, tail.weight("answer_sizes", np.array([-1, 1, *outlet.size_hw]))], MARK + "answer")
        x = _resized(tail, x, outlet, size_hw, **({"mode": "linear"} if scores else NEAREST))
    if outlet.size_hw != size_hw or outlet.axis is not None:
        x = tail.add("Reshape", [x, tail.weight("mask_sizes", np.array([-1, *size_hw]))], MARK + "flat")
    if not scores:
        return x
    x = tail.add("Identity", [x], LOGITS)
    return tail.add("Greater", [x, tail.weight("threshold", np.float32(outlet.threshold))], MARK + "above")


def _resized(tail: _Part, x: str, outlet: Outlet, size_hw: tuple[int, int], **kind: Any) -> str:
    """A Resize by centres of pixels; `clean` turns its sizes into scales."""
    sizes = tail.weight("sizes", np.array([1, outlet.channels, *size_hw]))
    return tail.add("Resize", [x, "", "", sizes], MARK + "resized", coordinate_transformation_mode="half_pixel", **kind)


def _fold_factor(graph: Any, node: Any, weights: dict[str, Any], factor: NDArray[Any], swap: bool) -> None:
    """Takes scale and colours' turn into a convolution's weights."""
    numpy_helper = need("onnx.numpy_helper")
    values = numpy_helper.to_array(weights[node.input[1]]).astype(np.float64) * factor[:, None, None]
    values = np.ascontiguousarray(values[:, ::-1] if swap else values, np.float32)
    node.input[1] = f"{MARK}weight_{node.output[0]}"
    graph.initializer.append(numpy_helper.from_array(values, node.input[1]))


def _fold_shift(graph: Any, node: Any, weights: dict[str, Any], shift: NDArray[Any]) -> None:
    """Takes a shift of the convolution's input, channel by channel, into its bias."""
    numpy_helper = need("onnx.numpy_helper")
    kernel = numpy_helper.to_array(weights[node.input[1]]).astype(np.float64)
    bias = np.zeros(len(kernel)) + (kernel * shift[:, None, None]).sum((1, 2, 3))
    if len(node.input) > 2 and node.input[2]:
        bias += numpy_helper.to_array(weights[node.input[2]])
    del node.input[2:]
    node.input.append(f"{MARK}bias_{node.output[0]}")
    graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), node.input[2]))


def _takes_colours(node: Any, weights: dict[str, Any]) -> bool:
    """Whether a node is a convolution over three channels with constant weights."""
    constant = node.op_type == "Conv" and all(name in weights for name in node.input[1:] if name)
    return constant and list(weights[node.input[1]].dims)[1:2] == [3]


def _pads_nothing(node: Any) -> bool:
    """Whether a convolution computes on the picture alone."""
    kept = {a.name: need("onnx").helper.get_attribute_value(a) for a in node.attribute}
    return not any(kept.get("pads", ())) and kept.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")


def _permutes(node: Any, order: Sequence[int]) -> bool:
    """Whether a node is a Transpose of that order."""
    return node.op_type == "Transpose" and [list(a.ints) for a in node.attribute if a.name == "perm"] == [list(order)]


def _theirs(name: str) -> str:
    """The name of one of the network's tensors inside the fused graph, where ours have names of their own."""
    return f"{name}_inside" if name in (FRAME, MASK, LOGITS) or name.startswith(MARK) else name


def _rename(names: Any) -> None:
    """Renames the tensors that a node reads or writes, in place."""
    for i, name in enumerate(names):
        names[i] = _theirs(name)
