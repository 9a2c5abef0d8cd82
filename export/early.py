"""Bytes early: a picture's values become bytes before they are moved to their places, not after.

A trained network's tail clips values to 0 to 255, moves them (pixels spread out, channels last), rounds them and casts
them to bytes, in some order with the cast at the end, because TensorRT knows bytes only there. On a CPU that is four
or five passes over a large float picture, which take as long as a small INT8 network does. One QuantizeLinear of scale
1 clips, rounds and casts at once, to the same values, and moves then carry a quarter of the data.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np

from ..runtime.errors import need

MOVES = ("DepthToSpace", "Transpose", "Reshape", "Squeeze", "Unsqueeze")
"""Operators that take values somewhere else and leave them as they are."""
TAILS = (["Cast", "Round", "Clip"], ["Cast", "Clip", "Round"], ["Cast", "Round"])
"""What else a tail does, from its end. Without a clip values keep within bytes by themselves (a tanh): a cast of what
does not is undefined."""
LARGEST = 255.0


def early_bytes(model: Any) -> bool:
    """Rewrites the tails of a graph's byte outputs in place; gives whether there was one to rewrite.

    Args:
        model: `onnx.ModelProto`, weights inside.
    """
    found = [_rewritten(model, output.name) for output in model.graph.output]
    return any(found)


def _rewritten(model: Any, output: str) -> bool:
    onnx = need("onnx")
    made_by = {name: node for node in model.graph.node for name in node.output}
    readers = Counter([name for node in model.graph.node for name in node.input] + [o.name for o in model.graph.output])
    chain, at = [], output
    while (node := made_by.get(at)) is not None and _belongs(model, node) and readers[at] == 1:
        chain.append(node)
        at = node.input[0]
    kinds = [node.op_type for node in chain]
    if [kind for kind in kinds if kind not in MOVES] not in TAILS or kinds[0] != "Cast":
        return False
    scale, zero = f"{output}_scale", f"{output}_zero"
    model.graph.initializer.extend([onnx.numpy_helper.from_array(np.array(1.0, np.float32), scale),
                                    onnx.numpy_helper.from_array(np.array(0, np.uint8), zero)])
    moves = [node for node in reversed(chain) if node.op_type in MOVES]
    names = [*(f"{output}_bytes_{i}" for i in range(len(moves))), output]
    early = [onnx.helper.make_node("QuantizeLinear", [at, scale, zero], names[:1], name=f"{output}_bytes")]
    for node, (before, after) in zip(moves, pairwise(names), strict=True):
        early.append(type(node).FromString(node.SerializeToString()))
        early[-1].input[0], early[-1].output[0] = before, after
    gone = {name for node in chain for name in node.output}
    nodes, shapes = list(model.graph.node), [info for info in model.graph.value_info if info.name not in gone]
    first = next(i for i, node in enumerate(nodes) if gone.intersection(node.output))
    later = [node for node in nodes[first:] if not gone.intersection(node.output)]
    for field, values in ((model.graph.node, [*nodes[:first], *early, *later]), (model.graph.value_info, shapes)):
        kept = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(kept)
    return True


def _belongs(model: Any, node: Any) -> bool:
    """Whether a node moves values, or is the rounding, the cast to bytes, or the clip to 0 to 255."""
    onnx = need("onnx")
    if node.op_type == "Cast":
        return any(a.name == "to" and a.i == onnx.TensorProto.UINT8 for a in node.attribute)
    if node.op_type == "Clip":
        weights = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
        ends = [weights.get(name) for name in node.input[1:]]
        return len(ends) == 2 and all(end is not None and float(end) == wanted
                                      for end, wanted in zip(ends, (0.0, LARGEST), strict=True))
    return node.op_type in ("Round", *MOVES)
