"""Inspect tells where nodes really ran: real graphs with a node that cannot keep the variant's promise."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epee.runtime import placement as placements
from epee.runtime.backends import load, openvino
from epee.runtime.bundle import Bundle, save, sha256, writing
from epee.runtime.cli import main
from epee.runtime.errors import BackendError
from epee.runtime.manifest import Manifest, TensorSpec, Variant
from epee.runtime.placement import READERS, Node, Placement, placement, render

HW = (32, 48)


@pytest.fixture(params=list(READERS))
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend that can be looked into; skips where it does not work here."""
    found = load(request.param).probe()
    if not found.available:
        pytest.skip(found.reason)
    return str(request.param)


def bundle_of(folder: Path, nodes: Sequence[Any], weights: dict[str, np.ndarray], precision: str) -> Bundle:
    """A bundle with one variant: the nodes, from `frame` to `mask`."""
    onnx = pytest.importorskip("onnx")
    kinds, path = onnx.TensorProto, folder / f"{precision}.epee"
    graph = onnx.helper.make_graph(
        list(nodes), "test", [onnx.helper.make_tensor_value_info("frame", kinds.UINT8, ["N", *HW, 3])],
        [onnx.helper.make_tensor_value_info("mask", kinds.UINT8, ["N", *HW])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    with writing(path) as temporary:
        file = temporary / f"{precision}.onnx"
        onnx.save(model, file)
        frames = np.random.default_rng(0).integers(0, 256, (1, *HW, 3), np.uint8)
        save(temporary, Manifest(
            "test", "segment", (TensorSpec("frame", (None, *HW, 3), "uint8", "NHWC", "bgr8"),),
            (TensorSpec("mask", (None, *HW), "uint8", "NHW", "class_id"),),
            (Variant(precision, file.name, "onnx", precision, sha256(file), file.stat().st_size),)),
            {"frame": frames, "mask": np.zeros((1, *HW), np.uint8)})
    return Bundle.open(path)


@pytest.fixture
def half_quantised(tmp_path: Path) -> Bundle:
    """An `int8` variant of which the second convolution was left in float."""
    onnx = pytest.importorskip("onnx")
    node, rng = onnx.helper.make_node, np.random.default_rng(0)
    weights = {
        "x_scale": np.array(1.5, np.float32), "y_scale": np.array(8.0, np.float32), "zero": np.array(0, np.uint8),
        "w8": rng.integers(-9, 9, (16, 3, 3, 3), np.int8), "w_scale": np.full(16, 0.1, np.float32),
        "w_zero": np.zeros(16, np.int8), "w": rng.normal(size=(4, 16, 3, 3)).astype(np.float32)}
    nodes = [
        node("Cast", ["frame"], ["floats"], to=onnx.TensorProto.FLOAT),
        node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        node("QuantizeLinear", ["planes", "x_scale", "zero"], ["x8"]),
        node("DequantizeLinear", ["x8", "x_scale", "zero"], ["x"]),
        node("DequantizeLinear", ["w8", "w_scale", "w_zero"], ["w_f"], axis=0),
        node("Conv", ["x", "w_f"], ["y"], "int8_conv", pads=[1] * 4), node("Relu", ["y"], ["y_r"]),
        node("QuantizeLinear", ["y_r", "y_scale", "zero"], ["y8"]),
        node("DequantizeLinear", ["y8", "y_scale", "zero"], ["y_f"]),
        node("Conv", ["y_f", "w"], ["float_conv"], "float_conv", pads=[1] * 4),  # runtimes name it by node or output
        node("ArgMax", ["float_conv"], ["ids"], axis=1, keepdims=0),
        node("Cast", ["ids"], ["mask"], to=onnx.TensorProto.UINT8)]
    return bundle_of(tmp_path, nodes, weights, "int8")


@pytest.fixture
def half_precision(tmp_path: Path) -> Bundle:
    """An `fp16` variant."""
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node
    weights = {"w": np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float16)}
    nodes = [node("Cast", ["frame"], ["half"], to=onnx.TensorProto.FLOAT16),
             node("Transpose", ["half"], ["planes"], perm=[0, 3, 1, 2]),
             node("Conv", ["planes", "w"], ["logits"], "half_conv", pads=[1] * 4),
             node("ArgMax", ["logits"], ["ids"], axis=1, keepdims=0),
             node("Cast", ["ids"], ["mask"], to=onnx.TensorProto.UINT8)]
    return bundle_of(tmp_path, nodes, weights, "fp16")


def computing(placed: Placement) -> set[str]:
    """The precisions of the nodes with weights."""
    return {node.precision for node in placed.nodes if node.weighted}


def test_fp32_keeps_its_promise(tiny_bundle: Path, backend: str) -> None:
    placed = placement(Bundle.open(tiny_bundle), backend)
    assert (placed.backend, placed.device, placed.variant) == (backend, "cpu", "fp32")
    assert computing(placed) == {"fp32"}
    assert placed.strays() == []
    rows = placed.summary()
    assert sum(row["nodes"] for row in rows) == len(placed.nodes)
    assert sum(row["time_share"] for row in rows) == pytest.approx(1, abs=0.01)
    assert "as promised" in render(placed)


def test_a_float_layer_in_an_int8_graph_is_named(half_quantised: Bundle, backend: str,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    words = ["inspect", str(half_quantised.path), "--backend", backend]
    assert main([*words, "--strict", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)["placement"]
    strays = [stray for stray in told["strays"] if "float_conv" in stray["name"]]
    assert [stray["why"] for stray in strays] == ["computes in fp32, not int8"]
    assert not told["ok"]
    assert main([*words, "--strict"]) == 3
    text = capsys.readouterr().out
    assert "float_conv" in text
    assert "not as promised" in text
    assert main(words) == 0


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_int8_layer_beside_it_is_not(half_quantised: Bundle, backend: str) -> None:
    pytest.importorskip(backend)
    placed = placement(half_quantised, backend)
    assert [node.name for node, _ in placed.strays() if "int8_conv" in node.name] == []
    assert computing(placed) == {"int8", "fp32"}


def test_onnxruntime_computes_fp16_in_fp32_where_it_has_no_kernel(half_precision: Bundle) -> None:
    pytest.importorskip("onnxruntime")
    placed = placement(half_precision, "onnxruntime")
    if computing(placed) == {"fp16"}:
        pytest.skip("this processor has fp16 kernels")
    assert [(node.op, why) for node, why in placed.strays()] == [("Conv", "computes in fp32, not fp16")]
    assert any(node.op == "Cast" and node.name.startswith("Inserted") for node in placed.nodes)


def test_opencv_computes_fp16_in_fp32(half_precision: Bundle) -> None:
    pytest.importorskip("cv2")
    try:
        placed = placement(half_precision, "opencv")
    except BackendError as error:
        pytest.skip(str(error))
    assert [why for _, why in placed.strays()] == ["computes in fp32, not fp16"]


def test_openvino_in_bf16_is_no_fp32(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ov = pytest.importorskip("openvino")
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bf16")
    monkeypatch.setitem(openvino.HINTS, "fp32", "bf16")
    placed = placement(Bundle.open(tiny_bundle), "openvino", "fp32")
    assert [(node.op, why) for node, why in placed.strays()] == [("Convolution", "computes in bf16, not fp32")]


def test_a_node_on_another_provider_is_a_stray() -> None:
    here, there = Node("a", "Conv", "cuda", "fp32", True, 3.0), Node("b", "Resize", "cpu", "fp32", False, 1.0)
    placed = Placement("onnxruntime", "cuda", "fp32", "fp32", (here, there))
    assert placed.strays() == [(there, "ran on cpu, not cuda")]
    assert placed.summary() == [{"provider": "cuda", "precision": "fp32", "nodes": 1, "time_share": 0.75},
                                {"provider": "cpu", "precision": "fp32", "nodes": 1, "time_share": 0.25}]
    assert "stray: node 'b' (Resize) ran on cpu, not cuda" in render(placed)


def test_what_a_provider_swallows_is_unknown() -> None:
    node = placements._profiled("TRT_0", {"op_name": "TRT_0", "provider": "TensorrtExecutionProvider",
                                          "input_type_shape": [{"float": [1, 3]}]}, 1.0)
    placed = Placement("onnxruntime", "tensorrt", "fp16", "fp16", (node,))
    assert [why for _, why in placed.strays()] == ["computes in unknown, not fp16"]


def test_a_backend_that_is_not_read_says_so(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.delitem(READERS, "onnxruntime")
    with pytest.raises(BackendError, match=r"backend 'onnxruntime': got no way to look inside, expected one of openv"):
        placement(Bundle.open(tiny_bundle), "onnxruntime")


def test_without_options_nothing_is_run(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_bundle), "--json"]) == 0
    assert "placement" not in json.loads(capsys.readouterr().out)
