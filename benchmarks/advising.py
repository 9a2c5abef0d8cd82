"""What a profile says to change: a sentence for each thing that stands out, with its share of the time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..runtime.placement import Node
from .rows import Row

MUCH, ONE, MOST, OUTSIDE = 0.12, 0.2, 0.85, 0.25
"""Shares of the time from which on a kind of work, a single node, the layers with weights, or what lies around the
nodes is worth a sentence."""


def advice(row: Row, nodes: Sequence[Node], kinds: Mapping[str, float], call_ms: float | None) -> Iterator[str]:
    """Gives the sentences, what weighs most first among equals of a kind.

    Args:
        row: whose profile it is.
        nodes: that ran.
        kinds: share of each kind of work, see `profile.KINDS`.
        call_ms: a whole call, not profiled; None where unknown.
    """
    total_ms = sum(node.ms for node in nodes)
    if not total_ms:
        yield "The runtime tells no times here."
        return
    yield from _elsewhere(row, nodes, total_ms)
    yield from _otherwise(row, nodes, total_ms)
    if kinds.get("changes of type", 0.0) > MUCH:
        yield (f"{kinds['changes of type']:.0%} go into changes of type, around layers that were left in float between "
               "quantised ones: export with a larger --max-drop, or take a float variant.")
    tail = kinds.get("resizing", 0.0) + kinds.get("argmax", 0.0)
    if tail > MUCH:
        yield (f"{tail:.0%} go into resizing and argmax, from logits to the mask: `python -m "
               "epee.benchmarks.studies.tails` shows what a smaller tail saves and costs.")
    if kinds.get("moving data", 0.0) > MUCH:
        yield f"{kinds['moving data']:.0%} only move data: another backend may lay it out with less."
    top = max(nodes, key=lambda n: n.ms)
    if top.ms / total_ms > ONE and len(nodes) > 3:
        yield f"One node takes {top.ms / total_ms:.0%}: {top.name} ({top.op}); look at it first."
    if kinds.get("layers with weights", 0.0) > MOST:
        yield (f"{kinds['layers with weights']:.0%} go into layers with weights: only a narrower precision, fewer "
               "channels or a smaller picture will change much.")
    if call_ms and call_ms > total_ms and (call_ms - total_ms) / call_ms > OUTSIDE:
        yield (f"A call takes {call_ms:.2f} ms, its nodes {total_ms:.2f}: the rest is entering the runtime, waking "
               "threads and copying; fewer threads or larger batches help there.")


def _elsewhere(row: Row, nodes: Sequence[Node], total_ms: float) -> Iterator[str]:
    """Nodes that ran on another device than was asked for."""
    away = [n for n in nodes if row.device and row.device != "auto" and not n.provider.startswith(row.device)]
    if away:
        share = sum(n.ms for n in away) / total_ms
        yield (f"{len(away)} nodes ({share:.0%} of the time) ran on {away[0].provider}, not {row.device}, which has no "
               f"kernel for them: {', '.join(dict.fromkeys(n.op for n in away))}. Every change of device copies.")


def _otherwise(row: Row, nodes: Sequence[Node], total_ms: float) -> Iterator[str]:
    """Layers that compute in another precision than the variant's."""
    others = [n for n in nodes if n.weighted and n.precision not in (row.precision, "unknown", "moved")]
    if others:
        share = sum(n.ms for n in others) / total_ms
        kinds = ", ".join(sorted({n.precision for n in others}))
        yield (f"{len(others)} layers ({share:.0%} of the time) compute in {kinds}, not {row.precision}: "
               f"`epee inspect --backend {row.where} --precision {row.variant}` names them.")
