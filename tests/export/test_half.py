"""fp16 keeps the answers and the graph's borders; what does not fit is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from epee.export.half import to_half  # noqa: E402
from epee.export.parity import THRESHOLDS, measure, open_onnx  # noqa: E402
from epee.export.samples import framed  # noqa: E402
from epee.runtime.errors import ExportError  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def floats(nodes: list[Any], weights: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """A model of float32 `x` and `y` of one shape."""
    graph = helper.make_graph(
        nodes, "floats", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_the_masks_stay(candidate, frames) -> None:
    parity = measure(to_half(candidate.model), candidate, framed(frames), THRESHOLDS["fp16"])
    assert parity.failure(THRESHOLDS["fp16"]) == ""
    assert parity.equal >= 0.995
    assert parity.logit_max_diff > 0


def test_nothing_but_scales_is_left_in_float32(candidate) -> None:
    half = to_half(candidate.model)
    assert (half.opset_import[0].version, half.ir_version) == (18, 9)
    assert [(t.name, t.type.tensor_type.elem_type) for t in (*half.graph.input, *half.graph.output)] == [
        ("frame", TensorProto.UINT8), ("mask", TensorProto.UINT8)]
    single = {w.name for w in half.graph.initializer if w.data_type == TensorProto.FLOAT}
    assert single == {n.input[2] for n in half.graph.node if n.op_type == "Resize"}
    shapes = onnx.shape_inference.infer_shapes(half).graph.value_info
    assert not [v.name for v in shapes if v.type.tensor_type.elem_type == TensorProto.FLOAT]


def test_the_float_graph_is_left_alone(candidate) -> None:
    before = candidate.model.SerializeToString()
    to_half(candidate.model)
    assert candidate.model.SerializeToString() == before


def test_inputs_and_outputs_in_float_keep_their_type() -> None:
    """A normalisation over large values would be infinite in float16; it stays float32 between two casts."""
    model = floats([helper.make_node("Add", ["x", "one"], ["a"]),
                    helper.make_node("InstanceNormalization", ["a", "scale", "bias"], ["y"])],
                   {"one": [1.0], "scale": [1, 1], "bias": [0, 0]}, (1, 2, 8, 8))
    x = np.random.default_rng(0).normal(0, 300, (1, 2, 8, 8)).astype(np.float32)
    want, got = (open_onnx(m).run(None, {"x": x})[0] for m in (model, to_half(model)))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=5e-3)


def test_a_weight_that_does_not_fit_is_named() -> None:
    model = floats([helper.make_node("Mul", ["x", "huge"], ["y"])], {"huge": [7e4]}, (1, 2))
    with pytest.raises(ExportError, match=r"weight 'huge' in float16: got 7e\+04, expected at most 65504"):
        to_half(model)
