"""`epee inspect --backend`: on which provider and in which precision each node really ran, told by the runtime itself.

Nothing here is what was asked for. ONNX Runtime's profile of a real run, OpenVINO's compiled model, OpenCV's layers,
the numbers that ncnn keeps between its layers and TensorRT's engine inspector are read; what a runtime does not tell is
`unknown`, which breaks the promise too. A variant keeps its promise where every layer with weights
(convolutions and matrix products: nearly all the work) computes in the variant's precision and every node runs on the
device that was named. Nodes without weights may compute otherwise (an INT8 graph resizes its logits in float); the
summary shows them.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import backends
from .backends import onnxruntime, opencv, openvino, trt_layers
from .backends.onnxruntime import COMPILING
from .bundle import Bundle
from .errors import BackendError, need
from .manifest import Variant
from .variants import choose_variant
from .verify import read_goldens

RUNS = 5
"""How often the graph is computed unless more is asked for; the first time warms up, and the fastest counts."""
MOVED, UNKNOWN = "moved", "unknown"
WEIGHTED = re.compile(r"conv(?!ert)|gemm|matmul|fullyconnected|innerproduct|attention|lstm|gru", re.IGNORECASE)
"""Types of nodes that compute with weights, whatever the runtime calls them: `QLinearConv`, `Conv2Int8` …"""
DATA = re.compile(r"cast|convert|quantize|reorder|layout|transpose|permute|reshape|squeeze|flatten|identity|concat"
                  r"|slice|split|pad|expand|gather|shape", re.IGNORECASE)
"""Types of nodes that move values or change their type and compute nothing."""
PRECISIONS = {
    "float": "fp32", "f32": "fp32", "float16": "fp16", "f16": "fp16", "bfloat16": "bf16", "bf16": "bf16",
    "double": "fp64", "f64": "fp64", "uint8": "int8", "int8": "int8", "u8": "int8", "i8": "int8",
}
"""A runtime's name of a tensor's type -> ours; others keep their name."""
NCNN_BITS = {32: "fp32", 16: "fp16", 8: "int8"}
"""Bits of each number of a layer's output -> what it computed in. bf16 has 16 as well, and is never switched on."""

Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Node:
    """One node that ran.

    Attributes:
        name, op: as the runtime calls them; after fusing, one node stands for several of the file.
        provider: what ran it, e.g. `cpu`.
        precision: `fp32`, `fp16`, `bf16`, `int8` …; `moved` where nothing is computed; `unknown` where it isn't told.
        weighted: whether it computes with weights.
        ms: time of one run.
    """

    name: str
    op: str
    provider: str
    precision: str
    weighted: bool
    ms: float


@dataclass(frozen=True)
class Look:
    """How to look: what goes in, on how many threads (0: the backend's choice), and how often."""

    feeds: Feeds
    threads: int = 0
    runs: int = RUNS


@dataclass(frozen=True)
class Placement:
    """Where a variant ran.

    Attributes:
        backend, device, variant: what was opened.
        precision: what the variant promises.
        nodes: in the order of the graph.
    """

    backend: str
    device: str
    variant: str
    precision: str
    nodes: tuple[Node, ...]

    def strays(self) -> list[tuple[Node, str]]:
        """The nodes that break the promise, each with what is wrong."""
        found = []
        for node in self.nodes:
            if self.device != "auto" and not node.provider.startswith(self.device):  # `gpu` may well be `gpu.0`
                found.append((node, f"ran on {node.provider}, not {self.device}"))
            elif node.weighted and node.precision != self.precision:
                told = f"computes in {node.precision}, not {self.precision}"
                untold = f"{self.precision} was asked for, and the runtime does not tell what it computes in"
                found.append((node, untold if node.precision == UNKNOWN else told))
        return found

    def summary(self) -> list[dict[str, Any]]:
        """`provider`, `precision`, `nodes` and `time_share` (0 to 1) of each pair of the two, the longest first."""
        total = sum(node.ms for node in self.nodes) or 1.0
        groups: dict[tuple[str, str], list[Node]] = {}
        for node in self.nodes:
            groups.setdefault((node.provider, node.precision), []).append(node)
        rows = [{"provider": provider, "precision": precision, "nodes": len(nodes),
                 "time_share": round(sum(n.ms for n in nodes) / total, 4)}
                for (provider, precision), nodes in groups.items()]
        return sorted(rows, key=lambda row: -float(str(row["time_share"])))

    def to_json(self) -> dict[str, Any]:
        """All of it, with `ok`, `summary` and `strays` (name, op, why)."""
        strays = self.strays()
        return {**asdict(self), "nodes": [asdict(node) for node in self.nodes], "summary": self.summary(),
                "strays": [{"name": node.name, "op": node.op, "why": why} for node, why in strays], "ok": not strays}


def placement(bundle: Bundle, backend: str = "auto", precision: str = "auto", *, threads: int = 0,
              runs: int = RUNS) -> Placement:
    """Runs the first golden on a backend and reads where each node ran.

    Args:
        bundle: what to run.
        backend: `NAME[:DEVICE]`, or `auto`.
        precision: a variant's name or precision, or `auto`.
        threads: compute threads; 0 leaves the choice to the backend.
        runs: how often it is run; more make the times better.

    Raises:
        BackendError: the variant does not open there, or nobody has taught epee to look into this backend.
    """
    variant = choose_variant(bundle, precision)
    with backends.open_session(bundle, backend, variant.name, threads=threads) as session:
        name, device = session.backend, session.device
        if name not in READERS:
            raise BackendError(f"backend '{name}'", got="no way to look inside",
                               expected="one of " + ", ".join(READERS), do="choose one of them with --backend")
        goldens = read_goldens(bundle)
        feeds = {s.name: np.ascontiguousarray(goldens[s.name][:s.shape[0] or 1]) for s in session.inputs}
        nodes = READERS[name](session, bundle, variant, Look(feeds, threads, runs))
    return Placement(name, device, variant.name, variant.precision, tuple(nodes))


def render(placed: Placement) -> str:
    """What a person reads of a placement."""
    total_ms = sum(node.ms for node in placed.nodes)
    lines = [f"{placed.variant} on {placed.backend}:{placed.device}: {len(placed.nodes)} nodes ran, {total_ms:.2f} ms"]
    lines += [f"  {row['provider']:<8} {row['precision']:<8} {row['nodes']:4d} nodes {row['time_share']:7.1%} of time"
              for row in placed.summary()]
    strays = placed.strays()
    lines += [f"stray: node '{node.name}' ({node.op}) {why}" for node, why in strays]
    lines.append(f"not as promised: {len(strays)} node{'s' * (len(strays) > 1)}" if strays else
                 f"as promised: every layer with weights computes in {placed.precision}, every node on {placed.device}")
    return "\n".join(lines)


def read_onnxruntime(session: Any, bundle: Bundle, variant: Variant, look: Look) -> list[Node]:
    """Nodes of ONNX Runtime's profile of a run on the session's provider.

    A profile has to be asked for at opening, so the file is opened once more, on the provider that became active.
    """
    ort = need("onnxruntime")
    provider = next(p for p in ort.get_available_providers() if _device(p) == session.device)
    with tempfile.TemporaryDirectory(prefix="epee-") as folder:
        settings = ort.SessionOptions()
        settings.enable_profiling, settings.log_severity_level = True, 3
        settings.intra_op_num_threads = look.threads
        settings.profile_file_prefix = str(Path(folder) / "profile")
        profiled = ort.InferenceSession(str(bundle.file(variant)), settings, providers=[provider])
        for _ in range(look.runs):
            profiled.run(None, dict(look.feeds))
        events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    kernels: dict[str, list[Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            kernels.setdefault(event["name"].removesuffix("_kernel_time"), []).append(event)
    return [_profiled(name, runs[-1]["args"], min(run["dur"] for run in runs) / 1e3) for name, runs in kernels.items()]


def _profiled(name: str, args: Mapping[str, Any], ms: float) -> Node:
    """A node of the profile; it computes in the type of its first input (weights and scales follow)."""
    op, provider = args["op_name"], _device(args["provider"])
    if provider in COMPILING:
        return Node(name, op, provider, UNKNOWN, True, ms)
    inputs = [kind for tensor in args.get("input_type_shape", ()) for kind in tensor]
    return _node(name, op, provider, inputs[0] if inputs else UNKNOWN, ms)


def _device(provider: str) -> str:
    return provider.removesuffix(onnxruntime.SUFFIX).lower()


def read_openvino(session: Any, bundle: Bundle, variant: Variant, look: Look) -> list[Node]:
    """Nodes of OpenVINO's compiled model that ran.

    Counters have to be asked for at compiling, so the file is compiled once more, with the session's precision hint.
    """
    core, device = openvino.core(), session.device.upper()
    settings = {"PERF_COUNT": True, "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": openvino.HINTS.get(variant.precision, "f32")}
    if look.threads and device == "CPU":
        settings["INFERENCE_NUM_THREADS"] = look.threads
    compiled = core.compile_model(core.read_model(str(bundle.file(variant))), device, settings)
    devices = compiled.get_property("EXECUTION_DEVICES")
    provider = (devices if isinstance(devices, str) else "+".join(devices)).lower()
    request = compiled.create_infer_request()
    for _ in range(look.runs):
        request.infer(dict(look.feeds))
    return [_node(name, kind, provider, precision, int(time_us) / 1e3)
            for name, kind, precision, time_us in openvino.layers(compiled)
            if time_us.isdigit()]  # else constants, and what only renames a buffer


def read_opencv(session: Any, bundle: Bundle, variant: Variant, look: Look) -> list[Node]:
    """OpenCV's layers that took time: layers with weights tell their precision, others only that they ran."""
    times = []
    for _ in range(look.runs):
        session.run(look.feeds)
        times.append(np.ravel(session.net.getPerfProfile()[1]))
    times_ms = np.min(times, axis=0) / need("cv2").getTickFrequency() * 1e3
    return [_node(name, kind, session.device, precision or UNKNOWN, float(ms))
            for (name, kind, precision), ms in zip(opencv.layers(session.net), times_ms, strict=True) if ms]


def read_ncnn(session: Any, bundle: Bundle, variant: Variant, look: Look) -> list[Node]:
    """ncnn's layers by the numbers that each leaves behind; the steps around ncnn are numpy's and no layers."""
    runs = [list(session.stored(look.feeds)) for _ in range(look.runs)]
    return [_node(name, kind, session.device, NCNN_BITS.get(bits, UNKNOWN), min(run[i][3] for run in runs))
            for i, (name, kind, bits, _) in enumerate(runs[0]) if kind != "Input"]


def read_tensorrt(session: Any, bundle: Bundle, variant: Variant, look: Look) -> list[Node]:
    """An engine's layers as the library's inspector tells them, with the times that its profiler tells."""
    times_ms = session.layer_times_ms(look.feeds, look.runs)
    layers = session.layers or (trt_layers.Layer("the whole engine", "engine", UNKNOWN, True),)
    told = {layer.name for layer in layers}
    return [Node(layer.name, layer.op, session.device, layer.precision, layer.weighted, times_ms.get(layer.name, 0.0))
            for layer in layers] + [_node(name, "", session.device, UNKNOWN, ms)
                                    for name, ms in times_ms.items() if name not in told]


def _node(name: str, op: str, provider: str, kind: str, ms: float) -> Node:
    """A node by the type that it computes in, as the runtime names it."""
    weighted = WEIGHTED.search(op) is not None
    moved = not weighted and DATA.search(op) is not None
    return Node(name, op, provider, MOVED if moved else PRECISIONS.get(kind, kind), weighted, ms)


READERS: dict[str, Callable[[Any, Bundle, Variant, Look], list[Node]]] = {
    "onnxruntime": read_onnxruntime, "openvino": read_openvino, "opencv": read_opencv, "ncnn": read_ncnn,
    "tensorrt-rtx": read_tensorrt, "tensorrt": read_tensorrt}
"""Backend -> what reads its nodes from an opened session."""
