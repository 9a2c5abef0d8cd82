"""What the tensors of somebody else's network mean: which input takes pictures, and what its answer says of them.

Names lie, so shapes and types are asked, and where they leave it open, the network itself: it answers a real picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import ExportError, near, need
from .described import LAYOUTS, Foreign

IDS, SCORES, BINARY = "class ids", "scores", "one score"
SOFT = ("Softmax", "LogSoftmax", "Sigmoid")
"""Operators that keep the order of scores, so that an ArgMax does not need them."""
KINDS = {"float16": "export it in float32; `epee export` makes the fp16 variant itself",
         "bfloat16": "export it in float32", "float64": "export it in float32",
         "uint8": "export the network without its preprocessing, float32 in; what it needs is said with --mean, --std, "
                  "--scale and --colour-order"}
"""Type of an input that is no float32 -> what to do."""


@dataclass(frozen=True)
class Inlet:
    """The input that takes pictures.

    Attributes:
        name: of the tensor.
        layout: `nchw` or `nhwc`.
        batch: pictures a call where that is fixed, else None.
        size_hw: height and width of the pictures.
    """

    name: str
    layout: str
    batch: int | None
    size_hw: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of one picture with its batch axis."""
        h, w = self.size_hw
        return (1, 3, h, w) if self.layout == "nchw" else (1, h, w, 3)


@dataclass(frozen=True)
class Outlet:
    """The output that becomes the mask.

    Attributes:
        name: of the tensor that decides: the output, or what stands before a Softmax or Sigmoid that ends the graph.
        kind: IDS, SCORES (one a class, the largest wins) or BINARY (one score, class 1 above a threshold).
        axis: of the classes, in four axes; None where there is none.
        size_hw: height and width of the answer.
        threshold: for BINARY.
        channels: scores a pixel.
    """

    name: str
    kind: str
    axis: int | None
    size_hw: tuple[int, int]
    threshold: float = 0.0
    channels: int = 1


def find_inlet(model: Any, foreign: Foreign, size_wh: tuple[int, int] | None) -> Inlet:
    """Understands the input.

    Args:
        model: from `read_model`.
        foreign: may name the input and its layout.
        size_wh: width and height of the frames, or None for those of the graph.

    Raises:
        ExportError: several inputs and none named, one that takes no pictures, or sizes that do not fit.
    """
    value = _chosen(_inputs(model), foreign.input, "input")
    dims, what = _dims(value), f"input '{value.name}'"
    kind = _type(value)
    if kind != "float32":
        raise ExportError(what, got=kind, expected="float32",
                          do=KINDS.get(kind, "export the network so that it takes pictures as floats"))
    layout = _layout(what, dims, foreign.layout)
    c, h, w = (dims[i] for i in ((1, 2, 3) if layout == "nchw" else (3, 1, 2)))
    if c not in (3, None):
        raise ExportError(what, got=f"{c} channels ({_sizes(dims)})", expected="3, a colour picture",
                          do="say which axis they are with --layout" if 3 in dims else "")
    fixed = None if h is None or w is None else (w, h)
    if size_wh is None and fixed is None:
        raise ExportError(f"size of {what}", got=_sizes(dims), expected="fixed height and width",
                          do="give the size of the frames, e.g. --size 480x360")
    for got, want in zip(size_wh or (), (w, h), strict=False):
        if want not in (got, None):
            raise ExportError("--size", got="{}x{}".format(*size_wh or ()), expected=f"{_sizes(dims)}, as in the graph",
                              do="leave it out, or export the network with free sizes")
    w, h = size_wh or fixed or (0, 0)
    return Inlet(value.name, layout, dims[0], (h, w))


def find_output(model: Any, foreign: Foreign) -> str:
    """Name of the output that becomes the mask. Raises ExportError where there are several and none is named."""
    return str(_chosen(list(model.graph.output), foreign.output, "output").name)


def find_outlet(model: Any, output: str, answer: NDArray[Any], inlet: Inlet, classes: Sequence[str]) -> Outlet:
    """Understands the answer.

    Args:
        model: from `read_model`.
        output: the name of its output.
        answer: what the network says there of one real picture, batch first.
        inlet: how large that picture was.
        classes: names by id.

    Raises:
        ExportError: an answer that cannot be a mask of these classes.
    """
    what, got = f"output '{output}'", f"{_sizes(answer.shape)} {answer.dtype}"
    if answer.dtype.kind in "iub":
        shape = [n for i, n in enumerate(answer.shape) if n != 1 or i == 0] if answer.ndim == 4 else answer.shape
        if len(shape) != 3:
            raise ExportError(what, got=got, expected="class ids (N, H, W) or (N, 1, H, W), or float scores")
        _check_ids(what, answer, classes)
        axis = next((i for i in (1, 3) if answer.shape[i] == 1), None) if answer.ndim == 4 else None
        return Outlet(_before_bytes(model, output), IDS, axis, _without(answer.shape, axis))
    if answer.dtype != np.float32 or answer.ndim not in (3, 4):
        raise ExportError(what, got=got, expected="float32 scores (N, classes, H, W) or (N, H, W, classes), or ids")
    if not np.isfinite(answer).all():
        raise ExportError(what, got="values that are not finite on a real picture", expected="scores",
                          do="its weights are broken, or --scale is wrong")
    axis = _class_axis(what, answer.shape, inlet, len(classes))
    size_hw = _without(answer.shape, axis)
    name, softened = _before_soft(model, output, axis, size_hw == inlet.size_hw)
    if axis is not None and answer.shape[axis] > 1:
        return Outlet(name, SCORES, axis, size_hw, channels=answer.shape[axis])
    shares = not softened and answer.min() >= 0 and answer.max() <= 1
    return Outlet(name, BINARY, axis, size_hw, 0.5 if shares else 0.0)


def _class_axis(what: str, shape: tuple[int, ...], inlet: Inlet, classes: int) -> int | None:
    """Where the classes are; None for (N, H, W)."""
    if len(shape) == 3:
        if classes != 2:
            raise ExportError(what, got=f"one score a pixel {_sizes(shape)}", expected=f"{classes} classes",
                              do="give --classes one name, of what the score stands for")
        return None
    order = (1, 3) if inlet.layout == "nchw" else (3, 1)
    for axis in order:
        if shape[axis] == classes or (classes == 2 and shape[axis] == 1):
            return axis
    likely = min(order, key=lambda i: shape[i])
    raise ExportError(what, got=f"{shape[likely]} classes {_sizes(shape)}", expected=f"{classes}, as --classes names",
                      do="name every class in the order of its id, background too")


def _before_soft(model: Any, output: str, axis: int | None, full: bool) -> tuple[str, bool]:
    """The tensor that decides, and whether a Softmax or Sigmoid behind it is left out.

    Where the answer is to be resized, it stays: between probabilities is not between logits.
    """
    onnx = need("onnx")
    last = next((n for n in model.graph.node if output in n.output), None)
    if last is None or last.op_type not in SOFT or not full:
        return output, False
    if last.op_type != "Sigmoid":
        along = next((onnx.helper.get_attribute_value(a) for a in last.attribute if a.name == "axis"), None)
        if axis is None or along is None or along % 4 != axis:
            return output, False
    return last.input[0], True


def _before_bytes(model: Any, output: str) -> str:
    """The ids before they were cast to a smaller type, where the graph ends so."""
    onnx = need("onnx")
    last = next((n for n in model.graph.node if output in n.output), None)
    kinds = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    whole = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    cast = last is not None and last.op_type == "Cast" and kinds.get(last.input[0]) in whole
    return last.input[0] if last is not None and cast else output


def _check_ids(what: str, ids: NDArray[Any], classes: Sequence[str]) -> None:
    if ids.min() < 0 or ids.max() >= len(classes):
        raise ExportError(what, got=f"ids {ids.min()} to {ids.max()} on a real picture",
                          expected=f"0 to {len(classes) - 1}, as --classes names",
                          do="name every class in the order of its id, background too")


def _chosen(values: Sequence[Any], name: str, what: str) -> Any:
    """The tensor that is named, or the only one."""
    listed = ", ".join(f"'{v.name}' {_sizes(_dims(v))} {_type(v)}" for v in values)
    if name:
        for value in values:
            if value.name == name:
                return value
        raise ExportError(f"--{what}", got=f"'{name}'", expected=listed, do=near(name, [v.name for v in values]))
    if len(values) != 1:
        raise ExportError(f"{what}s of the model", got=listed or "none", expected="one",
                          do=f"say which with --{what} NAME" if values else "")
    return values[0]


def _inputs(model: Any) -> list[Any]:
    weights = {w.name for w in model.graph.initializer}
    return [v for v in model.graph.input if v.name not in weights]


def _layout(what: str, dims: Sequence[int | None], said: str) -> str:
    """`nchw` or `nhwc`, from where the 3 is."""
    if len(dims) != 4:
        raise ExportError(what, got=_sizes(dims), expected="four axes, a batch of colour pictures")
    fits = [layout for layout, axis in zip(LAYOUTS, (1, 3), strict=True) if dims[axis] == 3]
    if said:
        return said
    if len(fits) != 1:
        raise ExportError(f"layout of {what}", got=_sizes(dims), expected="3 channels on the second or the last axis",
                          do="say which with --layout nchw or nhwc")
    return fits[0]


def _without(shape: tuple[int, ...], axis: int | None) -> tuple[int, int]:
    h, w = (n for i, n in enumerate(shape) if i not in (0, axis))
    return h, w


def _dims(value: Any) -> list[int | None]:
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None
            for d in value.type.tensor_type.shape.dim]


def _type(value: Any) -> str:
    """The type of a tensor's values as numpy calls it."""
    name = str(need("onnx").TensorProto.DataType.Name(value.type.tensor_type.elem_type)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _sizes(dims: Sequence[int | None]) -> str:
    return "(" + ", ".join("?" if n is None else str(n) for n in dims) + ")"
