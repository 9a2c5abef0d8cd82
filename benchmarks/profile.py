"""`epee bench --profile`: where a row's time goes, by kind of work, operator and node, and what that says to change.

The runtimes' own profilers are read, in a process a row: ONNX Runtime's, OpenVINO's counters, OpenCV's and ncnn's
layers, TensorRT's layer profiler. Profiling costs time itself, so that shares mean more than milliseconds here; the
row's own latency is measured without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..runtime.bundle import Bundle
from ..runtime.errors import EpeeError
from ..runtime.placement import Node, placement
from . import advising, children
from .rows import Row, Settings

RUNS, SLOWEST = 30, 8
LAYERS, TYPES, MOVES, RESIZES, CHOOSES, POOLS, OTHER = (
    "layers with weights", "changes of type", "moving data", "resizing", "argmax", "pooling", "element by element")
KINDS: dict[str, re.Pattern[str]] = {
    TYPES: re.compile(r"cast|quantize|convert|fakequant", re.IGNORECASE),
    RESIZES: re.compile(r"resize|interp|upsampl", re.IGNORECASE),
    CHOOSES: re.compile(r"argmax|topk|arg_max", re.IGNORECASE),
    POOLS: re.compile(r"pool", re.IGNORECASE),
    MOVES: re.compile(r"reorder|layout|transpose|permute|reshape|squeeze|flatten|concat|slice|split|pad|expand|gather"
                      r"|identity|copy|shuffle|subgraph|blob|crop", re.IGNORECASE),
}
"""Kind of work -> types of nodes, whatever the runtime calls them; the first that fits. What computes with weights is
`layers with weights`, what fits none is `element by element`."""


@dataclass(frozen=True)
class Part:
    """Nodes taken together.

    Attributes:
        name: kind of work, or operator.
        provider, precision: of all of them, or several with commas.
        nodes: how many.
        ms: of one run.
        share: of all nodes' time, 0 to 1.
    """

    name: str
    provider: str
    precision: str
    nodes: int
    ms: float
    share: float


@dataclass(frozen=True)
class Profile:
    """Where one row's time goes.

    Attributes:
        row: its name.
        ms: of all nodes, while profiled.
        call_ms: of a whole call, not profiled; None where it was not measured.
        kinds, operators: the longest first.
        slowest: single nodes, the longest first.
        advice: what to change, in sentences; empty where nothing stands out.
        error: why there is no profile, or ''.
    """

    row: str
    ms: float = 0.0
    call_ms: float | None = None
    kinds: tuple[Part, ...] = ()
    operators: tuple[Part, ...] = ()
    slowest: tuple[Part, ...] = ()
    advice: tuple[str, ...] = field(default=())
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def profile_all(bundle: Bundle, rows: Sequence[Row], settings: Settings, progress: Callable[[str], None]) -> list[
        Profile]:
    """Profiles the bundle's right rows of the smallest batch, each in a process of its own."""
    least = min((row.batch for row in rows), default=1)
    found = []
    for row in rows:
        if row.good and not row.label and row.batch == least:
            progress(f"profile: {row.name}")
            found.append(profile(bundle, row, settings))
    return found


def profile(bundle: Bundle, row: Row, settings: Settings) -> Profile:
    """One row's profile; a failure is in its `error`."""
    job = {"kind": "profiled", "bundle": str(bundle.path.resolve()), "backend": row.where, "variant": row.variant,
           "threads": row.threads}
    try:
        nodes = [Node(**node) for node in children.work(job, settings.timeout_s)["nodes"]]
    except EpeeError as error:
        return Profile(row.name, error=str(error))
    return of_nodes(row, nodes)


def profiled(job: dict[str, Any]) -> dict[str, Any]:
    """The worker's part: `nodes` as the runtime tells them."""
    found = placement(Bundle.open(job["bundle"]), job["backend"], job["variant"], threads=job["threads"], runs=RUNS)
    return {"nodes": [asdict(node) for node in found.nodes]}


def of_nodes(row: Row, nodes: Sequence[Node]) -> Profile:
    """Takes nodes together.

    Args:
        row: whose nodes they are.
        nodes: as `placement` reads them.
    """
    call_ms = row.headline.ms if row.headline else None
    kinds = _grouped(nodes, kind_of)
    slowest = sorted(nodes, key=lambda n: -n.ms)[:SLOWEST]
    total_ms = sum(node.ms for node in nodes)
    return Profile(row.name, total_ms, call_ms, kinds, _grouped(nodes, lambda n: n.op or n.name),
                   tuple(_part(f"{n.name} ({n.op})", [n], total_ms) for n in slowest),
                   tuple(advising.advice(row, nodes, {part.name: part.share for part in kinds}, call_ms)))


def kind_of(node: Node) -> str:
    """Which kind of work a node does."""
    if node.weighted:
        return LAYERS
    return next((kind for kind, types in KINDS.items() if types.search(node.op)), OTHER)


def render(profiles: Sequence[Profile]) -> str:
    """What a person reads: kinds of work as shares of each row, the slowest nodes, and what to change."""
    lines = []
    for found in profiles:
        if found.error:
            lines.append(f"profile of {found.row}: {found.error}")
            continue
        lines.append(f"profile of {found.row}: {sum(p.nodes for p in found.kinds)} nodes, {found.ms:.2f} ms")
        lines += [f"  {p.share:6.1%} {p.ms:8.2f} ms  {p.nodes:4d} nodes  {p.name}  ({p.provider}, {p.precision})"
                  for p in found.kinds if p.share >= 0.005]
        lines.append("  slowest: " + "; ".join(f"{p.name} {p.share:.1%}" for p in found.slowest[:3]))
        lines += [f"  -> {line}" for line in found.advice]
    return "\n".join(lines)


def _grouped(nodes: Sequence[Node], name_of: Callable[[Node], str]) -> tuple[Part, ...]:
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        groups.setdefault(name_of(node), []).append(node)
    total_ms = sum(node.ms for node in nodes)
    parts = [_part(name, group, total_ms) for name, group in groups.items()]
    return tuple(sorted(parts, key=lambda part: -part.ms))


def _part(name: str, group: Sequence[Node], total_ms: float) -> Part:
    ms = sum(node.ms for node in group)
    providers, precisions = ({getattr(node, field) for node in group} for field in ("provider", "precision"))
    return Part(name, ", ".join(sorted(providers)), ", ".join(sorted(precisions)), len(group), ms,
                ms / total_ms if total_ms else 0.0)
