"""The graph is plain: nothing computed that is known, any batch, and every runtime gets the same sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from epee.export.fuse import FusedSegmenter  # noqa: E402
from epee.export.parity import open_onnx  # noqa: E402
from epee.export.to_onnx import _scale, multiply_adds, to_onnx, with_output, without_output  # noqa: E402
from epee.runtime.errors import ExportError  # noqa: E402

ODD_WH = (101, 77)


@pytest.fixture(scope="module")
def odd(network):
    """The tiny network at a size that no stride divides: (graph, reference)."""
    w, h = ODD_WH
    frame = torch.zeros(1, h, w, 3, dtype=torch.uint8)
    graph = to_onnx(FusedSegmenter(network, ODD_WH), [frame], ["frame"], ["mask", "logits"])
    return graph, FusedSegmenter(network, ODD_WH, folded=False)


@pytest.fixture(scope="module")
def odd_frames(frames):
    import cv2

    return np.stack([cv2.resize(frame, ODD_WH) for frame in frames])


def test_nothing_is_left_but_the_network(fp32) -> None:
    ops = [node.op_type for node in fp32.graph.node]
    assert set(ops) == {"Cast", "Transpose", "Conv", "Relu", "Add", "Resize", "ArgMax", "Unsqueeze", "Squeeze"}
    assert ops[:3] == ["Cast", "Transpose", "Conv"]  # TensorRT takes bytes only into a Cast
    assert ops[-1] == "Cast"  # ... and gives bytes only out of one
    assert ops.count("Cast") == 3
    assert ops.count("Transpose") == 2


def test_sizes_of_every_resize_are_constant(fp32) -> None:
    constants = {w.name for w in fp32.graph.initializer}
    resizes = [node for node in fp32.graph.node if node.op_type == "Resize"]
    assert len(resizes) == 4
    assert all(len(node.input) == 3 and node.input[2] in constants for node in resizes)


def test_the_contract_of_the_tensors(fp32) -> None:
    def described(value):
        dims = value.type.tensor_type.shape.dim
        return value.name, value.type.tensor_type.elem_type, [d.dim_param or d.dim_value for d in dims]

    assert [described(v) for v in fp32.graph.input] == [("frame", onnx.TensorProto.UINT8, ["N", 64, 96, 3])]
    assert [described(v) for v in fp32.graph.output] == [("mask", onnx.TensorProto.UINT8, ["N", 64, 96])]


def test_old_runtimes_can_open_it(fp32) -> None:
    assert [(o.domain, o.version) for o in fp32.opset_import] == [("", 18)]
    assert fp32.ir_version == 9
    assert not any(w.data_location == onnx.TensorProto.EXTERNAL for w in fp32.graph.initializer)


def test_it_does_not_say_where_it_was_built(fp32) -> None:
    things = [fp32, fp32.graph, *fp32.graph.node, *fp32.graph.value_info, *fp32.graph.initializer]
    assert not any(t.doc_string or t.metadata_props for t in things)
    assert b".py" not in fp32.SerializeToString()


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_any_batch_in_onnxruntime(odd, odd_frames, batch: int) -> None:
    pytest.importorskip("onnxruntime")
    graph, reference = odd
    mask, logits = open_onnx(graph).run(["mask", "logits"], {"frame": odd_frames[:batch]})
    with torch.no_grad():
        want_mask, want_logits = (t.numpy() for t in reference(torch.as_tensor(odd_frames[:batch])))
    assert (mask.shape, mask.dtype) == ((batch, 77, 101), np.uint8)
    np.testing.assert_allclose(logits, want_logits, atol=1e-5 * np.abs(want_logits).max())
    assert (mask == want_mask).mean() > 0.9995


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_any_batch_in_openvino(odd, odd_frames, batch: int) -> None:
    openvino = pytest.importorskip("openvino")
    graph, reference = odd
    core = openvino.Core()
    model = core.read_model(without_output(graph, "logits").SerializeToString())
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    mask = compiled({"frame": odd_frames[:batch]})["mask"]
    with torch.no_grad():
        want = reference(torch.as_tensor(odd_frames[:batch]))[0].numpy()
    assert (mask.shape, mask.dtype) == ((batch, 77, 101), np.uint8)
    assert (mask == want).mean() > 0.999


def test_the_twin_is_the_same_graph_with_logits(odd) -> None:
    graph, _ = odd
    shipped = without_output(graph, "logits")
    assert [o.name for o in shipped.graph.output] == ["mask"]
    assert [o.name for o in graph.graph.output] == ["mask", "logits"]  # the original stays
    twin = with_output(shipped, "logits")
    assert [o.name for o in twin.graph.output] == ["mask", "logits"]
    assert [n.op_type for n in twin.graph.node] == [n.op_type for n in shipped.graph.node]
    with pytest.raises(ExportError, match="tensor 'scores': got not in the graph"):
        with_output(shipped, "scores")


def test_scales_give_the_size_by_any_rounding() -> None:
    for before in range(2, 300, 7):
        for after in (before, before * 2 - 1, before * 2, before * 4 - 3, before * 3 + 1):
            scale = _scale(before, after)
            assert math.floor(before * scale) == after
            assert np.floor(np.float32(before) * np.float32(scale)) == after
            assert scale == pytest.approx(after / before, rel=1e-6)
    assert _scale(90, 180) == 2


def test_work_is_counted_from_the_graph() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.ConvTranspose2d(8, 4, 2, 2))
    graph = to_onnx(net.eval(), [torch.zeros(1, 3, 32, 32)], ["x"], ["y"])
    assert multiply_adds(graph) == 16 * 16 * 8 * 3 * 9 + 16 * 16 * 8 * 4 * 4


def test_the_exporter_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    to_onnx(torch.nn.ReLU().eval(), [torch.zeros(1, 3)], ["x"], ["y"])
    assert capfd.readouterr() == ("", "")


def test_train_mode_is_refused() -> None:
    with pytest.raises(ExportError, match="got train mode, expected eval mode"):
        to_onnx(torch.nn.ReLU(), [torch.zeros(1, 3)], ["x"], ["y"])


def test_what_torch_cannot_trace_is_one_line() -> None:
    class Moody(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ExportError, match="torch cannot trace the network") as caught:
        to_onnx(Moody().eval(), [torch.zeros(1, 3)], ["x"], ["y"])
    assert "\n" not in str(caught.value)
