"""Pictures of three classes, and a real extractor that learned them in seconds, as a run and as a bundle."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from epee.runtime.bundle import save, sha256, writing
from epee.runtime.manifest import Manifest, TensorSpec, Variant

CLASSES = ("blue", "green", "red")
SIZE, TRAIN, TEST, Z = 16, 48, 24, 6


def square(rng, label):
    """A square of the class's colour anywhere on grey noise, (16, 16, 3) uint8."""
    image = rng.integers(90, 140, (SIZE, SIZE, 3), np.uint8)
    y, x = rng.integers(0, SIZE - 6, 2)
    image[y:y + 6, x:x + 6] = 30
    image[y:y + 6, x:x + 6, label] = 230
    return image


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A zip: train and test, a folder a class, 48 and 24 pictures each."""
    path, rng = tmp_path_factory.mktemp("data") / "squares.zip", np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for split, count in (("train", TRAIN), ("test", TEST)):
            for label, name in enumerate(CLASSES):
                for i in range(count):
                    encoded = cv2.imencode(".png", square(rng, label))[1]
                    file.writestr(f"{split}/{name}/{i:03d}.png", encoded.tobytes())
    return path


@pytest.fixture(scope="session")
def features_config(data):
    """Makes a FeaturesConfig for them; any field can be replaced."""
    for module in ("torch", "safetensors"):
        pytest.importorskip(module)
    from epee.train.features import FeaturesConfig
    from epee.train.networks.extractor import ExtractorConfig

    network = ExtractorConfig(classes=2, channels=(8, 8, 8, 16), blocks=(0, 1, 0))

    def make(**fields):
        return FeaturesConfig(**{"data": str(data), "half": "b", "size": SIZE, "epochs": 12, "batch": 16,
                                 "warmup_steps": 10, "ema_decay": 0.9, "network": network, **fields})

    return make


@pytest.fixture(scope="session")
def features_run(features_config, tmp_path_factory):
    """A run of `train_features` and what it returned."""
    from epee.train.features import train_features

    run = tmp_path_factory.mktemp("runs") / "squares"
    return run, train_features(features_config(), run, quiet=True)


@pytest.fixture(scope="session")
def extractor_bundle(features_run, tmp_path_factory):
    """The run as a bundle."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    from epee.export.exporting import export_bundle

    return export_bundle(features_run[0], tmp_path_factory.mktemp("bundles") / "squares.epee").bundle


@pytest.fixture(scope="session")
def generator_bundle(tmp_path_factory) -> Path:
    """A generator with labels whose pictures are of the label's colour, as bright as the first of `z` says."""
    onnx = pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("bundles") / "colours.epee"
    with writing(path) as folder:
        onnx.save(colour_graph(), folder / "fp32.onnx")
        variant = Variant("fp32", "fp32.onnx", "onnx", "fp32", sha256(folder / "fp32.onnx"),
                          (folder / "fp32.onnx").stat().st_size)
        manifest = Manifest(
            "colours", "generate",
            (TensorSpec("z", (None, Z), "float32", "NZ"), TensorSpec("label", (None,), "int64", "N")),
            (TensorSpec("image", (None, SIZE, SIZE, 3), "uint8", "NHWC", "bgr8"),), (variant,), classes=CLASSES,
            provenance={"half": "a"})
        save(folder, manifest, {})
    return path


def colour_graph():
    """image = OneHot(label) * (150 + 20 z[0]), repeated over 16x16 pixels."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {"depth": np.array(3), "values": np.array([0, 1], np.float32), "axes": np.array([1, 2]),
                 "first": np.array([0]), "last": np.array([1]), "along": np.array([1]),
                 "scale": np.float32(20), "shift": np.float32(150), "sizes": np.array([1, SIZE, SIZE, 1])}
    nodes = [
        helper.make_node("Slice", ["z", "first", "last", "along"], ["z0"]),
        helper.make_node("Mul", ["z0", "scale"], ["scaled"]), helper.make_node("Add", ["scaled", "shift"], ["bright"]),
        helper.make_node("OneHot", ["label", "depth", "values"], ["hot"]),
        helper.make_node("Mul", ["hot", "bright"], ["colour"]),
        helper.make_node("Unsqueeze", ["colour", "axes"], ["pixel"]),
        helper.make_node("Tile", ["pixel", "sizes"], ["floats"]),
        helper.make_node("Cast", ["floats"], ["image"], to=TensorProto.UINT8)]
    graph = helper.make_graph(
        nodes, "colours", [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", Z]),
                           helper.make_tensor_value_info("label", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
