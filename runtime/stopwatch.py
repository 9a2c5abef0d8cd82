"""How fast variants answer here: a child process a backend, one session at a time, in rounds.

A process a backend, because idle threads of one runtime spin beside the next one's, and because a runtime that
crashes must not take its caller with it. Inside, variants take turns and only one session is open at a time, so that
whatever else the machine does meets all of them.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .backends import Session, load, open_session, parse_backend
from .bundle import Bundle
from .errors import EpeeError
from .timing import measure
from .variants import choose_variant
from .verify import Named, answer, compare, read_goldens

WARM_CALLS = 3
NEAR = 2.0
"""What takes longer than so many times the fastest of its backend in the first round has no further one."""


@dataclass(frozen=True)
class Timing:
    """What one variant did on one backend.

    Attributes:
        backend, device, variant: what answered; the device is '' where nothing did.
        ms: one frame, the median of the best round; None where it did not run.
        equal: least share of golden values answered equal, 0 to 1; None where it did not run.
        wrong: why it must not be used: wrong answers, or what it failed with; '' where all is well.
        precision: what it really computed in, see `backends.Session`; '' where it did not open.
    """

    backend: str
    device: str
    variant: str
    ms: float | None = None
    equal: float | None = None
    wrong: str = ""
    precision: str = ""


def time_variants(bundle: Bundle, pairs: Sequence[tuple[str, str]], *, seconds: float = 0.2, rounds: int = 3,
                  threads: int = 0, timeout_s: float = 120) -> list[Timing]:
    """Checks the goldens of backends and variants and times single frames.

    Args:
        bundle: goldens are its frames.
        pairs: (`NAME[:DEVICE]`, variant's name) each.
        seconds: of calls in each round, start apart.
        rounds: how often each variant has its turn, unless it is far behind after the first.
        threads: compute threads; 0 leaves it to the backend.
        timeout_s: for all variants of a backend together.

    Returns:
        One entry a pair, in the order of the pairs.

    Raises:
        BackendError: no such backend.
    """
    found: dict[tuple[str, str], Timing] = {}
    for backend in dict.fromkeys(backend for backend, _ in pairs):
        load(parse_backend(backend)[0])
        variants = [variant for other, variant in pairs if other == backend]
        job = {"bundle": str(bundle.path.resolve()), "backend": backend, "variants": variants, "seconds": seconds,
               "rounds": rounds, "threads": threads}
        for timing in _in_child(job, timeout_s):
            found[backend, timing.variant] = timing
    return [found[pair] for pair in pairs]


def _in_child(job: dict[str, Any], timeout_s: float) -> list[Timing]:
    """Runs a job in a process of its own; where it fails, every variant says why."""
    name, device = parse_backend(job["backend"])
    try:
        done = subprocess.run([sys.executable, "-m", "epee.runtime.stopwatch"], input=json.dumps(job), text=True,
                              capture_output=True, timeout=timeout_s, check=False)
        if done.returncode == 0:
            return [Timing(**entry) for entry in json.loads(done.stdout.splitlines()[-1])]
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        wrong = lines[-1][:200] if done.returncode > 0 else f"crashed with {signal.Signals(-done.returncode).name}"
    except subprocess.TimeoutExpired:
        wrong = f"no answer within {timeout_s:g} s"
    return [Timing(name, device, variant, wrong=wrong) for variant in job["variants"]]


def _work(job: dict[str, Any]) -> list[Timing]:
    """The child's part: each variant answers the goldens and has its first round in one opening, then the others."""
    bundle = Bundle.open(job["bundle"])
    goldens = read_goldens(bundle)
    timings = {variant: _first(bundle, goldens, job, variant) for variant in job["variants"]}
    fastest = min((t.ms for t in timings.values() if t.ms is not None), default=0.0)
    for _ in range(job["rounds"] - 1):
        for variant, timing in timings.items():
            if timing.ms is not None and timing.ms <= NEAR * fastest:
                with open_session(bundle, job["backend"], variant, threads=job["threads"]) as session:
                    timings[variant] = replace(timing, ms=min(timing.ms, _time(session, goldens, job["seconds"])))
    return list(timings.values())


def _first(bundle: Bundle, goldens: Named, job: dict[str, Any], variant: str) -> Timing:
    """Lets a variant answer the goldens, and times it where it answers right."""
    name, device = parse_backend(job["backend"])
    tolerance = choose_variant(bundle, variant).tolerance
    try:
        with open_session(bundle, job["backend"], variant, threads=job["threads"]) as session:
            found = list(compare(session.outputs, answer(session, goldens), goldens, tolerance))
            wrong = "; ".join(f"output '{output}': {text}" for output, _, text in found if text)
            ms = None if wrong else _time(session, goldens, job["seconds"])
            equal = min(share for _, share, _ in found)
            return Timing(session.backend, session.device, variant, ms, equal, wrong, session.precision)
    except EpeeError as error:
        return Timing(name, device, variant, wrong=str(error))
    except Exception as error:  # a runtime's own failure on a graph is an answer too
        return Timing(name, device, variant, wrong=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _time(session: Session, goldens: Named, seconds: float) -> float:
    """Median milliseconds of a frame over one round."""
    inputs = session.inputs
    count, step = len(goldens[inputs[0].name]), inputs[0].shape[0] or 1
    feeds = itertools.cycle([{s.name: goldens[s.name][i:i + step] for s in inputs}
                             for i in range(0, count - step + 1, step)])
    measure(lambda: session.run(next(feeds)), WARM_CALLS, 0)
    samples: list[float] = []
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s or not samples:
        samples += measure(lambda: session.run(next(feeds)), 5, 0)
    return statistics.median(samples) / step


def main() -> int:
    """Reads a job on standard input; the last line of standard output is the answer."""
    job = json.load(sys.stdin)
    try:
        timings = _work(job)
    except EpeeError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps([asdict(timing) for timing in timings]), flush=True)
    sys.stdout.flush()
    os._exit(0)  # a runtime that crashes while it is unloaded has answered all the same


if __name__ == "__main__":
    sys.exit(main())
