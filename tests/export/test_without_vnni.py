"""INT8 is judged by what its target computes, also on a CPU whose kernels cut off sums of products of bytes."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from epee.export import parity  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

DISABLED = "session.disable_quant_qdq"
CHANNELS = 16


@pytest.fixture(scope="module")
def loud():
    """A 1x1 convolution in bytes whose every product is 255 x 127: two of them exceed 16 bits."""
    arrays = {"scale": np.float32(1.0), "none": np.uint8(0), "signed_none": np.int8(0),
              "weight": np.full((CHANNELS, CHANNELS, 1, 1), 127, np.int8), "weight_scale": np.float32(1 / 127),
              "out_scale": np.float32(CHANNELS)}
    nodes = [helper.make_node("QuantizeLinear", ["x", "scale", "none"], ["xq"]),
             helper.make_node("DequantizeLinear", ["xq", "scale", "none"], ["xd"]),
             helper.make_node("DequantizeLinear", ["weight", "weight_scale", "signed_none"], ["wd"]),
             helper.make_node("Conv", ["xd", "wd"], ["c"]),
             helper.make_node("QuantizeLinear", ["c", "out_scale", "none"], ["cq"]),
             helper.make_node("DequantizeLinear", ["cq", "out_scale", "none"], ["y"])]
    shape = [1, CHANNELS, 4, 4]
    graph = helper.make_graph(nodes, "loud", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
                              [numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_sums_are_whole_on_every_cpu(loud):
    x = np.full((1, CHANNELS, 4, 4), 255.0, np.float32)
    np.testing.assert_array_equal(parity.open_onnx(loud).run(None, {"x": x})[0], 255.0 * CHANNELS)


@pytest.mark.parametrize(("flags", "exact"), [((), True), (("avx2",), True), (("avx2", "avx512_vnni"), False)])
def test_kernels_that_saturate_are_left_out(loud, monkeypatch, flags, exact):
    monkeypatch.setattr(parity, "cpu", lambda: {"arch": "x86_64", "flags": flags})
    options = parity.open_onnx(loud).get_session_options()
    if exact:
        assert options.get_session_config_entry(DISABLED) == "1"
    else:
        with pytest.raises(RuntimeError):
            options.get_session_config_entry(DISABLED)
