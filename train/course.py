"""Course: what every adversarial training does around its steps, so that each loop shows the steps alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from .metrics import Journal, Progress
from .schedule import Budget, Clock, Interrupt
from .state import PairState
from .watch import Recent, Watch

SAVE_EVERY_S = 120.0


class Averaged(Protocol):
    """What a configuration says of the averaged generator; see `GenerateConfig`."""

    @property
    def batch(self) -> int: ...
    @property
    def ema_images(self) -> float: ...
    @property
    def ema_share(self) -> float: ...


def chance(seed: int, step: int) -> torch.Generator:
    """What a step draws from, by (seed, step) alone."""
    drawn = np.random.default_rng((seed, 1 << 21, step)).integers(1 << 62)
    return torch.Generator().manual_seed(int(drawn))


def ema_decay(config: Averaged, step: int) -> float:
    """Decay of the average for one step: its half-life is a share of what was seen, up to a number of samples."""
    half_life = min(config.ema_images, config.ema_share * step * config.batch)
    return float(0.5 ** (config.batch / max(half_life, 1e-8)))


class Course:
    """A training's way to the end of its budget. A context manager that is iterated over, once a step:

        with Course(...) as course:
            for fraction in course:
                ...                                             # the step, and the averaged generator
                if course.took(values, rate, said) and course.due("grids", 8):
                    ...
            course.end(save)

    The iteration gives the share of the budget that is spent, 0 to 1. It ends at the end of the budget, at Ctrl-C or
    SIGTERM, or where the watch has no roll-backs left.

    Args:
        state: trained; its `elapsed_s` and `step` say where it goes on.
        watch: notices a collapse or a divergence, and goes back.
        rollbacks: how often, before it is given up.
        budget: steps or seconds.
        out: the run's folder, with metrics.jsonl.
        progress: what a person sees.
        clock: of `schedule.CLOCKS`, what the budget's seconds are of.

    Attributes:
        journal: of the run.
        clock: of the training.
        problem: why it was given up, or ''.
    """

    def __init__(self, state: PairState, watch: Watch, rollbacks: int, budget: Budget, out: Path,
                 progress: Progress, clock: str = "wall") -> None:
        self._state, self._watch, self._rollbacks, self._budget = state, watch, rollbacks, budget
        self._out, self._progress, self._recent, self._kind = out, progress, Recent(), clock
        self._opened = ExitStack()
        self.problem = ""

    def __enter__(self) -> Course:
        state = self._state
        self.journal = self._opened.enter_context(Journal(self._out, state.step))
        self._interrupt = self._opened.enter_context(Interrupt())
        self.clock = Clock(state.elapsed_s, self._kind)
        self._first_step, self._first = state.step, self._budget.fraction(state.step, state.elapsed_s)
        self._fraction, self._done, self._saved_s = self._first, dict[str, int](), self.clock.elapsed_s
        self._here_s = 0.0
        return self

    def __exit__(self, *exc: Any) -> None:
        self._opened.__exit__(*exc)

    def __iter__(self) -> Iterator[float]:
        while not self.problem and not self._interrupt.asked:
            self._fraction = self._budget.fraction(self._state.step, self.clock.elapsed_s)
            if self._fraction >= 1.0:
                return
            yield self._fraction

    def took(self, values: dict[str, float], rate: float, said: str = "") -> bool:
        """Looks at a step that was taken and tells of it; False where it was ill, and the weights are older ones now.

        Args:
            values: what the step measured.
            rate: its learning rate.
            said: more for the progress line.
        """
        state, watch = self._state, self._watch
        state.elapsed_s = self.clock.elapsed_s
        ill = watch.step(state, values)
        if ill is not None and state.rollbacks == self._rollbacks:
            self.problem = f"{ill}; the weights kept are those of step {watch.good_step}"
            return False
        if ill is not None:
            told = watch.recover(state, ill)
            self.journal.event(state.step, state.elapsed_s, told)
            self._progress.note(told)
            return False
        self._recent.add(values)
        self.journal.write(state.step, state.elapsed_s, {**values, "learning_rate": rate})
        spent = self._budget.fraction(state.step, state.elapsed_s)
        left_s = self._budget.left_s(spent, spent - self._first, self.clock.here_s)
        self._progress.show(spent, left_s, f"step {state.step}  {said}  {self.steps_per_s:.1f} steps/s")
        return True

    def due(self, what: str, times: int) -> bool:
        """Whether something that is done so many times in a budget is to be done now; the end is not among them."""
        now = int(self._fraction * times)
        before, self._done[what] = self._done.get(what, int(self._first * times)), now
        return now > before

    def save_due(self) -> bool:
        """Whether the state is to be saved now: every SAVE_EVERY_S, while the watch suspects nothing."""
        if self.clock.elapsed_s - self._saved_s <= SAVE_EVERY_S or self._watch.suspects:
            return False
        self._saved_s = self.clock.elapsed_s
        return True

    def end(self, save: Callable[[], None], go_on: str) -> None:
        """Stops the clock, puts good weights back where it was given up, and saves.

        Args:
            save: writes the state.
            go_on: the command that goes on, for a person who stopped it.

        Raises:
            KeyboardInterrupt: it was asked to stop before its end.
        """
        state = self._state
        self._here_s, state.elapsed_s = self.clock.here_s, self.clock.elapsed_s
        if self.problem:
            self._watch.go_back(state)
            self.journal.event(state.step, state.elapsed_s, f"given up: {self.problem}")
        save()
        if self._interrupt.asked:
            self._progress.note(f"stopped at step {state.step}; go on with: {go_on}")
            raise KeyboardInterrupt

    @property
    def steps_per_s(self) -> float:
        """Steps of this process over its seconds."""
        return (self._state.step - self._first_step) / max(self._here_s or self.clock.here_s, 1e-9)

    def facts(self) -> dict[str, Any]:
        """`healthy`, `problem`, `rollbacks`, the last means of what a step measures, `steps`, `minutes`."""
        state = self._state
        return {"healthy": not self.problem, "problem": self.problem, "rollbacks": state.rollbacks,
                **self._recent.means(), "steps": state.step, "minutes": round(state.elapsed_s / 60, 2)}
