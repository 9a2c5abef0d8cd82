"""What inputs and answers of strangers mean: layouts, sizes, colour orders, and every kind of answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
for module in ("torch", "onnxscript", "onnxruntime"):
    pytest.importorskip(module)

from epee.export.candidate import Candidate  # noqa: E402
from epee.export.foreign.described import Foreign, described, read_notes  # noqa: E402
from epee.export.foreign.opening import from_onnx  # noqa: E402
from epee.export.parity import THRESHOLDS, measure  # noqa: E402
from epee.export.samples import framed  # noqa: E402
from epee.runtime.errors import ConfigError, ExportError  # noqa: E402
from epee.runtime.manifest import Fit  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

NAMES = ("sky", "wall", "road", "car")
FLOAT = TensorProto.FLOAT
Nodes = list[Any]


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    """Inputs with blanks between them; `-` is one that is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(operator, names, [output], name=f"{operator}_{output}", **attributes)


def write(path: Path, nodes: Nodes, output: Any, *, shape: Any = ("n", 3, 64, 96), pads: int = 1, stride: int = 1,
          classes: int = 4, extra: Any = (), metadata: Any = None) -> Path:
    """A padded convolution of `image` to `c`, then `nodes`; no two of its answers lie close."""
    generator = np.random.default_rng(11)
    weights = {"w": generator.normal(0, 1, (classes, 3, 3, 3)), "b": generator.normal(0, 0.3, classes)}
    weights = {k: v.astype(np.float32) for k, v in weights.items()} | dict(extra)
    first = node("Conv", "image w b", "c", pads=[pads] * 4, strides=[stride] * 2)
    begin = [first]
    if shape[-1] == 3:
        begin = [node("Transpose", "image", "planes", perm=[0, 3, 1, 2]),
                 node("Conv", "planes w b", "c", pads=[pads] * 4)]
    graph = helper.make_graph([*begin, *nodes], "g", [helper.make_tensor_value_info("image", FLOAT, shape)],
                              [helper.make_tensor_value_info(*o) for o in ([output] if isinstance(output, tuple)
                                                                           else output)],
                              [numpy_helper.from_array(np.asarray(a), name) for name, a in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def holds(candidate: Candidate, frames: Any) -> None:
    """The fused graph answers as the untouched model with its surroundings by hand."""
    found = measure(candidate.model, candidate, framed(frames))
    assert found.failure(THRESHOLDS["fp32"]) == ""
    assert len(np.unique(candidate.answer(framed(frames)[0])["mask"])) > 1


def opened(path: Path, **said: Any) -> Candidate:
    size_wh = said.pop("size_wh", None)
    return from_onnx(path, "theirs", Foreign(**{"task": "segment", "classes": NAMES, **said}), size_wh)


ANSWERS: dict[str, tuple[Nodes, tuple[Any, ...], dict[str, Any]]] = {
    "logits": ([], ("c", FLOAT, ["n", 4, 64, 96]), {}),
    "logits at half size": ([], ("c", FLOAT, ["n", 4, 32, 48]), {"stride": 2}),
    "logits at a third": ([], ("c", FLOAT, ["n", 4, 22, 32]), {"stride": 3}),
    "logits last": ([node("Transpose", "c", "o", perm=[0, 2, 3, 1])], ("o", FLOAT, ["n", 64, 96, 4]), {}),
    "half-size logits last": ([node("Transpose", "c", "o", perm=[0, 2, 3, 1])], ("o", FLOAT, ["n", 32, 48, 4]),
                              {"stride": 2}),
    "probabilities": ([node("Softmax", "c", "o", axis=1)], ("o", FLOAT, ["n", 4, 64, 96]), {}),
    "half-size probabilities": ([node("Softmax", "c", "o", axis=1)], ("o", FLOAT, ["n", 4, 32, 48]), {"stride": 2}),
    "ids": ([node("ArgMax", "c", "o", axis=1, keepdims=0)], ("o", TensorProto.INT64, ["n", 64, 96]), {}),
    "ids with an axis": ([node("ArgMax", "c", "o", axis=1)], ("o", TensorProto.INT64, ["n", 1, 64, 96]), {}),
    "half-size ids": ([node("ArgMax", "c", "o", axis=1)], ("o", TensorProto.INT64, ["n", 1, 32, 48]), {"stride": 2}),
    "ids at a third": ([node("ArgMax", "c", "o", axis=1, keepdims=0)], ("o", TensorProto.INT64, ["n", 22, 32]),
                       {"stride": 3}),
    "ids in bytes": ([node("ArgMax", "c", "i", axis=1, keepdims=0), node("Cast", "i", "o", to=TensorProto.UINT8)],
                     ("o", TensorProto.UINT8, ["n", 64, 96]), {}),
    "ids in int32": ([node("ArgMax", "c", "i", axis=1, keepdims=0), node("Cast", "i", "o", to=TensorProto.INT32)],
                     ("o", TensorProto.INT32, ["n", 64, 96]), {}),
}


@pytest.mark.parametrize("what", list(ANSWERS))
def test_every_kind_of_answer(tmp_path: Path, frames: Any, what: str) -> None:
    nodes, output, how = ANSWERS[what]
    candidate = opened(write(tmp_path / "m.onnx", nodes, output, **how))
    holds(candidate, frames)
    operators = [n.op_type for n in candidate.model.graph.node]
    assert candidate.inner == ("" if "ids" in what else "logits")
    assert ("Softmax" in operators) == (what == "half-size probabilities")
    assert candidate.output.shape[0] is None


@pytest.mark.parametrize(("ending", "stride", "threshold"), [("none", 1, 0), ("Sigmoid", 1, 0), ("Sigmoid", 2, 0.5)])
@pytest.mark.parametrize("classes", [("thing",), ("rest", "thing")])
def test_one_score_becomes_two_classes(tmp_path: Path, frames: Any, ending: str, stride: int, threshold: float,
                                       classes: tuple[str, ...]) -> None:
    nodes, name = ([], "c") if ending == "none" else ([node(ending, "c", "o")], "o")
    shape = ["n", 1, 64 // stride, 96 // stride]
    path = write(tmp_path / "m.onnx", nodes, (name, FLOAT, shape), classes=1, stride=stride)
    candidate = opened(path, classes=classes, mean=(0.45,) * 3)
    holds(candidate, frames)
    assert candidate.names == (("background", "thing") if len(classes) == 1 else classes)
    constants = {w.name: numpy_helper.to_array(w) for w in candidate.model.graph.initializer}
    assert constants["epee_threshold"] == threshold


@pytest.mark.parametrize(("shape", "pads", "order"), [
    (("n", 3, 64, 96), 0, "rgb"), (("n", 3, 64, 96), 0, "bgr"), (("n", 3, 64, 96), 1, "rgb"),
    (("n", 64, 96, 3), 1, "bgr"), (("n", 64, 96, 3), 0, "rgb"), ((1, 3, 64, 96), 1, "rgb"),
    ((2, 3, 64, 96), 1, "bgr"), (("n", 3, "h", "w"), 1, "rgb"), ((None, 3, None, None), 0, "bgr")])
def test_inputs_of_every_shape(tmp_path: Path, frames: Any, shape: Any, pads: int, order: str) -> None:
    """Mean and scale are exact at the border too, whether the convolution pads or not."""
    out = ["n", 4, *((64, 96) if pads else (62, 94))]
    path = write(tmp_path / "m.onnx", [], ("c", FLOAT, out if shape[2] in (64, 96) else ["n", 4, None, None]),
                 shape=shape, pads=pads)
    candidate = opened(path, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3), colour_order=order, size_wh=(96, 64))
    holds(candidate, frames)
    operators = [n.op_type for n in candidate.model.graph.node]
    assert operators[:2] == ["Cast", "Transpose"]
    assert operators.count("Add") == (1 if pads else 0)
    assert not {"Mul", "Gather", "Sub", "Div"} & set(operators)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_arithmetic_that_does_not_fold(tmp_path: Path, frames: Any, order: str) -> None:
    """The picture is read by something that is no convolution, too."""
    nodes = [node("ReduceMean", "image", "grey", axes=[1]), node("Add", "c grey", "o")]
    candidate = opened(write(tmp_path / "m.onnx", nodes, ("o", FLOAT, ["n", 4, 64, 96])), mean=(0.5, 0.4, 0.3),
                       std=(0.2, 0.25, 0.3), colour_order=order)
    holds(candidate, frames)


@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_a_border_before_the_first_convolution(tmp_path: Path, frames: Any, mode: str) -> None:
    path = write(tmp_path / "m.onnx", [], ("c", FLOAT, ["n", 4, 64, 96]), pads=0,
                 extra={"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])})
    model = onnx.load(path)
    model.graph.node[0].input[0] = "bordered"
    model.graph.node.insert(0, node("Pad", "image pads", "bordered", mode=mode))
    onnx.save(model, path)
    candidate = opened(path, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    holds(candidate, frames)
    assert [n.op_type for n in candidate.model.graph.node].count("Add") == (mode == "constant")


def test_a_network_that_mixes_its_pictures_keeps_a_batch_of_one(tmp_path: Path, frames: Any) -> None:
    nodes = [node("ReduceMean", "c", "m", axes=[0]), node("Sub", "c m", "d"), node("Add", "d c", "o")]
    candidate = opened(write(tmp_path / "m.onnx", nodes, ("o", FLOAT, ["n", 4, 64, 96])))
    assert candidate.output.shape[0] == 1
    assert candidate.manifest((), {}).inputs[0].shape == (1, 64, 96, 3)
    holds(candidate, frames)


def test_a_reshape_for_one_picture_does_not_keep_the_batch(tmp_path: Path, frames: Any) -> None:
    nodes = [node("Reshape", "c flat", "f"), node("Relu", "f", "r"), node("Reshape", "r back", "o")]
    extra = {"flat": np.array([1, 4, 64 * 96]), "back": np.array([1, 4, 64, 96])}
    output = ("o", FLOAT, [1, 4, 64, 96])
    candidate = opened(write(tmp_path / "m.onnx", nodes, output, shape=(1, 3, 64, 96), extra=extra))
    assert candidate.output.shape[0] is None


@pytest.mark.parametrize(("how", "said", "line"), [
    ({"shape": ("n", "c", 64, 96)}, {}, "layout of input 'image': got (?, ?, 64, 96), expected 3 channels"),
    ({"shape": ("n", 3, "h", "w")}, {}, "size of input 'image': got (?, 3, ?, ?), expected fixed height and width; "
     "give the size of the frames, e.g. --size 480x360"),
    ({}, {"size_wh": (48, 64)}, "--size: got 48x64, expected (?, 3, 64, 96), as in the graph"),
    ({}, {"layout": "nhwc"}, "input 'image': got 96 channels"),
    ({}, {"classes": ("a", "b", "c")}, "output 'c': got 4 classes (1, 4, 64, 96), expected 3, as --classes names"),
    ({}, {"classes": ()}, "classes of the model: got none"),
    ({}, {"input": "picture"}, "--input: got 'picture', expected 'image' (?, 3, 64, 96) float32"),
    ({}, {"output": "mask"}, "--output: got 'mask', expected 'c' (?, 4, 64, 96) float32"),
])
def test_what_does_not_fit_is_told(tmp_path: Path, how: Any, said: Any, line: str) -> None:
    path = write(tmp_path / "m.onnx", [], ("c", FLOAT, ["n", 4, 64, 96]), **how)
    with pytest.raises(ExportError) as caught:
        opened(path, **said)
    assert line in str(caught.value)


def test_several_outputs_are_listed_and_one_can_be_named(tmp_path: Path, frames: Any) -> None:
    outputs = [("c", FLOAT, ["n", 4, 64, 96]), ("o", FLOAT, ["n", 4, 64, 96])]
    path = write(tmp_path / "m.onnx", [node("Relu", "c", "o")], outputs)
    with pytest.raises(ExportError, match=r"outputs of the model: got 'c' .* 'o' .* expected one; say which with "):
        opened(path)
    holds(opened(path, output="c"), frames)


def test_ids_beyond_the_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", ANSWERS["ids"][0], ANSWERS["ids"][1])
    with pytest.raises(ExportError, match="got ids 0 to 3 on a real picture, expected 0 to 1, as --classes names"):
        opened(path, classes=("a", "b"))


def test_ultralytics_metadata_is_read(tmp_path: Path, frames: Any) -> None:
    metadata = {"names": "{0: 'sky', 1: 'wall', 2: 'road', 3: 'car'}", "stride": "32", "imgsz": "[64, 96]",
                "task": "segment"}
    output = ("c", FLOAT, ["n", 4, None, None])
    path = write(tmp_path / "m.onnx", [], output, shape=("n", 3, "h", "w"), metadata=metadata)
    lines: list[str] = []
    candidate = from_onnx(path, "theirs", Foreign("segment"), say=lines.append)
    assert (candidate.names, candidate.size_hw, candidate.fit) == (NAMES, (64, 96), Fit("letterbox"))
    assert "read from the file: colour_order, scale" in lines[0]
    assert candidate.provenance["preprocessing"]["known"]["mean"] == "assumed"
    holds(candidate, frames)


def test_model_api_metadata_is_read_and_the_command_line_wins() -> None:
    model = helper.make_model(helper.make_graph([], "g", [], []))
    helper.set_model_props(model, {
        "model_info mean_values": "[123.675, 116.28, 103.53]", "model_info scale_values": "58.395 57.12 57.375",
        "model_info reverse_input_channels": "YES", "model_info labels": "sky wall",
        "model_info resize_type": "fit_to_window"})
    notes = read_notes(model)
    assert (notes["classes"], notes["fit"]) == (("sky", "wall"), Fit("letterbox"))
    prepared = described(Foreign("segment", mean=(1, 2, 3)), notes, "nchw")
    assert (prepared.mean, prepared.std, prepared.scale) == ((1, 2, 3), (58.395, 57.12, 57.375), 1.0)
    assert prepared.sources == {"colour_order": "read from the file", "mean": "given", "std": "read from the file",
                                "scale": "read from the file"}


def test_metadata_that_cannot_be_read() -> None:
    model = helper.make_model(helper.make_graph([], "g", [], []))
    helper.set_model_props(model, {"model_info mean_values": "a lot"})
    with pytest.raises(ExportError, match="metadata 'mean_values' of the model: got 'a lot'"):
        read_notes(model)


def test_mean_is_red_first_whatever_the_order() -> None:
    prepared = described(Foreign("segment", mean=(1, 2, 3), colour_order="bgr"), {}, "nhwc")
    assert prepared.mean == (3, 2, 1)
    frame = np.array([[[10, 20, 30]]], np.uint8)  # blue, green, red
    np.testing.assert_allclose(prepared(frame)[0, 0, 0], np.array([10, 20, 30]) / 255 - (3, 2, 1), rtol=1e-6)


@pytest.mark.parametrize("said", [{"task": "pose"}, {"task": "segment", "layout": "chw"},
                                  {"task": "segment", "colour_order": "yuv"}, {"task": "segment", "std": (0, 1, 1)},
                                  {"task": "segment", "scale": 0.0}, {"task": "segment", "ignore": 300}])
def test_words_that_make_no_sense(said: Any) -> None:
    with pytest.raises(ConfigError):
        Foreign(**said)
