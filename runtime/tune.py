"""`epee tune`: which backend and variant answer right and fastest here, remembered for `auto`.

The choice lies in the user's cache folder, by bundle, machine and library versions: after an upgrade, or on another
machine that shares the folder, it is not found, and `auto` decides anew (see `autotune`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from . import engines, machine
from .backends import candidates, onnxruntime, parse_backend, probe_all, trt_choice
from .bundle import Bundle
from .choice import Choice, remember
from .stopwatch import Timing, time_variants
from .variants import saturates

Say = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How long to time.

    Attributes:
        seconds, rounds: of calls a variant in a round, and how many rounds.
        timeout_s: for all variants of a backend together.
        total_s: no further backend is begun after so long.
    """

    seconds: float
    rounds: int
    timeout_s: float
    total_s: float = math.inf


THOROUGH, QUICK = Effort(0.2, 3, 120.0), Effort(0.08, 1, 20.0, 6.0)


@dataclass(frozen=True)
class Tuned:
    """What `tune` found.

    Attributes:
        timings: one a backend and variant.
        choice: the fastest that answers right, or None.
        file: where the choice is remembered, or None where it is not.
    """

    timings: tuple[Timing, ...]
    choice: Choice | None
    file: Path | None

    def to_json(self) -> dict[str, Any]:
        """The object that `epee tune --json` prints."""
        return {"choice": None if self.choice is None else asdict(self.choice),
                "candidates": [{**asdict(t), "verdict": self.verdict(t)} for t in self.timings],
                "file": None if self.file is None else str(self.file)}

    def verdict(self, timing: Timing) -> str:
        """`chosen`, `slower`, or what is wrong."""
        if timing.wrong:
            return timing.wrong
        chosen = self.choice and (timing.variant, _where(timing)) == (self.choice.variant, self.choice.backend)
        return "chosen" if chosen else "slower"


def tune(bundle: Bundle, backends: Sequence[str] = (), *, threads: int = 0, engine: str = "",
         effort: Effort = THOROUGH, say: Say = lambda line: None) -> Tuned:
    """Checks goldens and times every variant on every backend that takes it, and remembers the fastest right one.

    Args:
        bundle: what to tune.
        backends: `NAME[:DEVICE]` each; none means all that are available, on all their devices. A choice among some
            is not remembered.
        threads: compute threads; 0 leaves it to the backends. A choice with other than 0 is not remembered.
        engine: `tensorrt` or `tensorrt-rtx`: builds engines for the GPU at hand first. Without it only engines that
            are there already are timed, because a build may take minutes.
        effort: how long to time.
        say: is told each backend.

    Raises:
        BackendError: no such backend, or no engine can be built here.
    """
    refused = engines.build_here(bundle, engine, say) if engine else {}
    timings = [Timing(engine, "", name, wrong=reason) for name, reason in refused.items()]
    end_s = time.monotonic() + effort.total_s
    for backend, names in field(bundle, backends).items():
        if time.monotonic() > end_s:
            say(f"{backend} is left out: {effort.total_s:g} s are over")
            continue
        names = [name for name in names if backend != engine or name not in refused]
        say(f"{backend}: {len(names)} variant{'s' * (len(names) != 1)}")
        found = _timed(bundle, backend, names, threads, effort)
        if ":" in backend and not backends and all(t.equal is None for t in found):
            say(f"{backend} is left out: {found[0].wrong}")  # a device that is listed, but is not really there
        else:
            timings += found
    right = [t for t in timings if not t.wrong and t.ms is not None]
    best = min(right, key=lambda t: t.ms or 0.0, default=None)
    choice = None if best is None else Choice(_where(best), best.variant, round(best.ms or 0.0, 3),
                                              date.today().isoformat(), len(right))
    keep = choice is not None and not backends and not threads
    return Tuned(tuple(timings), choice, remember(bundle, choice) if keep and choice else None)


def field(bundle: Bundle, backends: Sequence[str] = ()) -> dict[str, list[str]]:
    """Who is to be timed: the variants' names by backend, or by `NAME:DEVICE` where it has several.

    What a backend never takes is no candidate (see `backends.candidates`); nor is an engine that has to be built.

    Raises:
        BackendError: no such backend.
    """
    places = list(backends)
    for found in [] if backends else [b for b in probe_all() if b.available]:
        devices = [d for d in found.devices if d not in onnxruntime.COMPILING]
        many = len(devices) > 1 and found.name not in engines.LIBRARIES
        places += [f"{found.name}:{device}" for device in devices] if many else [found.name]
    names = {place: [v.name for v in candidates(bundle, place) if place.partition(":")[0] not in engines.LIBRARIES
                     or backends or trt_choice.ready(place.partition(":")[0], bundle, v)] for place in places}
    return {place: listed for place, listed in names.items() if listed}


def _timed(bundle: Bundle, backend: str, names: Sequence[str], threads: int, effort: Effort) -> list[Timing]:
    """Times the variants on a backend; those that would answer wrong on this CPU are not even tried."""
    here, cpu = machine.cpu(), parse_backend(backend)[1] in ("", "cpu")
    wrong = {name: saturates(name, here, parse_backend(backend)[0]) if cpu else "" for name in names}
    pairs = [(backend, name) for name, reason in wrong.items() if not reason]
    timed = time_variants(bundle, pairs, seconds=effort.seconds, rounds=effort.rounds, threads=threads,
                          timeout_s=effort.timeout_s)
    return [Timing(backend, "", name, wrong=reason) for name, reason in wrong.items() if reason] + timed


def render(tuned: Tuned) -> str:
    """The table that a person reads."""
    lines = [f"{'variant':<20}{'computes':<10}{'backend':<22}{'ms':>8}{'equal':>9}  verdict"]
    for t in sorted(tuned.timings, key=lambda t: (t.ms is None, t.ms or 0.0)):
        ms = "-" if t.ms is None else f"{t.ms:.2f}"
        equal = "-" if t.equal is None else f"{t.equal:.5f}"
        lines.append(f"{t.variant:<20}{t.precision or '-':<10}{_where(t):<22}{ms:>8}{equal:>9}  {tuned.verdict(t)}")
    if tuned.choice is None:
        return "\n".join([*lines, "nothing answers right here"])
    end = f"`auto` uses it from now on ({tuned.file})" if tuned.file else "not remembered"
    return "\n".join([*lines, f"{tuned.choice.line()}: {end}"])


def _where(timing: Timing) -> str:
    return f"{timing.backend}:{timing.device}" if timing.device else timing.backend
