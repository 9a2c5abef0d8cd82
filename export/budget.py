"""The budget: which INT8 plan loses little enough, found step by step, and every step written down.

Plain minimum and maximum first, then the other calibrators, then, layer by layer, those that hurt most stay float.
Plans are compared on one half of the pictures; the other half is the gate, which the chosen plan meets once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..runtime.scores import equal_share
from .exam import Exams, masks_of
from .quantize import CALIBRATORS, Quantizer, Scheme

PROBES = 4
"""Frames on which each layer's harm is measured."""


@dataclass(frozen=True)
class Budget:
    """What a smaller graph may cost.

    Attributes:
        max_drop: of mIoU, 0 to 1.
        seconds: for the search of one scheme.
        frames: to calibrate on, at most.
    """

    max_drop: float = 0.005
    seconds: float = 60.0
    frames: int = 128


@dataclass(frozen=True)
class Step:
    """A line of the search.

    Attributes:
        step: what was tried.
        drop: of mIoU, or None where it was not measured.
        ms: a frame on this CPU, or None where it was not timed.
        decision: what follows.
    """

    step: str
    drop: float | None
    ms: float | None
    decision: str


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        model: the INT8 graph, or None where no plan fits.
        calibrator: which one the plan uses.
        left_out: layers that stay float.
        drop: on the gate's half, or on the search's where no plan came that far.
        steps: all that was tried.
        reason: why there is no graph.
    """

    model: Any | None
    calibrator: str
    left_out: tuple[str, ...]
    drop: float
    steps: tuple[Step, ...]
    reason: str = ""

    def plan(self) -> dict[str, Any]:
        """What the manifest says of the plan."""
        return {"calibrator": self.calibrator, "left_float": list(self.left_out), "drop": self.drop}


def search(scheme: Scheme, quantizer: Quantizer, exams: Exams, budget: Budget,
           say: Callable[[str], None] = lambda line: None) -> Outcome:
    """Looks for the fastest plan within the budget, and lets it meet the gate.

    Args:
        scheme: of `quantize.SCHEMES`.
        quantizer: holds the float graph and the calibration frames.
        exams: to search and to gate on.
        budget: what may be lost.
        say: is told each step.
    """
    hunt = _Hunt(scheme, quantizer, exams, budget, say)
    try:
        plan = hunt.calibrators() or hunt.leave_out()
    except _OutOfTimeError:
        plan, hunt.reason = None, f"no plan within the budget was found in {budget.seconds:g} s"
    if plan is None:
        drop, calibrator = min((tried.drop, tried.calibrator) for tried in hunt.tried)
        reason = hunt.reason or f"every plan loses more than {budget.max_drop:g} mIoU, the best {drop:.4f}"
        return Outcome(None, calibrator, (), drop, tuple(hunt.steps), reason)
    drop = exams.gate.drop(plan.model)
    passed = drop <= budget.max_drop
    hunt.note("gate: the other half", drop, "passed" if passed else f"refused: more than {budget.max_drop:g}")
    reason = "" if passed else f"it loses {drop:.4f} mIoU on the gate's half, allowed {budget.max_drop:g}"
    return Outcome(plan.model if passed else None, plan.calibrator, plan.left_out, drop, tuple(hunt.steps), reason)


class _OutOfTimeError(Exception):
    """The budget's seconds are over."""


@dataclass(frozen=True)
class _Plan:
    calibrator: str
    left_out: tuple[str, ...]
    model: Any
    drop: float


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
    reason: str = ""
    started_s: float = field(default_factory=time.monotonic)

    def calibrators(self) -> _Plan | None:
        """Tries each with all layers in INT8; gives the first that fits."""
        for calibrator in CALIBRATORS:
            plan = self.attempt(calibrator, (), calibrator)
            if plan.drop <= self.budget.max_drop:
                return plan
        return None

    def leave_out(self) -> _Plan | None:
        """Leaves out the layers that hurt most, as few as fit: doubles their number, then halves the step."""
        calibrator = min(self.tried, key=lambda plan: plan.drop).calibrator
        order = self.by_harm(calibrator)
        few, many, found = 0, 1, None
        while found is None and many < len(order):
            found = self.without(order[:many], calibrator)
            few, many = (few, many) if found else (many, 2 * many)
        while found is not None and many - few > 1:
            middle = (few + many) // 2
            plan = self.without(order[:middle], calibrator)
            found, few, many = (plan, few, middle) if plan else (found, middle, many)
        return found

    def without(self, layers: Sequence[str], calibrator: str) -> _Plan | None:
        """The plan without some layers, where it fits; plain ranges may be best again once the worst are out."""
        for name in dict.fromkeys((calibrator, "minmax")):
            plan = self.attempt(name, tuple(layers), f"{name} without {len(layers)} layers")
            if plan.drop <= self.budget.max_drop:
                return plan
        return None

    def by_harm(self, calibrator: str) -> list[str]:
        """Layers, worst first: share of pixels that change where this layer alone is in INT8."""
        frames = list(self.exams.search.frames[:PROBES])
        want = masks_of(self.quantizer.model, frames)
        harm = {}
        for layer in self.quantizer.layers_of(self.scheme):
            self.check_time()
            alone = self.quantizer.quantize(self.scheme, calibrator, only=[layer])
            pairs = zip(masks_of(alone, frames), want, strict=True)
            harm[layer] = 1 - float(np.mean([equal_share(a, b) for a, b in pairs]))
        order = sorted(harm, key=lambda layer: -harm[layer])
        worst = ", ".join(f"{layer} {harm[layer]:.4f}" for layer in order[:3])
        self.note(f"{len(order)} layers one by one", None, f"most pixels changed by {worst}")
        return order

    def attempt(self, calibrator: str, left_out: tuple[str, ...], what: str) -> _Plan:
        """Makes a plan's graph and measures it on the search's half."""
        if self.tried:  # the first is always measured
            self.check_time()
        model = self.quantizer.quantize(self.scheme, calibrator, left_out)
        plan = _Plan(calibrator, left_out, model, self.exams.search.drop(model))
        self.tried.append(plan)
        fits = plan.drop <= self.budget.max_drop
        self.note(what, plan.drop, "fits" if fits else f"more than {self.budget.max_drop:g}")
        return plan

    def note(self, step: str, drop: float | None, decision: str) -> None:
        """Writes a line of the table."""
        self.steps.append(Step(step, None if drop is None else round(drop, 5), None, decision))
        self.say(f"{self.scheme.name}: {step}" + ("" if drop is None else f": drop {drop:.4f}") + f", {decision}")

    def check_time(self) -> None:
        """Raises _OutOfTimeError once the seconds are over."""
        if time.monotonic() - self.started_s > self.budget.seconds:
            raise _OutOfTimeError


def table(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The search as JSON."""
    return [asdict(step) for step in steps]
