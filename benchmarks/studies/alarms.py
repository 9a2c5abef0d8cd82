"""How often `epee bench --compare` finds a slowdown of 10%, and how often it blames a change that is none.

    python -m epee.benchmarks.studies.alarms street-nano --trials 20 --rounds 20 [--slower 0.1] [--threads 1]

Three contestants take part in each round, in fresh processes and shuffled order, as in `epee bench`: the bundle, the
bundle again, and the bundle on a backend that is ONNX Runtime but spins, after each call, for a tenth of what the call
took. So the slowdown is real time in the worker, and the product has no switch for it. A trial is a comparison of
`--rounds` rounds with `--max-slower`; trials share no round. As many rows as `--rows` says are pretended in the bounds
(Bonferroni), of which one is measured.

Afterwards comparisons of other numbers of rounds are drawn from all rounds: the power analysis behind the default.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import expm1, log, log1p
from pathlib import Path

from ...runtime.backends import BACKENDS
from ...runtime.bundle import Bundle
from ..compare import ALPHA
from ..matrix import contestants, rows_of
from ..rounds import take_turns
from ..rows import Row, Settings
from ..signed_rank import estimate, lower_bound

SLOWED = "slowed"
MODULE = """
import time
from epee.runtime.backends import onnxruntime

SHARE = {share}
probe, refuses = onnxruntime.probe, onnxruntime.refuses

class Slowed:
    def __init__(self, real):
        self.real = real
    def __getattr__(self, name):
        return getattr(self.real, name)
    def run(self, feeds):
        start = time.perf_counter()
        found = self.real.run(feeds)
        end = time.perf_counter()
        while time.perf_counter() < end + SHARE * (end - start):
            pass
        return found
    def __enter__(self):
        return self
    def __exit__(self, *exc):
        self.real.close()

def open_session(bundle, variant, options):
    return Slowed(onnxruntime.open_session(bundle, variant, options))
"""
STARTER = "from epee.runtime.backends import BACKENDS\nBACKENDS['slowed'] = 'epee_slowed'\n"
DRAWS, COUNTS = 2000, (5, 7, 9, 12, 15, 20, 30)


def main() -> None:
    """Measures trial by trial, prints a line each, and what they say together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=20, help="of each trial (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="timed a process (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slower", type=float, default=0.1, help="the injected share (default: %(default)s)")
    parser.add_argument("--max-slower", type=float, default=0.05, help="the limit (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=6, help="rows that share the 5%% (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="where all rounds are kept as JSON, after each trial")
    args = parser.parse_args()
    bundle, trials = Bundle.open(args.bundle), []
    with slowed_backend(args.slower):
        for number in range(args.trials):
            settings = Settings(rounds=args.rounds, seconds=args.seconds, seed=number)
            trials.append(trial(bundle, args.precision, args.threads, settings))
            print(line(number, trials[-1], args), flush=True)
            if args.out:
                args.out.write_text(json.dumps(trials), encoding="utf-8")
    print("\n".join(summary(trials, args)))


@contextmanager
def slowed_backend(share: float) -> Iterator[None]:
    """Adds the backend `slowed` here and in every child process."""
    with tempfile.TemporaryDirectory(prefix="epee-slowed-") as folder:
        Path(folder, "epee_slowed.py").write_text(MODULE.format(share=share), encoding="utf-8")
        Path(folder, "sitecustomize.py").write_text(STARTER, encoding="utf-8")
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, *([before] if before else [])])
        sys.path.insert(0, folder)
        BACKENDS[SLOWED] = "epee_slowed"
        try:
            yield
        finally:
            del BACKENDS[SLOWED]
            sys.path.remove(folder)
            os.environ.pop("PYTHONPATH")
            if before:
                os.environ["PYTHONPATH"] = before


def trial(bundle: Bundle, precision: str, threads: int, settings: Settings) -> dict[str, list[float]]:
    """Milliseconds of each round: `old`, `same` (the same once more) and `slower`."""
    rows: dict[str, Row] = {name: rows_of(bundle, [backend], [precision], [threads])[0] for name, backend in
                            (("old", "onnxruntime"), ("same", "onnxruntime"), ("slower", SLOWED))}
    take_turns(contestants(bundle, list(rows.values()), settings), settings, lambda text: None)
    for name, row in rows.items():
        if row.headline is None or row.error:
            raise SystemExit(f"{name}: {row.error}")
    return {name: [r.ms for r in row.headline.rounds] for name, row in rows.items() if row.headline}


def alarm(old: Sequence[float], new: Sequence[float], args: argparse.Namespace) -> bool:
    """What `--compare` would say of the two, with the bounds of `--rows` rows."""
    return lower_bound(_logs(old, new), ALPHA / args.rows) > log1p(args.max_slower)


def line(number: int, found: dict[str, list[float]], args: argparse.Namespace) -> str:
    """One trial: both ratios and whether they raise an alarm."""
    parts = []
    for name in ("same", "slower"):
        ratio = estimate(_logs(found["old"], found[name]))
        mark = "ALARM" if alarm(found["old"], found[name], args) else "-"
        parts.append(f"{name} {100 * expm1(ratio):+6.2f}% {mark:<5}")
    return f"trial {number + 1:2d}: " + "   ".join(parts)


def summary(trials: Sequence[dict[str, list[float]]], args: argparse.Namespace) -> list[str]:
    """The two counts, the spread between rounds, and how rounds and alarms go together."""
    counts = {name: sum(alarm(t["old"], t[name], args) for t in trials) for name in ("same", "slower")}
    pooled = {name: [d for t in trials for d in _logs(t["old"], t[name])] for name in ("same", "slower")}
    spread = 1.4826 * sorted(abs(d) for d in pooled["same"])[len(pooled["same"]) // 2]
    lines = [f"{args.slower:.0%} slower: alarm in {counts['slower']} of {len(trials)}; "
             f"no change: alarm in {counts['same']} of {len(trials)} ({args.rounds} rounds, limit "
             f"{args.max_slower:.0%}, bounds of {args.rows} rows)",
             f"spread of a round's ratio {spread:.1%}; drawn from {len(pooled['same'])} rounds, {DRAWS} times:"]
    rng = random.Random(0)
    for count in COUNTS:
        if count <= len(pooled["same"]):
            rates = {name: sum(lower_bound(rng.sample(pooled[name], count), ALPHA / args.rows) > log1p(args.max_slower)
                               for _ in range(DRAWS)) / DRAWS for name in pooled}
            lines.append(f"  {count:2d} rounds: slowdown found {rates['slower']:6.1%}, "
                         f"no change blamed {rates['same']:6.1%}")
    return lines


def _logs(old: Sequence[float], new: Sequence[float]) -> list[float]:
    return [log(b / a) for a, b in zip(old, new, strict=True)]


if __name__ == "__main__":
    main()
