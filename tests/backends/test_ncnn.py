"""What is written for ncnn computes what ONNX Runtime does, operator by operator; what cannot be written is named."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epee.runtime.backends import SessionOptions, load, open_session
from epee.runtime.bundle import Bundle, save, sha256, writing
from epee.runtime.errors import BackendError, Unsupported
from epee.runtime.manifest import Manifest, TensorSpec, Variant
from epee.runtime.verify import verify

ncnn = pytest.importorskip("ncnn")
onnx = pytest.importorskip("onnx")
HW = (15, 21)
RNG = np.random.default_rng(0)
node = onnx.helper.make_node


def weights(*shape: int) -> np.ndarray:
    """Random float32 numbers."""
    return RNG.normal(size=shape).astype(np.float32)


Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""Name -> dtype and shape without the batch."""


def written(folder: Path, nodes: Sequence[Any], initial: dict[str, np.ndarray], takes: Tensors, gives: Tensors,
            layout: str = "NCHW") -> Bundle:
    """A bundle of a graph with these inputs and outputs."""
    def infos(tensors: Tensors) -> list[Any]:
        return [onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["N", *shape])
            for name, (dtype, shape) in tensors.items()]

    def specs(tensors: Tensors) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name, (None, *shape), dtype, layout if len(shape) == 3 else "")
                     for name, (dtype, shape) in tensors.items())

    graph = onnx.helper.make_graph(list(nodes), "test", infos(takes), infos(gives),
                                   [onnx.numpy_helper.from_array(array, name) for name, array in initial.items()])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    with writing(folder / "one.epee") as temporary:
        file = temporary / "fp32.onnx"
        onnx.save(model, file)
        variant = Variant("fp32", file.name, "onnx", "fp32", sha256(file), file.stat().st_size)
        goldens = {name: np.zeros([1, *shape], dtype) for name, (dtype, shape) in (takes | gives).items()}
        save(temporary, Manifest("one", "enhance", specs(takes), specs(gives), (variant,)), goldens)
    return Bundle.open(folder / "one.epee")


def bundle_of(folder: Path, nodes: Sequence[Any], initial: dict[str, np.ndarray], channels: int, hw: Sequence[int],
              pixel: bool = False) -> Bundle:
    """A bundle whose graph takes `x` (N, 4, 15, 21), or as a picture (N, 15, 21, 3), and gives `y`."""
    if pixel:
        return written(folder, nodes, initial, {"x": ("uint8", (*HW, 3))}, {"y": ("uint8", (*hw, channels))}, "NHWC")
    return written(folder, nodes, initial, {"x": ("float32", (4, *HW))}, {"y": ("float32", (channels, *hw))})


def both(bundle: Bundle, x: np.ndarray) -> list[np.ndarray]:
    """The answers of ncnn and ONNX Runtime."""
    answers = []
    for backend in ("ncnn", "onnxruntime"):
        with open_session(bundle, backend, "fp32", threads=1) as session:
            answers.append(session.run({"x": x})["y"])
    return answers


UP = {"s": np.array([1, 1, 2, 2], np.float32)}
THIRD = {"s": np.nextafter(np.array([1, 1, 5 / 3, 7 / 3], np.float32), np.array([1, 1, 9, 9], np.float32))}
CASES: dict[str, tuple[list[Any], dict[str, np.ndarray], int, tuple[int, int]]] = {
    "conv": ([node("Conv", ["x", "w", "b"], ["y"], strides=[2, 1], pads=[0, 1, 2, 3], dilations=[1, 2])],
             {"w": weights(6, 4, 3, 2), "b": weights(6)}, 6, (8, 23)),
    "depthwise": ([node("Conv", ["x", "w"], ["y"], group=4, pads=[1] * 4)], {"w": weights(4, 1, 3, 3)}, 4, HW),
    "groups": ([node("Conv", ["x", "w"], ["y"], group=2, pads=[1] * 4)], {"w": weights(6, 2, 3, 3)}, 6, HW),
    "transposed": ([node("ConvTranspose", ["x", "w", "b"], ["y"], strides=[2, 2], pads=[1, 0, 1, 0],
                         output_padding=[1, 0])], {"w": weights(4, 5, 3, 4), "b": weights(5)}, 5, (30, 44)),
    "prelu": ([node("PRelu", ["x", "w"], ["y"])], {"w": weights(4, 1, 1)}, 4, HW),
    "leaky": ([node("LeakyRelu", ["x"], ["y"], alpha=0.2)], {}, 4, HW),
    "relu6": ([node("Clip", ["x", "a", "b"], ["y"])],
              {"a": np.array(-0.5, np.float32), "b": np.array(0.7, np.float32)}, 4, HW),
    "above": ([node("Clip", ["x", "a"], ["y"])], {"a": np.array(0.1, np.float32)}, 4, HW),
    "curves": ([node("Sigmoid", ["x"], ["s"]), node("Tanh", ["s"], ["y"])], {}, 4, HW),
    "arithmetic": ([node("Mul", ["x", "two"], ["t"]), node("Relu", ["x"], ["r"]), node("Sub", ["t", "r"], ["d"]),
                    node("Add", ["d", "x"], ["y"])], {"two": np.array([2], np.float32)}, 4, HW),
    "concat": ([node("Relu", ["x"], ["r"]), node("Concat", ["r", "x", "r"], ["y"], axis=1)], {}, 12, HW),
    "linear": ([node("Relu", ["x"], ["r"]), node("Resize", ["r", "", "s"], ["y"], mode="linear")], UP, 4, (30, 42)),
    "linear by no whole factor": ([node("Relu", ["x"], ["r"]), node(
        "Resize", ["r", "", "s"], ["y"], mode="linear")], THIRD, 4, (25, 49)),
    "corners": ([node("Relu", ["x"], ["r"]), node("Resize", ["r", "", "s"], ["y"], mode="linear",
                coordinate_transformation_mode="align_corners")], UP, 4, (30, 42)),
    "nearest": ([node("Relu", ["x"], ["r"]), node("Resize", ["r", "", "s"], ["y"], mode="nearest")], UP, 4, (30, 42)),
    **{f"spread {mode}": ([node("Relu", ["x"], ["r"]), node("Concat", ["r", "x"], ["two"], axis=1),
                           node("DepthToSpace", ["two"], ["y"], blocksize=2, mode=mode)], {}, 2, (30, 42))
       for mode in ("CRD", "DCR")},
    "channels by numpy at the end": ([node("Relu", ["x"], ["r"]), node("Mul", ["r", "w"], ["y"])],
                                     {"w": weights(1, 4, 1, 1)}, 4, HW),
}


@pytest.mark.parametrize("case", CASES)
def test_operators_compute_what_onnxruntime_does(case: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    nodes, initial, channels, hw = CASES[case]
    got, want = both(bundle_of(tmp_path, nodes, initial, channels, hw), weights(3, 4, *HW))
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_pictures_come_out_as_bytes(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    kinds = onnx.TensorProto
    nodes = [node("Cast", ["x"], ["f"], to=kinds.FLOAT), node("Transpose", ["f"], ["p"], perm=[0, 3, 1, 2]),
             node("Conv", ["p", "w"], ["c"], pads=[1] * 4), node("Add", ["c", "p"], ["sum"]),
             node("Transpose", ["sum"], ["t"], perm=[0, 2, 3, 1]), node("Clip", ["t", "low", "high"], ["clipped"]),
             node("Round", ["clipped"], ["r"]), node("Cast", ["r"], ["y"], to=kinds.UINT8)]
    initial = {"w": weights(3, 3, 3, 3) / 9, "low": np.array(0, np.float32), "high": np.array(255, np.float32)}
    bundle = bundle_of(tmp_path, nodes, initial, 3, HW, pixel=True)
    got, want = both(bundle, RNG.integers(0, 256, (2, *HW, 3), np.uint8))
    assert got.dtype == np.uint8
    assert np.abs(got.astype(int) - want).max() <= 1
    assert (got == want).mean() > 0.999


def test_latents_labels_and_states_go_through_numpy_until_they_are_maps(tmp_path: Path) -> None:
    """What a generator's graph begins with, a state that is carried on beside it, and a mean at the end."""
    pytest.importorskip("onnxruntime")
    nodes = [node("Unsqueeze", ["truncation", "one"], ["t"]), node("Mul", ["z", "t"], ["short"]),
             node("Gather", ["table", "label"], ["embedded"], axis=0),
             node("Concat", ["short", "embedded"], ["both"], axis=1),
             node("Gemm", ["both", "w", "b"], ["line"], transB=1, alpha=0.5),
             node("MatMul", ["both", "turn"], ["turned"]), node("Sigmoid", ["turned"], ["gate"]),
             node("Tanh", ["turned"], ["new"]), node("Sub", ["gate", "new"], ["next"]),
             node("Reshape", ["line", "shape"], ["map"]), node("Relu", ["map"], ["r"]),
             node("Conv", ["r", "k"], ["c"], pads=[1] * 4), node("Add", ["c", "map"], ["sum"]),
             node("ReduceMean", ["sum", "places"], ["y"], keepdims=0)]
    initial = {"one": np.array([1]), "table": weights(3, 2), "w": weights(4 * 3 * 5, 8), "b": weights(4 * 3 * 5),
               "turn": weights(8, 3), "shape": np.array([0, 4, 3, 5]), "k": weights(4, 4, 3, 3),
               "places": np.array([2, 3])}
    takes: Tensors = {"z": ("float32", (6,)), "truncation": ("float32", ()), "label": ("int64", ())}
    bundle = written(tmp_path, nodes, initial, takes, {"y": ("float32", (4,)), "next": ("float32", (3,))})
    feeds = {"z": weights(5, 6), "truncation": np.linspace(0.2, 1, 5, dtype=np.float32),
             "label": np.array([0, 2, 1, 1, 0])}
    answers = []
    for backend in ("ncnn", "onnxruntime"):
        with open_session(bundle, backend, "fp32", threads=1) as session:
            answers.append(session.run(feeds))
    for name in ("y", "next"):
        assert answers[0][name].dtype == np.float32
        np.testing.assert_allclose(answers[0][name], answers[1][name], rtol=1e-4, atol=1e-4)


def test_a_node_without_a_layer_is_named(tmp_path: Path) -> None:
    nodes = [node("InstanceNormalization", ["x", "a", "a"], ["n"], "the_norm"), node("Relu", ["n"], ["y"])]
    bundle = bundle_of(tmp_path, nodes, {"a": weights(4)}, 4, HW)
    with pytest.raises(BackendError, match=r"backend 'ncnn': InstanceNormalization 'the_norm': got no layer of ncnn"):
        open_session(bundle, "ncnn")


def test_a_step_of_numpy_in_the_middle_is_refused(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("Transpose", ["r"], ["t"], perm=[0, 1, 3, 2]),
             node("Conv", ["t", "w"], ["c"], "late", pads=[1] * 4), node("Transpose", ["c"], ["y"], perm=[0, 1, 3, 2])]
    bundle = bundle_of(tmp_path, nodes, {"w": weights(4, 4, 3, 3)}, 4, HW)
    with pytest.raises(BackendError, match="Conv 'late'"):
        open_session(bundle, "ncnn")


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions_are_refused(tiny_bundle: Path, precision: str) -> None:
    bundle = Bundle.open(tiny_bundle)
    variant = dataclasses.replace(bundle.manifest.variants[0], precision=precision, name=precision)
    with pytest.raises(Unsupported, match=rf"got kind onnx, {precision}, expected kind onnx, fp32; choose"):
        load("ncnn").open_session(bundle, variant, SessionOptions())


def test_verify_passes_over_what_ncnn_cannot_take(tmp_path: Path) -> None:
    nodes = [node("InstanceNormalization", ["x", "a", "a"], ["y"], "the_norm")]
    bundle = bundle_of(tmp_path, nodes, {"a": weights(4)}, 4, HW)
    verdict = verify(bundle, ["ncnn"])
    assert verdict.ok
    assert "InstanceNormalization 'the_norm'" in verdict.skipped[0]
