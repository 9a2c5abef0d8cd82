"""What the backends' tests share: each backend of the table, and a bundle whose graph is built like a real one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from epee.runtime.backends import BACKENDS, Availability, load
from epee.runtime.bundle import Bundle, save, sha256, writing
from epee.runtime.manifest import Manifest, TensorSpec, Variant

STREET_HW, CLASSES = (64, 96), 5
FRAME = TensorSpec("frame", (None, *STREET_HW, 3), "uint8", "NHWC", "bgr8")
MASK = TensorSpec("mask", (None, *STREET_HW), "uint8", "NHW", "class_id")
PLANES = TensorSpec("planes", (None, 3, *STREET_HW), "float32", "NCHW")
LOGITS = TensorSpec("logits", (None, STREET_HW[0] // 2, STREET_HW[1] // 2, CLASSES), "float32", "NHWC")


def absent(found: Availability, required: str) -> NoReturn:
    """Skips what does not work here, with the reason; fails where the comma list `required` names it."""
    if found.name in required.split(","):
        pytest.fail(f"EPEE_REQUIRE_BACKENDS asks for backend '{found.name}': {found.reason}")
    pytest.skip(found.reason)


@pytest.fixture(scope="session")
def absence() -> Callable[[Availability, str], NoReturn]:
    """The function `absent`, for its own test."""
    return absent


@pytest.fixture(scope="module", params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend's name; skips where it does not work here, unless EPEE_REQUIRE_BACKENDS names it."""
    found = load(request.param).probe()
    if not found.available:
        absent(found, os.environ.get("EPEE_REQUIRE_BACKENDS", ""))
    return str(request.param)


@pytest.fixture(scope="session")
def street_like(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small random segmenter with the parts of the exported ones: strides, a shortcut, two scales, the half tail."""
    return _bundle(tmp_path_factory.mktemp("street") / "street.epee", _model(), FRAME, MASK)


@pytest.fixture(scope="session")
def unfused(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The network inside `street_like`: float planes in, logits at half the size out."""
    onnx = pytest.importorskip("onnx")
    whole = onnx.shape_inference.infer_shapes(_model())
    inner = onnx.utils.Extractor(whole).extract_model(["planes"], ["logits"])
    return _bundle(tmp_path_factory.mktemp("street") / "unfused.epee", inner, PLANES, LOGITS)


def _bundle(path: Path, model: object, taken: TensorSpec, given: TensorSpec) -> Bundle:
    """The model as a bundle; its goldens are soft pictures with ONNX Runtime's answers."""
    onnx, ort = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    h, w = STREET_HW
    coarse = np.random.default_rng(1).integers(0, 256, (3, h // 8, w // 8, 3))
    soft = np.stack([np.roll(coarse.repeat(8, 1).repeat(8, 2), i, 2) for i in range(-4, 5)]).mean(0)
    frames = soft.astype(np.uint8) if taken is FRAME else soft.astype(np.float32).transpose(0, 3, 1, 2)
    with writing(path) as folder:
        file = folder / "fp32.onnx"
        onnx.save(model, file)
        answers = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {taken.name: frames})
        variant = Variant("fp32", file.name, "onnx", "fp32", sha256(file), file.stat().st_size)
        names = tuple(f"class {i}" for i in range(CLASSES))
        save(folder, Manifest("street-like", "segment", (taken,), (given,), (variant,), classes=names),
             {taken.name: np.ascontiguousarray(frames), given.name: answers[0]})
    return Bundle.open(path)


def _model() -> object:
    """Bytes to bytes; the last steps are those of `export.fuse`, tail `half`."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    rng = np.random.default_rng(2)
    weights = {"one": np.array([1], np.int64), "twice": np.array([1, 1, 2, 2], np.float32)}

    def conv(x: str, y: str, shape: tuple[int, ...], stride: int = 1, dilation: int = 1) -> object:
        scale = 1 / 128 if x == "planes" else 1
        weights[f"{y}_w"] = (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:])) * scale).astype(np.float32)
        weights[f"{y}_b"] = rng.normal(size=shape[0], scale=0.1).astype(np.float32)
        pad = dilation * (shape[2] // 2)
        return helper.make_node("Conv", [x, f"{y}_w", f"{y}_b"], [y], y, strides=[stride] * 2, pads=[pad] * 4,
                                dilations=[dilation] * 2)

    def node(op: str, x: list[str], y: str, **attributes: object) -> object:
        return helper.make_node(op, x, [y], y, **attributes)

    linear = {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [
        node("Cast", ["frame"], "floats", to=kinds.FLOAT), node("Transpose", ["floats"], "planes", perm=[0, 3, 1, 2]),
        conv("planes", "stem", (8, 3, 3, 3), stride=2), node("Relu", ["stem"], "stem_r"),
        conv("stem_r", "down", (16, 8, 3, 3), stride=2), node("Relu", ["down"], "down_r"),
        conv("down_r", "wide", (16, 16, 3, 3), dilation=2), node("Add", ["wide", "down_r"], "shortcut"),
        node("Relu", ["shortcut"], "deep"),
        node("Resize", ["deep", "", "twice"], "up", **linear), node("Concat", ["up", "stem_r"], "both", axis=1),
        conv("both", "head", (CLASSES, 24, 1, 1)), node("Transpose", ["head"], "logits", perm=[0, 2, 3, 1]),
        node("ArgMax", ["logits"], "ids", axis=-1, keepdims=0), node("Unsqueeze", ["ids", "one"], "ids4"),
        node("Cast", ["ids4"], "ids_f", to=kinds.FLOAT), node("Resize", ["ids_f", "", "twice"], "ids_2", **nearest),
        node("Squeeze", ["ids_2", "one"], "ids_3"), node("Cast", ["ids_3"], "mask", to=kinds.UINT8)]
    graph = helper.make_graph(
        nodes, "street-like", [helper.make_tensor_value_info("frame", kinds.UINT8, ["N", *STREET_HW, 3])],
        [helper.make_tensor_value_info("mask", kinds.UINT8, ["N", *STREET_HW])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model
