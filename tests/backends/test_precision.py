"""A session's precision is what the runtime computes in, whatever the variant is called: held against the profile."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from epee.runtime.backends import BACKENDS, candidates, load, open_session
from epee.runtime.backends.ort_graph import UNKNOWN, computes_in
from epee.runtime.bundle import Bundle, save, sha256, writing
from epee.runtime.errors import Unsupported
from epee.runtime.onnx_file import Graph, Node
from epee.runtime.placement import placement
from epee.runtime.scores import equal_share
from epee.runtime.variants import choose_variant

onnx = pytest.importorskip("onnx")
ORDER = ("int8", "fp16", "bf16", "fp32")
SIGNS = {"int8-u8s8": (np.uint8, 0), "int8-s8s8": (np.int8, 0)}


@pytest.fixture(scope="module")
def every(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle in four variants: fp32, fp16, and INT8 with activations of either sign."""
    old, path = Bundle.open(tiny_bundle), tmp_path_factory.mktemp("every") / "every.epee"
    first = old.manifest.variants[0]
    with writing(path) as folder:
        models = {"fp32": onnx.load(tiny_bundle / "fp32.onnx"), "fp16": _halved(tiny_bundle / "fp32.onnx"),
                  **{name: _quantised(tiny_bundle / "fp32.onnx", kind) for name, (kind, _) in SIGNS.items()}}
        variants = []
        for name, model in models.items():
            onnx.checker.check_model(model, full_check=True)
            file = folder / f"{name}.onnx"
            onnx.save(model, file)
            variants.append(dataclasses.replace(first, name=name, file=file.name, precision=name.split("-")[0],
                                                sha256=sha256(file), bytes=file.stat().st_size))
        save(folder, dataclasses.replace(old.manifest, variants=tuple(variants)), old.goldens())
    return Bundle.open(path)


def _halved(file: Path) -> object:
    """The graph with all its floats in half precision."""
    model = onnx.load(file)
    for weight in model.graph.initializer:
        if weight.name in ("weight", "bias"):
            array = onnx.numpy_helper.to_array(weight).astype(np.float16)
            weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    model.graph.node[0].attribute[0].i = onnx.TensorProto.FLOAT16
    return model


def _quantised(file: Path, kind: type) -> object:
    """The graph with its convolution between quantised values."""
    model, make = onnx.load(file), onnx.helper.make_node
    extra = {"x_scale": np.array(2.1, np.float32), "zero": np.array(0, kind), "y_scale": np.array(2.1, np.float32),
             "w_scale": np.array(0.25 / 100, np.float32), "w_zero": np.array(0, np.int8),
             "w8": (np.eye(4, 3)[:, :, None, None] * np.full((2, 2), 100)).astype(np.int8)}
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    conv.input[0], conv.input[1], conv.output[0] = "x_q", "w_q", "y"
    position = list(model.graph.node).index(conv)
    before = [make("QuantizeLinear", ["planes", "x_scale", "zero"], ["x8"]),
              make("DequantizeLinear", ["x8", "x_scale", "zero"], ["x_q"]),
              make("DequantizeLinear", ["w8", "w_scale", "w_zero"], ["w_q"])]
    after = [make("QuantizeLinear", ["y", "y_scale", "zero"], ["y8"]),
             make("DequantizeLinear", ["y8", "y_scale", "zero"], ["small"])]
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:position], *before, nodes[position], *after, *nodes[position + 1:]])
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in extra.items())
    return model


def test_sessions_say_what_the_profile_says(every: Bundle, backend: str) -> None:
    if backend.startswith("tensorrt"):
        pytest.skip("an engine's precision is read from the inspector, see test_placement")
    for variant in candidates(every, backend):
        try:
            placed = placement(every, backend, variant.name)
        except Unsupported:
            continue
        computing = {node.precision for node in placed.nodes if node.weighted}
        with open_session(every, backend, variant.name) as session:
            assert session.variant == variant.name
            assert session.precision == next(p for p in ORDER if p in computing), variant.name


def test_an_fp16_or_s8s8_file_in_onnxruntime_is_not_called_so_where_it_computes_in_fp32(every: Bundle) -> None:
    pytest.importorskip("onnxruntime")
    told = {}
    for name in ("fp32", "fp16", "int8-u8s8", "int8-s8s8"):
        with open_session(every, "onnxruntime", name) as session:
            told[name] = session.precision
    assert (told["fp32"], told["int8-u8s8"]) == ("fp32", "int8")
    assert told["fp16"] in ("fp32", "fp16")  # the latter on ARM, where there are fp16 kernels
    assert told["int8-s8s8"] in ("fp32", "int8")


def test_types_are_traced_through_what_only_moves_values() -> None:
    def graph(*nodes: Node) -> Graph:
        return Graph(list(nodes), {"half": np.ones(3, np.float16), "full": np.ones(3, np.float32)})

    def node(op: str, inputs: tuple[str, ...], output: str, **attributes: object) -> Node:
        return Node(op, "", inputs, (output,), attributes)

    moved = node("Transpose", ("half",), "w")
    assert computes_in(graph(moved, node("MatMul", ("x", "w"), "y"))) == "fp16"
    cast = node("Cast", ("half",), "w", to=1)
    assert computes_in(graph(cast, node("Conv", ("x", "w"), "y"))) == "fp32"
    assert computes_in(graph(node("ConvInteger", ("x", "half"), "y"), node("Conv", ("y", "full"), "z"))) == "int8"
    assert computes_in(graph(node("Conv", ("x", "unseen"), "y"))) == UNKNOWN
    assert computes_in(graph(node("Relu", ("x",), "y"))) == UNKNOWN


def test_every_backend_says_what_it_refuses(every: Bundle) -> None:
    engine = dataclasses.replace(every.manifest.variants[0], name="e", kind="engine", targets=("other:sm1",))
    for name in BACKENDS:
        assert load(name).refuses(engine, "")
        assert not load(name).refuses(every.manifest.variants[0], "")
    assert "int8-u8s8" not in [v.name for v in candidates(every, "tensorrt-rtx")]  # it was made for CPUs
    assert "int8-s8s8" in [v.name for v in candidates(every, "tensorrt-rtx")]


def test_bf16_is_the_fp32_file_or_a_clear_refusal(tiny_bundle: Path, backend: str) -> None:
    bundle = Bundle.open(tiny_bundle)
    goldens = bundle.goldens()
    variant = choose_variant(bundle, "bf16")
    if variant in candidates(bundle, backend):
        with open_session(bundle, backend, "bf16") as session:
            assert (session.variant, session.precision) == ("bf16", "bf16")
            mask = session.run({"frame": goldens["frame"]})["mask"]
        assert equal_share(mask, goldens["mask"]) >= variant.tolerance.min_equal == 0.99
    else:
        with pytest.raises(Unsupported, match=rf"backend '{backend}.*': variant 'bf16': got .*expected"):
            open_session(bundle, backend, "bf16")
