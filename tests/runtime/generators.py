"""Small generators as bundles: random weights, real graphs, the contract that `epee export` writes."""

from pathlib import Path
from typing import Any

import numpy as np
from epee.runtime.bundle import save, sha256, writing
from epee.runtime.manifest import Manifest, TensorSpec, Variant

Z, SIDE = 8, 16
CLASSES = ("cat", "dog", "frog")
INPUTS = {"z": TensorSpec("z", (None, Z), "float32", "NZ"), "label": TensorSpec("label", (None,), "int64", "N"),
          "truncation": TensorSpec("truncation", (None,), "float32", "N"),
          "state": TensorSpec("state", (None, Z), "float32", "NZ")}
NEXT_STATE = TensorSpec("next_state", (None, Z), "float32", "NZ")
IMAGE = TensorSpec("image", (None, SIDE, SIDE, 3), "uint8", "NHWC", "bgr8")


def write_generator(path: Path, inputs: tuple[str, ...], task: str = "generate", seed: int = 0) -> Path:
    """A bundle that takes `z` and what else is named; with `state` it gives 0.5 state + z back and draws that.

    Args:
        seed: of the weights.
    """
    import onnx

    with writing(path) as folder:
        file = folder / "fp32.onnx"
        onnx.save(_graph(inputs, seed), file)
        variant = Variant("fp32", file.name, "onnx", "fp32", sha256(file), file.stat().st_size)
        outputs = (IMAGE, NEXT_STATE) if "state" in inputs else (IMAGE,)
        manifest = Manifest(path.stem, task, tuple(INPUTS[name] for name in inputs), outputs, (variant,),
                            classes=CLASSES if "label" in inputs else ())
        save(folder, manifest, _goldens(file, manifest))
    return path


def _graph(inputs: tuple[str, ...], seed: int) -> Any:
    """Latent (+ the class's own), times the truncation, into 3x4x4, four times as large, tanh, bytes."""
    from onnx import TensorProto, helper, numpy_helper

    rng, nodes, latent = np.random.default_rng(seed), [], "z"
    constants = {"weight": rng.normal(0, 0.4, (Z, 48)), "classes": rng.normal(0, 2, (len(CLASSES), Z)),
                 "sizes": np.array([1, 1, 4, 4]), "grey": np.array(127.5), "half": np.array(0.5)}
    if "label" in inputs:
        nodes += [helper.make_node("Gather", ["classes", "label"], ["class"]),
                  helper.make_node("Add", [latent, "class"], ["of_class"])]
        latent = "of_class"
    if "truncation" in inputs:
        nodes += [helper.make_node("Unsqueeze", ["truncation", "one"], ["column"]),
                  helper.make_node("Mul", [latent, "column"], ["cut"])]
        latent = "cut"
    if "state" in inputs:
        nodes += [helper.make_node("Mul", ["state", "half"], ["before"]),
                  helper.make_node("Add", [latent, "before"], ["next_state"])]
        latent = "next_state"
    nodes += [helper.make_node("MatMul", [latent, "weight"], ["flat"]),
              helper.make_node("Reshape", ["flat", "shape"], ["small"]),
              helper.make_node("Resize", ["small", "", "sizes"], ["large"], mode="linear"),
              helper.make_node("Tanh", ["large"], ["unit"]), helper.make_node("Mul", ["unit", "grey"], ["grey_levels"]),
              helper.make_node("Add", ["grey_levels", "grey"], ["levels"]),
              helper.make_node("Round", ["levels"], ["whole"]),
              helper.make_node("Cast", ["whole"], ["planes"], to=TensorProto.UINT8),
              helper.make_node("Transpose", ["planes"], ["image"], perm=[0, 2, 3, 1])]
    shapes = [numpy_helper.from_array(np.array([1]), "one"), numpy_helper.from_array(np.array([-1, 3, 4, 4]), "shape")]
    types = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8}
    named = [helper.make_tensor_value_info(s.name, types[s.dtype], ["N", *s.shape[1:]])
             for s in (*(INPUTS[name] for name in inputs), IMAGE)]
    outputs = named[-1:]
    if "state" in inputs:
        outputs.append(helper.make_tensor_value_info("next_state", TensorProto.FLOAT, ["N", Z]))
    graph = helper.make_graph(nodes, "generator", named[:-1], outputs, shapes + [
        numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _goldens(file: Path, manifest: Manifest) -> dict[str, Any]:
    from onnx.reference import ReferenceEvaluator

    rng = np.random.default_rng(9)
    given = {"z": rng.standard_normal((4, Z), np.float32), "label": np.arange(4) % len(CLASSES),
             "truncation": np.array([1, 1, 0.7, 0.7], np.float32), "state": np.zeros((4, Z), np.float32)}
    feeds = {spec.name: given[spec.name] for spec in manifest.inputs}
    return feeds | dict(zip([s.name for s in manifest.outputs], ReferenceEvaluator(str(file)).run(None, feeds),
                            strict=True))
