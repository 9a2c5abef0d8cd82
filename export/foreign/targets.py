"""Which targets take a float graph, and for each that does not, the operator that it lacks and the node that has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ...runtime import bundle
from ...runtime.backends import open_session, probe_all
from ...runtime.errors import EpeeError
from ...runtime.manifest import Variant
from ..candidate import Candidate
from ..samples import Sample

MOST = 200
"""Letters of a target's own words."""
LONG = 6
"""Letters of an operator's name that do not stand in a sentence by chance."""


def lacking(folder: Path, candidate: Candidate, variant: Variant, sample: Sample) -> dict[str, str]:
    """Opens a graph on every backend that works here and lets it compute a sample.

    Args:
        folder: the bundle's that is being written, with the variant's file in it; its manifest is written anew.
        candidate: the graph.
        variant: its float32 file.
        sample: to compute.

    Returns:
        Backend -> what it lacks; those that took it are not in it.
    """
    bundle.save(folder, candidate.manifest((variant,), {}), {})
    opened, refused = bundle.Bundle.open(folder), {}
    for found in probe_all():
        if not found.available:
            continue
        try:
            with open_session(opened, found.name, variant.name) as session:
                session.run(dict(sample))
        except EpeeError as error:
            refused[found.name] = sentence(found.name, candidate.model, _own_words(error))
        except Exception as error:  # a runtime's own failure says what it lacks, too
            refused[found.name] = sentence(found.name, candidate.model, f"{type(error).__name__}: {error}")
    return refused


def sentence(target: str, model: Any, words: str) -> str:
    """Names the operator and the node that a target's words are about, as far as they tell."""
    words = " ".join(words.split())
    node = _spoken_of(model, words)
    said = words if len(words) <= MOST else words[:MOST] + "…"
    if node is None:
        return f"target '{target}' does not take the graph ({said})"
    return f"operator '{node.op_type}' of node '{node.name}': target '{target}' lacks it ({said})"


def _spoken_of(model: Any, words: str) -> Any | None:
    """The node whose name is quoted, else the first of the operator with the longest name that the words hold."""
    nodes = list(model.graph.node)
    named = [node for node in nodes if f"'{node.name}'" in words or f'"{node.name}"' in words]
    if named:
        return named[0]
    joined = words.replace("_", "").lower()  # `max_unpooling_layer.cpp` speaks of MaxUnpool
    spoken = [node for node in nodes if re.search(rf"(?<![A-Za-z]){node.op_type}(?![a-z])", words)
              or (len(node.op_type) >= LONG and node.op_type.lower() in joined)]
    return max(spoken, key=lambda node: len(node.op_type), default=None)


def _own_words(error: EpeeError) -> str:
    """What the runtime itself said, uncut; else the error up to what it would have liked better."""
    return str(error.__cause__) if error.__cause__ is not None else str(error).partition(", expected")[0]
