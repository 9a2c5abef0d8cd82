"""Steps of a graph that a runtime does not take, computed in numpy before or after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .onnx_file import DTYPES, Node

Array = NDArray[Any]
MOVING = ("Cast", "Transpose")
"""What may be done to a frame before the network."""
FLAT = ("Add", "Concat", "Gather", "Gemm", "MatMul", "Mul", "Reshape", "Sigmoid", "Sub", "Tanh", "Unsqueeze")
"""What may be done before it to vectors and numbers: a latent, a label, a state. They are small."""


def compute(node: Node, values: Mapping[str, Array]) -> Array:
    """Gives the node's output.

    Args:
        node: one of STEPS.
        values: weights and what was computed so far, by name.
    """
    return STEPS[node.op](node, *[values[name] if name else None for name in node.inputs])


def is_repeat(node: Node, scales: Array | None) -> bool:
    """Whether a Resize only repeats values: nearest, by whole factors."""
    mode = node.attributes.get("mode", "nearest")
    where = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    rounding = node.attributes.get("nearest_mode", "round_prefer_floor")
    return (scales is not None and scales.size > 0 and mode == "nearest"
            and (where, rounding) in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"))
            and bool(np.all(scales == np.round(scales))) and bool(np.all(scales >= 1)))


def _repeat(node: Node, x: Array, roi: Array | None, scales: Array) -> Array:
    for axis, times in enumerate(scales):
        x = x.repeat(int(times), axis) if times > 1 else x
    return x


def _argmax(node: Node, x: Array) -> Array:
    axis = node.attributes.get("axis", 0)
    ids = x.argmax(axis)
    return np.expand_dims(ids, axis) if node.attributes.get("keepdims", 1) else ids


def _clip(node: Node, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _gemm(node: Node, a: Array, b: Array, c: Array | None = None) -> Array:
    get = node.attributes.get
    a, b = a.T if get("transA", 0) else a, b.T if get("transB", 0) else b
    product = get("alpha", 1.0) * (a @ b)
    return (product if c is None else product + get("beta", 1.0) * c).astype(a.dtype, copy=False)


def _reshape(node: Node, x: Array, shape: Array) -> Array:
    kept = not node.attributes.get("allowzero", 0)
    return x.reshape([x.shape[i] if size == 0 and kept else size for i, size in enumerate(shape.tolist())])


def _mean(node: Node, x: Array, axes: Array | None = None) -> Array:
    """Axes are an input since operator set 18, an attribute before; none are all."""
    given = node.attributes.get("axes") if axes is None else axes.tolist()
    if not given and node.attributes.get("noop_with_empty_axes", 0):
        return x
    mean = x.mean(tuple(given) if given else None, keepdims=bool(node.attributes.get("keepdims", 1)), dtype=x.dtype)
    return np.asarray(mean)


def _sigmoid(node: Node, x: Array) -> Array:
    return (0.5 * (1.0 + np.tanh(0.5 * x))).astype(x.dtype, copy=False)


def _axes(node: Node, axes: Array | None) -> tuple[int, ...]:
    """An input since operator set 13, an attribute before."""
    return tuple(node.attributes["axes"] if axes is None else axes.tolist())


STEPS: dict[str, Callable[..., Array]] = {
    "Cast": lambda node, x: x.astype(DTYPES[node.attributes["to"]]),
    "Transpose": lambda node, x: x.transpose(node.attributes.get("perm")),
    "ArgMax": _argmax,
    "Unsqueeze": lambda node, x, axes=None: np.expand_dims(x, _axes(node, axes)),
    "Squeeze": lambda node, x, axes=None: x.squeeze(_axes(node, axes)),
    "Resize": _repeat,
    "Clip": _clip,
    "Round": lambda node, x: np.rint(x),
    "Add": lambda node, a, b: a + b,
    "Sub": lambda node, a, b: a - b,
    "Mul": lambda node, a, b: a * b,
    "Div": lambda node, a, b: a / b,
    "Concat": lambda node, *parts: np.concatenate(parts, node.attributes["axis"]),
    "Gather": lambda node, x, ids: x.take(ids, node.attributes.get("axis", 0)),
    "Gemm": _gemm,
    "MatMul": lambda node, a, b: a @ b,
    "ReduceMean": _mean,
    "Reshape": _reshape,
    "Sigmoid": _sigmoid,
    "Tanh": lambda node, x: np.tanh(x),
}
"""Operator -> what computes it. Resize: only where `is_repeat`. Div: only of floats."""
