"""An ONNX file read without the onnx package: nodes, weights, names. For runtimes that cannot read ONNX themselves.

The file is a protocol buffer: a run of (field number, value) pairs, of which those are taken that a graph of plain
operators needs. No subgraphs, no external data, no functions.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BundleError

DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}
"""ONNX's number of an element type -> numpy's name."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Node:
    """One operator with its attributes as Python values; lists of numbers are lists, tensors arrays."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def label(self) -> str:
        """How an error names it."""
        return f"{self.op} '{self.name or self.outputs[0]}'"


@dataclass
class Graph:
    """The main graph, its nodes in the order in which they are computed; constants are among the weights."""

    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


def read(path: Path) -> Graph:
    """Gives the graph of an ONNX file.

    Raises:
        BundleError: it is no ONNX file, or has what this reader does not know.
    """
    try:
        graphs = [value for number, value in _fields(memoryview(path.read_bytes())) if number == 7]
        graph = _graph(graphs[0])
    except (IndexError, KeyError, ValueError, TypeError, struct.error) as error:
        raise BundleError(f"{path.name} does not open as ONNX", got=f"{type(error).__name__}: {error}",
                          do="export it again, or try another backend") from None
    graph.inputs = [name for name in graph.inputs if name not in graph.weights]
    constants = [node for node in graph.nodes if node.op == "Constant" and "value" in node.attributes]
    graph.weights |= {node.outputs[0]: node.attributes["value"] for node in constants}
    graph.nodes = [node for node in graph.nodes if node not in constants]
    return graph


def _graph(data: memoryview) -> Graph:
    graph = Graph()
    for number, value in _fields(data):
        if number == 1:
            graph.nodes.append(_node(value))
        elif number == 5:
            name, array = _tensor(value)
            graph.weights[name] = array
        elif number in (11, 12):
            names = graph.inputs if number == 11 else graph.outputs
            names += [_text(v) for n, v in _fields(value) if n == 1]
    return graph


def _node(data: memoryview) -> Node:
    fields = list(_fields(data))

    def texts(wanted: int) -> list[str]:
        return [_text(value) for number, value in fields if number == wanted]

    attributes = dict(_attribute(value) for number, value in fields if number == 5)
    return Node((texts(4) or [""])[0], (texts(3) or [""])[0], tuple(texts(1)), tuple(texts(2)), attributes)


def _attribute(data: memoryview) -> tuple[str, Any]:
    name, value, listed = "", None, []
    for number, got in _fields(data):
        if number == 1:
            name = _text(got)
        elif number == 2:
            value = struct.unpack("<f", got)[0]
        elif number == 3:
            value = _signed(got)
        elif number == 4:
            value = _text(got)
        elif number == 5:
            value = _tensor(got)[1]
        elif number == 7:
            listed += np.frombuffer(got, "<f4").tolist()
        elif number == 8:
            listed += _integers(got)
    return name, listed or value


def _tensor(data: memoryview) -> tuple[str, NDArray[Any]]:
    name, dims, kind = "", [], 0
    raw, floats, integers = b"", b"", []
    for number, value in _fields(data):
        if number == 1:
            dims += _integers(value)
        elif number == 2:
            kind = value
        elif number == 4:
            floats += bytes(value)
        elif number in (5, 7):
            integers += _integers(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = bytes(value)
        elif number == 14 and value == 1:
            raise ValueError("weights in another file")
    dtype = np.dtype(DTYPES[kind])
    flat = np.array(integers, dtype) if integers else np.frombuffer(raw or floats, dtype)
    return name, flat.reshape(dims)


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Gives (field number, value): an int for a varint, else the bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(kind, 0)
        if kind == BYTES:
            size, at = _varint(data, at)
        elif not size:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise ValueError("the file is cut off")
        yield number, data[at:at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Gives the number at `at` and where the next byte is."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _integers(value: int | memoryview) -> list[int]:
    """A repeated integer: packed into bytes, or one number."""
    if isinstance(value, int):
        return [_signed(value)]
    numbers, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        numbers.append(_signed(number))
    return numbers


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8")
