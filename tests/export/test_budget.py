"""A network that is hard for INT8 breaks the budget, and the search brings it back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from epee.export.budget import Budget
from epee.export.exam import Exams, float_exams, labelled_exams, outputs_of
from epee.export.quantize import Quantizer
from epee.export.samples import framed
from epee.export.schemes import SCHEMES
from epee.export.search import FLOAT, search
from epee.runtime.errors import DataError, ExportError

BUDGET = Budget(max_drop=0.1)


@pytest.fixture(scope="module")
def exams(candidate, labelled: Path) -> Exams:
    return labelled_exams(candidate, str(labelled))


def test_halves_share_no_picture(exams: Exams) -> None:
    assert (len(exams.search.samples), len(exams.gate.samples)) == (6, 6)
    assert not any(np.array_equal(a["frame"], b["frame"]) for a in exams.search.samples for b in exams.gate.samples)
    assert exams.labelled
    assert exams.search.miou > 0.99  # the labels are the network's own answers


def test_the_float_graph_loses_nothing(candidate, exams: Exams) -> None:
    assert exams.search.mark(candidate.model).drop == 0
    assert exams.gate.mark(candidate.model).drop == 0


@pytest.mark.parametrize("name", ["int8-u8s8", "int8-s8s8"])
def test_a_plain_network_needs_no_search(candidate, exams: Exams, frames, name: str) -> None:
    found = search(SCHEMES[name], Quantizer(candidate.model, framed(frames)), exams, BUDGET)
    assert found.reason == ""
    assert (found.calibrator, found.left_out) == ("minmax", ())
    assert [step.step for step in found.steps] == ["minmax", "gate: the other half"]
    assert found.mark.drop <= BUDGET.max_drop


@pytest.mark.parametrize("name", ["int8-u8s8", "int8-s8s8"])
def test_a_hard_network_breaks_the_budget_and_the_search_brings_it_back(candidate, hard, exams: Exams, frames,
                                                                        name: str) -> None:
    want, same = (np.stack(outputs_of(c.model, framed(frames))) for c in (candidate, hard))
    assert (want == same).mean() > 0.999  # in float nothing has changed
    said: list[str] = []
    quantizer = Quantizer(hard.model, framed(frames))
    found = search(SCHEMES[name], quantizer, exams, BUDGET, said.append)
    assert found.reason == ""
    assert found.mark.drop <= BUDGET.max_drop
    plain = found.steps[0]
    assert (plain.step, plain.drop > 2 * BUDGET.max_drop) == ("minmax", True)
    assert 0 < len(found.left_out) < len(quantizer.layers_of(SCHEMES[name])) / 2
    assert [line.split(": ")[1] for line in said][:3] == ["minmax", "percentile", "entropy"]
    assert any("layers one by one" in step.step for step in found.steps)


def test_a_search_that_finds_nothing_says_how_near_it_came(hard, exams: Exams, frames) -> None:
    found = search(SCHEMES["int8-s8s8"], Quantizer(hard.model, framed(frames)), exams, Budget(max_drop=0, seconds=1e-6))
    assert found.model is None
    assert found.reason == "no plan within the budget was found in 1e-06 s"
    assert len(found.steps) == 1


def test_a_plan_that_fails_the_gate_is_refused(candidate, exams: Exams, frames) -> None:
    """The gate's half counts, whatever the search's half said."""
    sick = Exams(exams.search, float_exams(candidate, framed(255 - f for f in frames), "x").gate, "x", True)
    quantizer = Quantizer(candidate.model, framed(frames))
    drops = [exam.mark(quantizer.quantize(SCHEMES["int8-s8s8"])).drop for exam in (sick.search, sick.gate)]
    low, high = sorted(drops)
    turned = sick if drops[0] < drops[1] else Exams(sick.gate, sick.search, "x", True)
    found = search(SCHEMES["int8-s8s8"], quantizer, turned, Budget(max_drop=(low + high) / 2))
    assert found.model is None
    assert found.reason.startswith("on the gate's half drop")
    assert found.steps[-1].decision.startswith("refused")


def test_exams_that_cannot_be_held(candidate, labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="got 1, expected at least 2"):
        float_exams(candidate, framed([np.zeros((64, 96, 3), np.uint8)]), "one.png")
    other = tmp_path / "other.yaml"
    other.write_text(f"path: {labelled.parent}\ntrain: images/train\nval: images/val\nnames: [a, b, c, d]\n")
    with pytest.raises(DataError, match="'a' as class 0 of the data"):
        labelled_exams(candidate, str(other))


def test_the_fastest_of_the_plans_that_fit_is_kept(hard, exams: Exams, frames) -> None:
    """Times here are made up: which plan is chosen of them is what is looked at."""
    quantizer, scheme = Quantizer(hard.model, framed(frames)), SCHEMES["int8-u8s8"]
    layers = []

    def clock(models) -> dict[str, float]:
        layers.extend(models)
        return {name: 9.0 if name == FLOAT else 5.0 - i for i, name in enumerate(reversed(models))}

    found = search(scheme, quantizer, exams, BUDGET, clock=clock)
    assert layers[0] == FLOAT
    timed = [step for step in found.steps if step.ms is not None]
    assert [step.step for step in timed] == layers[1:]
    assert all(step.decision.startswith("fits") for step in timed)
    assert found.ms == min(step.ms for step in timed)
    assert found.float_ms == 9.0
