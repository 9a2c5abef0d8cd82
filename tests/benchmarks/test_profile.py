"""Profiles: nodes taken together by what they do, what that says to change, and a real run's."""

from pathlib import Path

import pytest
from epee.benchmarks.profile import CHOOSES, LAYERS, MOVES, OTHER, RESIZES, TYPES, kind_of, of_nodes, profile, render
from epee.benchmarks.rows import Row, Settings
from epee.runtime.backends import trt_times
from epee.runtime.bundle import Bundle
from epee.runtime.placement import Node


def node(op: str, ms: float = 1.0, provider: str = "cpu", precision: str = "fp32", weighted: bool = False) -> Node:
    return Node(f"/{op}", op, provider, precision, weighted, ms)


@pytest.mark.parametrize(("op", "kind"), [
    ("QuantizeLinear", TYPES), ("Cast", TYPES), ("Convert", TYPES), ("Resize", RESIZES), ("Interpolate", RESIZES),
    ("ArgMax", CHOOSES), ("TopK", CHOOSES), ("Reorder", MOVES), ("Transpose", MOVES), ("ReorderInput", MOVES),
    ("Relu", OTHER), ("Add", OTHER)])
def test_kinds_of_work(op: str, kind: str) -> None:
    assert kind_of(node(op)) == kind
    assert kind_of(node("QLinearConv", weighted=True)) == LAYERS


def test_what_stands_out_is_said() -> None:
    row = Row("onnxruntime", "cuda", "int8", "int8", 1)
    nodes = [node("Conv", 4, "cuda", "fp32", True), node("Conv", 1, "cuda", "int8", True), node("Resize", 3, "cpu"),
             node("Cast", 2, "cuda")]
    found = of_nodes(row, nodes)
    assert found.ms == 10
    assert [(p.name, p.nodes, p.share) for p in found.kinds[:2]] == [(LAYERS, 2, 0.5), (RESIZES, 1, 0.3)]
    assert found.operators[0].precision == "fp32, int8"
    said = " ".join(found.advice)
    assert "1 nodes (30% of the time) ran on cpu, not cuda, which has no kernel for them: Resize" in said
    assert "1 layers (40% of the time) compute in fp32, not int8" in said
    assert "20% go into changes of type" in said
    assert "30% go into resizing and argmax" in said
    assert "One node takes 40%: /Conv (Conv)" in said
    assert of_nodes(row, [node("engine", 0.0)]).advice == ("The runtime tells no times here.",)


def test_a_real_run_is_read_in_a_process_of_its_own(tiny_bundle: Path) -> None:
    pytest.importorskip("onnxruntime")
    found = profile(Bundle.open(tiny_bundle), Row("onnxruntime", "cpu", "fp32", "fp32", 1, 1), Settings(rounds=1))
    assert found.error == ""
    assert {RESIZES, CHOOSES, LAYERS} <= {part.name for part in found.kinds}
    assert "ArgMax" in {part.name for part in found.operators}
    assert sum(part.share for part in found.kinds) == pytest.approx(1)
    assert {part.provider for part in found.operators} == {"cpu"}
    assert "nodes" in render([found])


def test_a_row_that_cannot_be_profiled_says_why(tiny_bundle: Path) -> None:
    found = profile(Bundle.open(tiny_bundle), Row("onnxruntime", "nowhere", "fp32", "fp32", 1, 1), Settings(rounds=1))
    assert "nowhere" in found.error
    assert found.error in render([found])


def test_of_an_engines_layers_the_fastest_run_counts() -> None:
    assert trt_times.fastest([("a", 2.0), ("b", 1.0), ("a", 1.5), ("b", 3.0)]) == {"a": 1.5, "b": 1.0}
