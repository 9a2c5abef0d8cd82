"""A graph for one picture becomes one for any number, where the network allows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import need
from ...runtime.scores import equal_share
from ..parity import THRESHOLDS, open_onnx
from ..tensors import FRAME
from ..to_onnx import BATCH


def with_free_batch(model: Any, frames: Sequence[NDArray[Any]]) -> Any | None:
    """Gives a copy with a free batch, or None where it answers several pictures otherwise than one by one.

    Args:
        model: a fused graph for one picture, all sizes known.
        frames: at least two different ones, (H, W, 3) uint8 BGR.
    """
    try:
        freed = _freed(model)
        together = open_onnx(freed).run(None, {FRAME: np.stack(frames)})[0]
    except Exception:  # sizes that hold for one picture only, in whatever words
        return None
    single = open_onnx(model)
    alone = np.concatenate([single.run(None, {FRAME: frame[None]})[0] for frame in frames])
    same = together.shape == alone.shape and equal_share(together, alone) >= THRESHOLDS["fp32"].min_equal
    return freed if same else None


def _freed(model: Any) -> Any:
    """The graph with a name for its batch; every Reshape that wrote a batch of 1 down takes its input's."""
    onnx = need("onnx")
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    graph = freed.graph
    first = {v.name: v.type.tensor_type.shape.dim[0].dim_value for v in (*graph.value_info, *graph.input)
             if v.type.tensor_type.shape.dim}
    sizes = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer if w.data_type == onnx.TensorProto.INT64}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in sizes or first.get(node.input[0]) != 1:
            continue
        wanted = sizes[node.input[1]].copy()
        if wanted.ndim and len(wanted) and wanted[0] == 1:
            wanted[0] = 0  # "as in the input"
            graph.initializer.append(onnx.numpy_helper.from_array(wanted, f"{node.output[0]}_sizes"))
            node.input[1] = graph.initializer[-1].name
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del graph.value_info[:]
    return onnx.shape_inference.infer_shapes(freed)
