"""The search for an INT8 plan within the budget, step by step, and every step written down.

Plain minimum and maximum first, then the other calibrators, then, layer by layer, those that hurt most stay float.
Plans are compared on one half of the pictures. Those that fit are timed where their target is here, and the fastest
meets the gate, the other half, once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .budget import Budget, Outcome, Step
from .exam import Exams, Mark, outputs_of
from .quantize import Quantizer
from .schemes import Scheme

PROBES = 4
"""Samples on which each layer's harm is measured."""
FLOAT = "float"
"""The float graph's name to the clock."""
Clock = Callable[[Mapping[str, Any]], Mapping[str, float]]
"""Graphs by name to milliseconds a frame; they take turns."""


def search(scheme: Scheme, quantizer: Quantizer, exams: Exams, budget: Budget,
           say: Callable[[str], None] = lambda line: None, clock: Clock | None = None) -> Outcome:
    """Looks for the fastest plan within the budget, and lets it meet the gate.

    Args:
        scheme: of SCHEMES.
        quantizer: holds the float graph and the calibration frames.
        exams: to search and to gate on.
        budget: what may be lost.
        say: is told each step.
        clock: times graphs; None where the scheme's target is not here, which keeps the plan with most layers in INT8.
    """
    hunt = _Hunt(scheme, quantizer, exams, budget, say)
    try:
        if not hunt.calibrators():
            hunt.leave_out()
        reason = "no plan is within the budget, the best has " + hunt.nearest().mark.line()
    except _OutOfTimeError:
        reason = f"no plan within the budget was found in {budget.seconds:g} s"
    if not hunt.fitting:
        best = hunt.nearest()
        return Outcome(None, best.calibrator, (), best.mark, tuple(hunt.steps), reason)
    ms = hunt.times(clock) if clock else {}
    plan = min(hunt.fitting, key=lambda p: (ms.get(p.what, 0.0), len(p.left_out)))
    mark = exams.gate.mark(plan.model)
    refusal = budget.refuses(mark)
    hunt.note("gate: the other half", mark, f"refused: {refusal}" if refusal else "passed")
    reason = f"on the gate's half {mark.line()}: {refusal}" if refusal else ""
    return Outcome(None if refusal else plan.model, plan.calibrator, plan.left_out, mark, tuple(hunt.steps), reason,
                   ms.get(plan.what), ms.get(FLOAT))


class _OutOfTimeError(Exception):
    """The budget's seconds are over."""


@dataclass(frozen=True)
class _Plan:
    what: str
    calibrator: str
    left_out: tuple[str, ...]
    model: Any
    mark: Mark


@dataclass
class _Hunt:
    """A search under way."""

    scheme: Scheme
    quantizer: Quantizer
    exams: Exams
    budget: Budget
    say: Callable[[str], None]
    steps: list[Step] = field(default_factory=list)
    tried: list[_Plan] = field(default_factory=list)
    fitting: list[_Plan] = field(default_factory=list)
    started_s: float = field(default_factory=time.monotonic)

    def calibrators(self) -> bool:
        """Tries each with all layers in INT8, up to the first that fits; says whether one does."""
        return any(self.attempt(calibrator, (), calibrator) for calibrator in self.quantizer.calibrators)

    def leave_out(self) -> None:
        """Leaves out the layers that hurt most, as few as fit: doubles their number, then halves the step."""
        calibrator = self.nearest().calibrator
        order = self.by_harm()
        few, many, found = 0, 1, False
        while not found and many < len(order):
            found = self.without(order[:many], calibrator)
            few, many = (few, many) if found else (many, 2 * many)
        while found and many - few > 1:
            middle = (few + many) // 2
            few, many = (few, middle) if self.without(order[:middle], calibrator) else (middle, many)

    def nearest(self) -> _Plan:
        """The plan that is nearest to the budget."""
        return min(self.tried, key=lambda plan: self.budget.excess(plan.mark))

    def without(self, layers: Sequence[str], calibrator: str) -> bool:
        """Tries it without some layers; plain ranges may be best again once the worst are out."""
        count = f"{len(layers)} layer{'s' if len(layers) > 1 else ''}"
        return any(self.attempt(name, tuple(layers), f"{name} without {count}")
                   for name in dict.fromkeys((calibrator, self.quantizer.calibrators[0])))

    def by_harm(self) -> list[str]:
        """Layers, worst first: how far the output is apart where this layer alone is in INT8, see `Exam.apart`."""
        exam, probes = self.exams.search, list(self.exams.search.samples[:PROBES])
        want = outputs_of(self.quantizer.model, probes)
        harm = {}
        for layer in self.quantizer.layers_of(self.scheme):
            self.check_time()
            pairs = zip(outputs_of(self.quantizer.alone(self.scheme, layer), probes), want, strict=True)
            harm[layer] = float(np.mean([exam.apart(a, b) for a, b in pairs]))
        order = sorted(harm, key=lambda layer: -harm[layer])
        worst = ", ".join(f"{layer} {harm[layer]:.4f}" for layer in order[:3])
        self.note(f"{len(order)} layers one by one", None, f"the output is moved most by {worst}")
        return order

    def attempt(self, calibrator: str, left_out: tuple[str, ...], what: str) -> bool:
        """Makes a plan's graph and measures it on the search's half; says whether it fits."""
        if self.tried:  # the first is always measured
            self.check_time()
        model = self.quantizer.quantize(self.scheme, calibrator, left_out)
        plan = _Plan(what, calibrator, left_out, model, self.exams.search.mark(model))
        refusal = self.budget.refuses(plan.mark)
        self.tried.append(plan)
        self.fitting += [] if refusal else [plan]
        self.note(what, plan.mark, refusal or "fits")
        return not refusal

    def times(self, clock: Clock) -> dict[str, float]:
        """Times the float graph and what fits, and writes it into the table; the fastest is kept."""
        self.say(f"{self.scheme.name}: time of {len(self.fitting)} that fit" + "s" * (len(self.fitting) == 1))
        ms = dict(clock({FLOAT: self.quantizer.model, **{plan.what: plan.model for plan in self.fitting}}))
        best = min(self.fitting, key=lambda plan: ms[plan.what]).what
        for i, step in enumerate(self.steps):
            if step.step in ms:
                decision = step.decision + (", the fastest" if len(self.fitting) > 1 and step.step == best else "")
                self.steps[i] = replace(step, ms=round(ms[step.step], 3), decision=decision)
        return ms

    def note(self, step: str, mark: Mark | None, decision: str) -> None:
        """Writes a line of the table."""
        self.steps.append(Step(step, None if mark is None else round(mark.drop, 5), None, decision))
        self.say(f"{self.scheme.name}: {step}" + ("" if mark is None else f": drop {mark.drop:.4f}") + f", {decision}")

    def check_time(self) -> None:
        """Raises _OutOfTimeError once the seconds are over."""
        if time.monotonic() - self.started_s > self.budget.seconds:
            raise _OutOfTimeError
