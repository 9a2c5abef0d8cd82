"""What tests of the benchmark need: backends that misbehave in the worker, and bundles whose graphs do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from epee.runtime.backends import BACKENDS
from epee.runtime.bundle import save, sha256, writing
from epee.runtime.manifest import Manifest, TensorSpec, Variant

BACKEND_THAT = """
import importlib
from epee.runtime.backends import Availability

def probe():
    return Availability("{name}", True, "", ("cpu",), "1")

def refuses(variant, device):
    return ""

class Session:
    backend, device, variant, precision, depth = "{name}", "cpu", "fp32", "fp32", 1
    def __init__(self, real):
        self.real, self.inputs, self.outputs, self.calls = real, real.inputs, real.outputs, 0
    def run(self, feeds):
        {deed}
    def close(self):
        self.real.close()
    def __enter__(self):
        return self
    def __exit__(self, *exc):
        self.close()

def open_session(bundle, variant, options):
    return Session(importlib.import_module("epee.runtime.backends.onnxruntime").open_session(bundle, variant, options))
"""
STARTER = """
import sys
from epee.runtime.backends import BACKENDS
BACKENDS.update({backends!r})
"""


@pytest.fixture
def bad_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Adds a backend that misbehaves to the table, here and in every child process."""
    def add(name: str, deed: str) -> None:
        (tmp_path / f"backend_{name}.py").write_text(BACKEND_THAT.format(name=name, deed=deed))
        entry = {name: f"backend_{name}"}
        (tmp_path / "sitecustomize.py").write_text(STARTER.format(backends=entry))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(BACKENDS, name, entry[name])
    return add


@pytest.fixture
def odd_bundle(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a bundle whose golden says `y = x / x` is 1, while its graph gives `nan` (of 0 / 0) or `wide` (too much).

    Both are float, so that the answer comes out as the graph made it.
    """
    onnx = pytest.importorskip("onnx")

    def write(kind: str) -> Path:
        from onnx import TensorProto, helper

        nodes = [helper.make_node("Div", ["x", "x"], ["y"])] if kind == "nan" else [
            helper.make_node("Concat", ["x", "x"], ["y"], axis=1)]
        graph = helper.make_graph(nodes, kind, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", None])])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        path = tmp_path / f"{kind}.epee"
        with writing(path) as folder:
            onnx.save(model, folder / "fp32.onnx")
            variant = Variant("fp32", "fp32.onnx", "onnx", "fp32", sha256(folder / "fp32.onnx"),
                              (folder / "fp32.onnx").stat().st_size)
            manifest = Manifest(kind, "features", (TensorSpec("x", (None, 4), "float32", "NZ"),),
                                (TensorSpec("y", (None, 4), "float32", "NZ"),), (variant,))
            save(folder, manifest, {"x": np.zeros((2, 4), np.float32), "y": np.ones((2, 4), np.float32)})
        return path
    return write
