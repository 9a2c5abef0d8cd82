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
}
"""Operator -> what computes it. Resize: only where `is_repeat`. Div: only of floats."""
