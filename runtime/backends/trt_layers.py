"""What TensorRT's engine inspector tells of an engine's layers.

It tells types only of engines that were built with detailed profiling verbosity, as `engines.build` does; of others it
gives bare names, and of TensorRT-RTX's parts that are compiled on the GPU perhaps less. What is not told is `unknown`:
INT8 that was asked for is then unverified. Read from the documentation; no engine has been opened yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNKNOWN = "unknown"
WEIGHTED = re.compile(r"conv|gemm|matmul|matrixmultiply|fullyconnected|attention", re.IGNORECASE)
TYPES = (("int8", "int8"), ("fp8", "fp8"), ("bfloat16", "bf16"), ("bf16", "bf16"), ("half", "fp16"), ("fp16", "fp16"),
         ("float", "fp32"), ("fp32", "fp32"))
"""A word in the inspector's names of types -> ours, the more exact ones first."""
ORDER = ("int8", "fp8", "fp16", "bf16", "fp32", UNKNOWN)


@dataclass(frozen=True)
class Layer:
    """One layer of an engine; `precision` is `unknown` where the inspector does not tell."""

    name: str
    op: str
    precision: str
    weighted: bool


def inspect(trt: Any, engine: Any) -> tuple[Layer, ...]:
    """The layers of an opened engine, in their order; none where the library has no inspector."""
    inspector = engine.create_engine_inspector() if hasattr(engine, "create_engine_inspector") else None
    if inspector is None:
        return ()
    return read(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def read(text: str) -> tuple[Layer, ...]:
    """Reads the inspector's JSON: a list of layers that are bare names, or objects where it has details."""
    try:
        found = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError):
        return ()
    return tuple(_layer(entry) for entry in found)


def active_precision(layers: Sequence[Layer]) -> str:
    """The narrowest precision of a layer with weights; `unknown` where the inspector tells of none."""
    found = {layer.precision for layer in layers if layer.weighted}
    return next((p for p in ORDER if p in found), UNKNOWN)


def _layer(entry: str | Mapping[str, Any]) -> Layer:
    if isinstance(entry, str):
        return Layer(entry, "", UNKNOWN, WEIGHTED.search(entry) is not None)
    name, op = str(entry.get("Name", "")), str(entry.get("ParameterType") or entry.get("LayerType", ""))
    weights = entry.get("Weights")
    kind = weights.get("Type", "") if isinstance(weights, Mapping) else ""
    if not kind and entry.get("Inputs"):
        kind = entry["Inputs"][0].get("Format/Datatype", "")
    return Layer(name, op, _ours(str(kind)), bool(weights) or WEIGHTED.search(op) is not None)


def _ours(kind: str) -> str:
    lower = kind.lower()
    return next((ours for word, ours in TYPES if word in lower), UNKNOWN)
