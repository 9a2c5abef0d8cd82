"""Whether a device really computes: a network of a few hundred bytes is opened there and has to answer right.

What a library lists is what it was built for: onnxruntime-gpu lists CUDA on machines without a GPU. The network is
written here, bytes and all, so that neither the onnx package nor a bundle is needed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .backends import Availability, SessionOptions, load
from .backends.onnxruntime import COMPILING
from .bundle import Bundle, save, sha256, writing
from .engines import LIBRARIES
from .manifest import Manifest, TensorSpec, Variant

SIDE = 8
FRAME = TensorSpec("frame", (1, SIDE, SIDE, 3), "uint8", "NHWC", "bgr8")
MASK = TensorSpec("mask", (1, SIDE, SIDE), "uint8", "NHW", "class_id")
FLOAT, UINT8 = 1, 2
"""ONNX's numbers of two element types."""


def try_devices(found: Availability) -> dict[str, str]:
    """Lets every device that a backend lists compute.

    Returns:
        Device -> why it does not work, or '' where it answered right. TensorRT's devices are not tried, in ONNX
        Runtime neither: they build engines first, which may take minutes.
    """
    devices = [device for device in found.devices if device not in COMPILING]
    if found.name in LIBRARIES:
        return dict.fromkeys(found.devices, "")
    with tempfile.TemporaryDirectory(prefix="epee-") as folder:
        bundle = make(Path(folder) / "trial.epee")
        return {device: _try(found.name, device, bundle) for device in devices}


def _try(backend: str, device: str, bundle: Bundle) -> str:
    """Why the device does not compute, or ''."""
    goldens = bundle.goldens()
    try:
        with _quiet(), load(backend).open_session(bundle, bundle.manifest.variants[0],
                                                  SessionOptions(device, threads=1)) as session:
            answer = session.run({FRAME.name: goldens[FRAME.name]})[MASK.name]
    except Exception as error:  # whatever a driver raises is the answer
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return "" if np.array_equal(answer, goldens[MASK.name]) else "it answers wrong"


def make(path: Path) -> Bundle:
    """Writes the network as a bundle: it names the strongest of a pixel's three colours."""
    frame = np.random.default_rng(0).permutation(SIDE * SIDE * 3).reshape(1, SIDE, SIDE, 3).astype(np.uint8)
    with writing(path) as folder:
        file = folder / "fp32.onnx"
        file.write_bytes(_model())
        variant = Variant("fp32", file.name, "onnx", "fp32", sha256(file), file.stat().st_size)
        save(folder, Manifest("trial", "segment", (FRAME,), (MASK,), (variant,)),
             {FRAME.name: frame, MASK.name: frame.argmax(-1).astype(np.uint8)})
    return Bundle.open(path)


def _model() -> bytes:
    """Cast, transpose, a convolution that changes nothing, arg max, cast."""
    weight = np.eye(3, dtype="<f4").reshape(3, 3, 1, 1)
    tensor = _ints(1, *weight.shape) + _field(2, FLOAT) + _field(8, b"weight") + _field(9, weight.tobytes())
    nodes = [_node("Cast", ["frame"], "floats", _number("to", FLOAT)),
             _node("Transpose", ["floats"], "planes", _numbers("perm", 0, 3, 1, 2)),
             _node("Conv", ["planes", "weight"], "logits"),
             _node("ArgMax", ["logits"], "ids", _number("axis", 1), _number("keepdims", 0)),
             _node("Cast", ["ids"], "mask", _number("to", UINT8))]
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"trial") + _field(5, tensor)
    graph += _field(11, _value(FRAME)) + _field(12, _value(MASK))
    return _field(1, 9) + _field(7, graph) + _field(8, _field(1, b"") + _field(2, 18))


def _node(op: str, inputs: list[str], output: str, *attributes: bytes) -> bytes:
    return (b"".join(_field(1, name.encode()) for name in inputs) + _field(2, output.encode())
            + _field(3, output.encode()) + _field(4, op.encode()) + b"".join(_field(5, a) for a in attributes))


def _number(name: str, value: int) -> bytes:
    return _field(1, name.encode()) + _field(3, value) + _field(20, 2)


def _numbers(name: str, *values: int) -> bytes:
    return _field(1, name.encode()) + _ints(8, *values) + _field(20, 7)


def _value(spec: TensorSpec) -> bytes:
    dims = b"".join(_field(1, _field(1, int(size or 1))) for size in spec.shape)
    return _field(1, spec.name.encode()) + _field(2, _field(1, _field(1, UINT8) + _field(2, dims)))


def _ints(number: int, *values: int) -> bytes:
    return b"".join(_field(number, value) for value in values)


def _field(number: int, value: int | bytes) -> bytes:
    """One field of a protocol buffer: a number, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """Keeps what libraries print of a missing driver off the screen: the error has it as well."""
    kept = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
