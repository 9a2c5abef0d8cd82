"""Files of strangers: what is broken, points outside or cannot be a plain graph is refused in one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
for module in ("torch", "onnxscript", "onnxruntime"):
    pytest.importorskip(module)

from epee.export.foreign.described import Foreign  # noqa: E402
from epee.export.foreign.opening import from_onnx  # noqa: E402
from epee.export.foreign.reading import read_model  # noqa: E402
from epee.runtime.errors import ExportError  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SAID = Foreign("segment", ("sky", "wall", "road", "car"))
SHAPE = ("n", 3, 64, 96)


def save(path: Path, nodes: list[Any], weights: dict[str, Any] | None = None, *, shape: Any = SHAPE,
         kind: int = TensorProto.FLOAT, opset: int = 18) -> Path:
    """Writes a graph from `image` to `out`; float64 arrays among the weights become float32."""
    arrays = {name: np.asarray(a, np.float32) if np.asarray(a).dtype == np.float64 else np.asarray(a)
              for name, a in (weights or {}).items()}
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("image", kind, shape)],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4, 64, 96])],
                              [numpy_helper.from_array(a, name) for name, a in arrays.items()])
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in {n.domain for n in nodes} - {""})]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def conv(name: str = "head", x: str = "image", y: str = "out") -> Any:
    return helper.make_node("Conv", [x, "w"], [y], name=name)


WEIGHTS = {"w": np.random.default_rng(0).normal(0, 1, (4, 3, 1, 1))}


def refused(path: Path, said: Foreign = SAID, size_wh: tuple[int, int] | None = None) -> str:
    with pytest.raises(ExportError) as caught:
        from_onnx(path, "b", said, size_wh)
    return str(caught.value)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A model with its weights in `w.data` beside it."""
    path = save(tmp_path / "m.onnx", [conv()], WEIGHTS)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="w.data", size_threshold=0)
    return path


def point(path: Path, **entries: str) -> Path:
    """Changes where the model's one weight is said to lie."""
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[0]
    kept = {e.key: e.value for e in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in kept.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_travels_along(beside: Path) -> None:
    weight = read_model(beside).graph.initializer[0]
    assert not weight.external_data
    np.testing.assert_allclose(numpy_helper.to_array(weight), WEIGHTS["w"], rtol=1e-6)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "sub/../../secret.bin", "link.bin", ""])
def test_external_data_stays_in_its_folder(beside: Path, location: str) -> None:
    (beside.parent / "link.bin").symlink_to("/etc/hostname")
    (beside.parent.parent / "secret.bin").write_bytes(bytes(4096))
    line = refused(point(beside, location=location))
    assert line.startswith(f"external data of tensor 'w': got '{location}', expected a file in the model's own folder")


@pytest.mark.parametrize(("entries", "line"), [
    ({"location": "gone.data"}, "got nothing there"),
    ({"offset": "999999"}, "the file is cut"),
    ({"length": "999999"}, "the file is cut"),
    ({"offset": "-4"}, "expected numbers of bytes"),
])
def test_external_data_that_is_not_all_there(beside: Path, entries: dict[str, str], line: str) -> None:
    assert line in refused(point(beside, **entries))


@pytest.mark.parametrize("spoil", [lambda data: b"not a model at all", lambda data: b"",
                                   lambda data: data[:len(data) // 2], lambda data: b"\x89PNG" + data])
def test_a_corrupt_file(tmp_path: Path, spoil: Any) -> None:
    path = save(tmp_path / "m.onnx", [conv()], WEIGHTS)
    path.write_bytes(spoil(path.read_bytes()))
    line = refused(path)
    assert "m.onnx' does not open as ONNX" in line or "m.onnx' is no valid ONNX" in line


def test_a_missing_file(tmp_path: Path) -> None:
    assert "got No such file or directory" in refused(tmp_path / "gone.onnx")


def test_a_custom_domain(tmp_path: Path) -> None:
    node = helper.make_node("Swish", ["c"], ["out"], name="act", domain="com.acme")
    line = refused(save(tmp_path / "m.onnx", [conv(y="c"), node], WEIGHTS))
    assert line.startswith("operator 'Swish' of node 'act': got custom domain 'com.acme'")


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    node = helper.make_node("Swish", ["c"], ["out"], domain="com.acme")
    path = save(tmp_path / "m.onnx", [conv(y="c"), node], WEIGHTS)
    model = onnx.load(path)
    model.functions.append(helper.make_function(
        "com.acme", "Swish", ["x"], ["y"],
        [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Mul", ["x", "s"], ["y"])],
        [helper.make_opsetid("", 18)]))
    onnx.save(model, path)
    assert [n.op_type for n in read_model(path).graph.node] == ["Conv", "Sigmoid", "Mul"]


def test_a_dynamic_rank(tmp_path: Path) -> None:
    line = refused(save(tmp_path / "m.onnx", [conv()], WEIGHTS, shape=None))
    assert line.startswith("input 'image': got a tensor of unknown rank, expected four axes")


@pytest.mark.parametrize(("kind", "name"), [(TensorProto.INT64, "int64"), (TensorProto.UINT8, "uint8"),
                                            (TensorProto.FLOAT16, "float16"), (TensorProto.DOUBLE, "float64")])
def test_an_input_that_is_no_float32(tmp_path: Path, kind: int, name: str) -> None:
    cast = helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT)
    line = refused(save(tmp_path / "m.onnx", [cast, conv(x="x")], WEIGHTS, kind=kind))
    assert line.startswith(f"input 'image': got {name}, expected float32; export ")


def test_integer_arithmetic_on_the_picture(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["image"], ["i"], to=TensorProto.INT64),
             helper.make_node("Mul", ["i", "two"], ["j"], name="twice"),
             helper.make_node("Cast", ["j"], ["x"], to=TensorProto.FLOAT), conv(x="x")]
    line = refused(save(tmp_path / "m.onnx", nodes, {**WEIGHTS, "two": np.int64(2)}))
    assert line.startswith("operator 'Mul' of node 'twice': got integer arithmetic on values of the picture")


def test_integer_arithmetic_on_sizes_is_computed_away(tmp_path: Path) -> None:
    nodes = [conv(y="c"), helper.make_node("Shape", ["c"], ["s"]), helper.make_node("Mul", ["s", "ones"], ["t"]),
             helper.make_node("Reshape", ["c", "t"], ["out"])]
    candidate = from_onnx(save(tmp_path / "m.onnx", nodes, {**WEIGHTS, "ones": np.ones(4, np.int64)}), "b", SAID)
    assert {n.op_type for n in candidate.model.graph.node} <= {"Cast", "Transpose", "Conv", "Reshape", "ArgMax"}


def test_a_branch_on_the_picture(tmp_path: Path) -> None:
    def branch(name: str, factor: float) -> Any:
        constant = helper.make_tensor(f"{name}_k", TensorProto.FLOAT, [], [factor])
        return helper.make_graph([helper.make_node("Mul", ["c", f"{name}_k"], [name])], name, [], [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)], [constant])

    nodes = [conv(y="c"), helper.make_node("ReduceMean", ["c"], ["m"], keepdims=0),
             helper.make_node("Greater", ["m", "zero"], ["yes"]),
             helper.make_node("If", ["yes"], ["out"], name="fork", then_branch=branch("a", 1.0),
                              else_branch=branch("b", 2.0))]
    line = refused(save(tmp_path / "m.onnx", nodes, {**WEIGHTS, "zero": 0.0}))
    assert line.startswith("operator 'If' of node 'fork': got a branch or loop that depends on the picture")


def test_a_size_that_depends_on_the_picture(tmp_path: Path) -> None:
    nodes = [conv(y="c"), helper.make_node("NonZero", ["c"], ["where"], name="find"),
             helper.make_node("Cast", ["where"], ["f"], to=TensorProto.FLOAT),
             helper.make_node("ReduceSum", ["f"], ["sum"], keepdims=0), helper.make_node("Add", ["c", "sum"], ["out"])]
    line = refused(save(tmp_path / "m.onnx", nodes, WEIGHTS))
    assert line.startswith("operator 'NonZero' of node 'find': got tensor 'where' whose size is not known")


def test_a_graph_that_is_quantised_already(tmp_path: Path) -> None:
    nodes = [conv(y="c"), helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["q"], name="q"),
             helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["out"])]
    line = refused(save(tmp_path / "m.onnx", nodes, {**WEIGHTS, "scale": 0.1, "zero": np.int8(0)}))
    assert "got a graph that is in INT8 already, expected float" in line


@pytest.mark.parametrize("opset", [5, 99])
def test_an_operator_set_nobody_knows(tmp_path: Path, opset: int) -> None:
    line = refused(save(tmp_path / "m.onnx", [conv()], WEIGHTS, opset=opset))
    assert line.startswith(f"operator set of the model: got {opset}, expected 7 to 23")


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    line = refused(save(tmp_path / "m.onnx", [conv()], {"w": WEIGHTS["w"] * np.nan}))
    assert line.startswith("output 'out': got values that are not finite on a real picture")
