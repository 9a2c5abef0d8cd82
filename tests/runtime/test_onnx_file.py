"""The small reader sees what the onnx package sees, and says so where it cannot."""

from pathlib import Path

import numpy as np
import pytest
from epee.runtime.bundle import Bundle
from epee.runtime.errors import BundleError
from epee.runtime.onnx_file import read

onnx = pytest.importorskip("onnx")


def save(path: Path, *, external: bool = False) -> object:
    """Writes a model with attributes and weights of every stored form, and gives it."""
    tensor, kinds = onnx.helper.make_tensor, onnx.TensorProto
    nodes = [
        onnx.helper.make_node("Constant", [], ["c"], value=tensor("c", kinds.FLOAT, [2], [1.5, -2.5])),
        onnx.helper.make_node("Test", ["x", "a", "", "c"], ["y"], "named", domain="test", whole=-3, part=0.25,
                              text="half", wholes=[1, -2, 3], parts=[0.5, 1.5],
                              held=tensor("t", kinds.INT64, [2], [7, -8]))]
    weights = [tensor("a", kinds.FLOAT, [1, 3], [1, 2, 3]), tensor("b", kinds.UINT8, [2], [1, 255]),
               onnx.numpy_helper.from_array(np.arange(-6, 6, dtype=np.int64).reshape(3, 4), "raw"),
               onnx.numpy_helper.from_array(np.array(2.5, np.float16), "scalar")]
    graph = onnx.helper.make_graph(nodes, "test", [onnx.helper.make_tensor_value_info("x", kinds.FLOAT, ["N"])],
                                   [onnx.helper.make_tensor_value_info("y", kinds.FLOAT, ["N"])], weights)
    model = onnx.helper.make_model(graph)
    onnx.save(model, path, save_as_external_data=external, size_threshold=0)
    return model


def test_nodes_and_weights_are_those_of_the_onnx_package(tmp_path: Path) -> None:
    save(tmp_path / "a.onnx")
    graph = read(tmp_path / "a.onnx")
    assert (graph.inputs, graph.outputs) == (["x"], ["y"])
    node, = graph.nodes
    assert (node.op, node.name, node.inputs, node.outputs) == ("Test", "named", ("x", "a", "", "c"), ("y",))
    assert node.label == "Test 'named'"
    held = node.attributes.pop("held")
    assert held.tolist() == [7, -8]
    assert node.attributes == {"whole": -3, "part": 0.25, "text": "half", "wholes": [1, -2, 3], "parts": [0.5, 1.5]}
    assert graph.weights["c"].tolist() == [1.5, -2.5]
    assert graph.weights["a"].tolist() == [[1, 2, 3]]
    assert graph.weights["b"].tolist() == [1, 255]
    assert graph.weights["b"].dtype == np.uint8
    assert np.array_equal(graph.weights["raw"], np.arange(-6, 6).reshape(3, 4))
    assert (graph.weights["scalar"].shape, float(graph.weights["scalar"])) == ((), 2.5)


def test_a_bundles_graph(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    graph = read(bundle.file(bundle.manifest.variants[0]))
    assert [node.op for node in graph.nodes] == ["Cast", "Transpose", "Conv", "Resize", "ArgMax", "Cast"]
    assert graph.nodes[1].attributes["perm"] == [0, 3, 1, 2]


@pytest.mark.parametrize("data", [b"", b"\0\1\2nonsense", b"\x3a\xff\xff\xff\xff\x0f"])
def test_what_is_no_onnx_says_so(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"a.onnx does not open as ONNX: got .*; export it again"):
        read(tmp_path / "a.onnx")


def test_a_cut_off_file_says_so(tmp_path: Path) -> None:
    save(tmp_path / "a.onnx")
    whole = (tmp_path / "a.onnx").read_bytes()
    for size in range(10, len(whole) - 20, 37):
        (tmp_path / "b.onnx").write_bytes(whole[:size])
        with pytest.raises(BundleError, match="does not open as ONNX"):
            read(tmp_path / "b.onnx")


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.onnx", external=True)
    with pytest.raises(BundleError, match="weights in another file"):
        read(tmp_path / "a.onnx")
