"""Inspect tells where nodes really ran: real graphs with a node that cannot keep the variant's promise."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epee.runtime import placement as placements
from epee.runtime.backends import load, openvino, trt_layers
from epee.runtime.bundle import Bundle, save, sha256, writing
from epee.runtime.cli import main
from epee.runtime.engines import LIBRARIES
from epee.runtime.errors import BackendError
from epee.runtime.manifest import Manifest, TensorSpec, Variant
from epee.runtime.placement import READERS, Node, Placement, placement, render

HW = (32, 48)


@pytest.fixture(params=[name for name in READERS if name not in LIBRARIES])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend that can be looked into; skips where it does not work here."""
    found = load(request.param).probe()
    if not found.available:
        pytest.skip(found.reason)
    return str(request.param)


def bundle_of(folder: Path, nodes: Sequence[Any], weights: dict[str, np.ndarray], precision: str,
              opset: int = 18) -> Bundle:
    """A bundle with one variant: the nodes, from `frame` to `mask`."""
    onnx = pytest.importorskip("onnx")
    kinds, path = onnx.TensorProto, folder / f"{precision}.epee"
    graph = onnx.helper.make_graph(
        list(nodes), "test", [onnx.helper.make_tensor_value_info("frame", kinds.UINT8, ["N", *HW, 3])],
        [onnx.helper.make_tensor_value_info("mask", kinds.UINT8, ["N", *HW])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)],
                                   ir_version=10 if opset > 20 else 9)
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
def mixed(tmp_path: Path) -> Bundle:
    """An `int8` variant, quantised throughout; the second layer's 16-bit values have no INT8 kernel in ONNX
    Runtime."""
    onnx = pytest.importorskip("onnx")
    node, rng = onnx.helper.make_node, np.random.default_rng(0)
    weights = {
        "x_scale": np.array(1.5, np.float32), "zero": np.array(0, np.uint8), "y_scale": np.array(0.1, np.float32),
        "zero16": np.array(0, np.uint16), "w8": rng.integers(-9, 9, (16, 3, 3, 3), np.int8),
        "w_scale": np.full(16, 0.1, np.float32), "w_zero": np.zeros(16, np.int8),
        "v8": rng.integers(-9, 9, (4, 16, 3, 3), np.int8), "v_scale": np.full(4, 0.1, np.float32),
        "v_zero": np.zeros(4, np.int8)}
    nodes = [
        node("Cast", ["frame"], ["floats"], to=onnx.TensorProto.FLOAT),
        node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        node("QuantizeLinear", ["planes", "x_scale", "zero"], ["x8"]),
        node("DequantizeLinear", ["x8", "x_scale", "zero"], ["x"]),
        node("DequantizeLinear", ["w8", "w_scale", "w_zero"], ["w_f"], axis=0),
        node("Conv", ["x", "w_f"], ["y"], "int8_conv", pads=[1] * 4), node("Relu", ["y"], ["y_r"]),
        node("QuantizeLinear", ["y_r", "x_scale", "zero"], ["y8"]),
        node("DequantizeLinear", ["y8", "x_scale", "zero"], ["y_8"]),
        node("QuantizeLinear", ["y_8", "y_scale", "zero16"], ["y16"]),
        node("DequantizeLinear", ["y16", "y_scale", "zero16"], ["y_f"]),
        node("DequantizeLinear", ["v8", "v_scale", "v_zero"], ["v_f"], axis=0),
        node("Conv", ["y_f", "v_f"], ["wide_conv"], "wide_conv", pads=[1] * 4),
        node("ArgMax", ["wide_conv"], ["ids"], axis=1, keepdims=0),
        node("Cast", ["ids"], ["mask"], to=onnx.TensorProto.UINT8)]
    return bundle_of(tmp_path, nodes, weights, "int8", opset=21)


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
    why_not = load(backend).refuses(half_quantised.manifest.variants[0], "")
    if why_not:
        pytest.skip(why_not)
    words = ["inspect", str(half_quantised.path), "--backend", backend]
    assert main([*words, "--strict", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)["placement"]
    strays = [stray for stray in told["strays"] if "float_conv" in stray["name"]]
    assert [stray["why"] for stray in strays] == ["computes in fp32, not int8"]
    if backend != "opencv":  # OpenCV 4 computes all of it in float
        assert told["strays"] == strays
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


def test_a_layer_without_a_kernel_falls_back_and_is_the_only_stray(mixed: Bundle, capsys) -> None:
    pytest.importorskip("onnxruntime")
    assert main(["inspect", str(mixed.path), "--backend", "onnxruntime", "--strict"]) == 3
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("stray: ")]
    assert [("wide_conv" in line, "computes in fp32, not int8" in line) for line in lines] == [(True, True)]


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
    assert [why for _, why in placed.strays()] == [
        "fp16 was asked for, and the runtime does not tell what it computes in"]


def test_a_backend_that_is_not_read_says_so(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.delitem(READERS, "onnxruntime")
    with pytest.raises(BackendError, match=r"backend 'onnxruntime': got no way to look inside, expected one of openv"):
        placement(Bundle.open(tiny_bundle), "onnxruntime")


INSPECTOR = {"Layers": [
    {"Name": "stem", "LayerType": "CaskConvolution", "ParameterType": "Convolution",
     "Weights": {"Type": "Int8", "Count": 864}, "Inputs": [{"Name": "x", "Format/Datatype": "Row major INT8 format"}]},
    {"Name": "head", "LayerType": "CaskConvolution", "ParameterType": "Convolution",
     "Weights": {"Type": "Half", "Count": 80}, "Inputs": [{"Name": "y", "Format/Datatype": "Half"}]},
    {"Name": "arg", "LayerType": "kgen", "Inputs": [{"Name": "z", "Format/Datatype": "Row major linear FP32"}]},
    "conv_of_an_engine_without_details"]}
"""As TensorRT's documentation shows it."""


def test_an_engines_layers_are_read_from_the_inspectors_words() -> None:
    layers = trt_layers.read(json.dumps(INSPECTOR))
    assert [(layer.name, layer.precision, layer.weighted) for layer in layers] == [
        ("stem", "int8", True), ("head", "fp16", True), ("arg", "fp32", False),
        ("conv_of_an_engine_without_details", "unknown", True)]
    assert trt_layers.active_precision(layers) == "int8"
    assert trt_layers.active_precision(layers[2:]) == "unknown"
    assert trt_layers.read("") == trt_layers.read("[]") == ()


def test_what_an_engine_does_not_tell_is_unverified() -> None:
    node = Node("the whole engine", "engine", "cuda:0", "unknown", True, 0.0)
    placed = Placement("tensorrt-rtx", "cuda:0", "int8-s8s8", "int8", (node,))
    assert [why for _, why in placed.strays()] == [
        "int8 was asked for, and the runtime does not tell what it computes in"]
    assert "not as promised: 1 node" in render(placed)


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_engine_on_a_gpu_is_inspected(tiny_bundle: Path, library: str, tmp_path: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(library).probe()
    if not found.available:
        pytest.skip(found.reason)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    placed = placement(Bundle.open(tiny_bundle), library, "fp32")
    assert placed.device == found.devices[0]
    assert computing(placed) <= {"fp32", "unknown"}


def test_without_options_nothing_is_run(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_bundle), "--json"]) == 0
    assert "placement" not in json.loads(capsys.readouterr().out)
