"""INT8 graphs are what their targets take: types, zero points, biases, and a tail in float."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from epee.export.exam import outputs_of  # noqa: E402
from epee.export.quantize import Quantizer  # noqa: E402
from epee.export.samples import framed  # noqa: E402
from epee.export.schemes import SCHEMES  # noqa: E402
from epee.runtime.errors import ExportError  # noqa: E402
from onnx import TensorProto, numpy_helper  # noqa: E402


@pytest.fixture(scope="module")
def quantizer(candidate, frames) -> Quantizer:
    return Quantizer(candidate.model, framed(frames))


def weights(model: Any) -> dict[str, Any]:
    return {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}


def made_by(model: Any) -> dict[str, Any]:
    """Tensor -> the node that makes it."""
    return {name: node for node in model.graph.node for name in node.output}


def test_u8s8_has_unsigned_activations_and_signed_weights(quantizer) -> None:
    model = quantizer.quantize(SCHEMES["int8-u8s8"])
    values, maker = weights(model), made_by(model)
    convolutions = [n for n in model.graph.node if n.op_type == "Conv"]
    for node in convolutions:
        x, w, *bias = (maker[name] for name in node.input)
        assert values[x.input[2]].dtype == np.uint8
        assert values[w.input[0]].dtype == np.int8
        assert values[w.input[1]].shape == (len(values[w.input[0]]),)  # a scale a channel
        assert all(values[b.input[0]].dtype == np.int32 for b in bias)
    assert len(convolutions) == sum(n.op_type == "Conv" for n in quantizer.model.graph.node)


def test_bytes_of_a_frame_pass_as_they_are(quantizer) -> None:
    for calibrator in quantizer.calibrators:
        model = quantizer.quantize(SCHEMES["int8-u8s8"], calibrator)
        values, maker = weights(model), made_by(model)
        first = next(n for n in model.graph.node if n.op_type == "Conv")
        quantised = maker[first.input[0]]
        assert (values[quantised.input[1]], values[quantised.input[2]]) == (1.0, 0)


def test_s8s8_is_symmetric_and_leaves_biases_alone(quantizer) -> None:
    model = quantizer.quantize(SCHEMES["int8-s8s8"])
    values = weights(model)
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = values[node.input[2]]
            assert zero.dtype == np.int8
            assert not zero.any()
    assert not [w.name for w in model.graph.initializer if w.data_type == TensorProto.INT32]
    for node in model.graph.node:  # nothing between a convolution and what follows
        if node.op_type == "Conv":
            assert node.output[0] not in [n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"]


def test_reduced_range_has_seven_bits(quantizer) -> None:
    model = quantizer.quantize(SCHEMES["int8-u8s8-rr"])
    values = [v for v in weights(model).values() if v.dtype == np.int8 and v.ndim == 4]
    assert values
    assert max(np.abs(v.astype(int)).max() for v in values) <= 64


@pytest.mark.parametrize("name", list(SCHEMES))
def test_the_tail_stays_float_and_the_borders_stay(quantizer, name: str) -> None:
    model = quantizer.quantize(SCHEMES[name])
    assert (model.opset_import[0].version, model.ir_version, len(model.opset_import)) == (18, 9, 1)
    last = max(i for i, n in enumerate(model.graph.node) if n.op_type == "Conv")
    tail = [n.op_type for n in model.graph.node[last + 1:]]
    assert tail.count("QuantizeLinear") <= 2  # the outputs of the two heads
    assert [(t.name, t.type.tensor_type.elem_type) for t in (*model.graph.input, *model.graph.output)] == [
        ("frame", TensorProto.UINT8), ("mask", TensorProto.UINT8)]


def test_the_answers_are_near(quantizer, candidate, frames) -> None:
    want = np.stack(outputs_of(candidate.model, framed(frames)))
    for name in SCHEMES:
        got = np.stack(outputs_of(quantizer.quantize(SCHEMES[name]), framed(frames)))
        assert (got == want).mean() > 0.85, name


def test_a_layer_that_is_left_out_stays_float(quantizer) -> None:
    scheme = SCHEMES["int8-u8s8"]
    layer = next(n.name for n in quantizer.model.graph.node if n.op_type == "Conv")
    model = quantizer.quantize(scheme, left_out=[layer])
    maker = made_by(model)
    node = next(n for n in model.graph.node if n.name == layer)
    assert node.input[1] not in maker  # its weight is a float initializer
    alone = quantizer.alone(scheme, layer)
    quantised = [n.name for n in alone.graph.node if n.op_type == "Conv" and n.input[1] in made_by(alone)]
    assert quantised == [layer]
    assert layer in quantizer.layers_of(scheme)


def test_no_frames_are_no_calibration(candidate) -> None:
    with pytest.raises(ExportError, match="calibration samples: got none"):
        Quantizer(candidate.model, [])
