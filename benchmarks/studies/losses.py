"""Whether the default loss makes better pictures than the non-saturating one, everything else being equal.

    python -m epee.benchmarks.studies.losses --data FOLDER|ZIP --out RUNS [--minutes 20] [--seeds 5]
        [--trials 6] [--trial-minutes 10]

The default is the relativistic loss with R1 and R2; the other is the non-saturating one with R1 alone, both lazily.
First each of the two is tuned: as many trials for the one as for the other, over the same settings, with a seed of
their own. Then both train with their best settings of one batch (that at which their best trials are better in the
mean) and fresh seeds, in pairs. The two of a pair run side by side on a thread each, and their minutes are of processor
time, so that what else the machine does shortens neither. KID of 10,000 samples against all test pictures is compared
within pairs; that the default is better is claimed only where the 95% interval of the mean difference lies below zero,
and what comes out is printed either way. The original minimax loss stands beside them as an illustration, with the
other's settings. KID of 2,000 samples is noted eight times on the way, so that the rows also say whether a run ended
near its best. Each run is a line of `--results`, and what is there is not run again: the study goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.quality import SHIPPED
from ..statistics import mean_interval
from . import ledger

OURS, THEIRS, ILLUSTRATION = "relativistic", "nonsaturating", "minimax"
PENALISED = {THEIRS: "real", ILLUSTRATION: "real"}
"""Loss -> what R1 and R2 are of; both real and generated pictures otherwise."""
SETTINGS: tuple[dict[str, float], ...] = (
    {"batch": 64, "gamma": 0.05, "rate_first": 4e-4, "rate_last": 1e-4},
    {"batch": 64, "gamma": 0.2, "rate_first": 4e-4, "rate_last": 1e-4},
    {"batch": 64, "gamma": 1.0, "rate_first": 4e-4, "rate_last": 1e-4},
    {"batch": 64, "gamma": 1.0, "rate_first": 8e-4, "rate_last": 2e-4},
    {"batch": 64, "gamma": 0.2, "rate_first": 1e-3, "rate_last": 2e-5},
    {"batch": 32, "gamma": 0.2, "rate_first": 1e-3, "rate_last": 1e-4})
"""What is tried, in this order, for either loss."""
TUNING_SEED = 1000
RESULTS = ledger.FOLDER / "losses.jsonl"


@dataclass(frozen=True)
class Job:
    """A run of the study.

    Attributes:
        phase: `tuning`, `pairs` or `illustration`; `offered` in the study of that name.
        loss: the key of a loss.
        seed: of the run.
        minutes: its budget.
        settings: of `GenerateConfig`.
        method: `gan` or `vae`.
    """

    phase: str
    loss: str
    seed: int
    minutes: float
    settings: dict[str, float]
    method: str = "gan"

    @property
    def key(self) -> dict[str, Any]:
        """What its line of the results begins with."""
        method = {} if self.method == "gan" else {"method": self.method}
        return {"phase": self.phase, "loss": self.loss, "penalised": PENALISED.get(self.loss, "both"),
                "seed": self.seed, "minutes": self.minutes, **self.settings, **method}

    @property
    def name(self) -> str:
        """Of its folder."""
        what = self.loss if self.method == "gan" else self.method
        return "-".join([self.phase, what, str(self.seed), *(f"{value:g}" for value in self.settings.values())])

    def found(self, results: Path) -> dict[str, Any] | None:
        """Its line of the results, or None where it has not run yet."""
        return next((line for line in ledger.lines(results) if self.key.items() <= line.items()
                     and line.get("method", "gan") == self.method), None)


def main() -> None:
    """Runs what is not done yet, and prints what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, type=Path, metavar="RUNS")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seeds", type=int, default=5, choices=range(2, 31), metavar="N")
    parser.add_argument("--trials", type=int, default=len(SETTINGS), choices=range(1, len(SETTINGS) + 1))
    parser.add_argument("--trial-minutes", type=float, default=10, help="of a trial; schedules go by shares of it")
    parser.add_argument("--extractor", default=SHIPPED)
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: beside this package")
    args = parser.parse_args()
    best = chosen([run(args, [Job("tuning", loss, TUNING_SEED, args.trial_minutes, settings)
                              for loss in (OURS, THEIRS)]) for settings in SETTINGS[:args.trials]])
    pairs = [run(args, [Job("pairs", loss, seed, args.minutes, best[loss]) for loss in (OURS, THEIRS)])
             for seed in range(args.seeds)]
    ours, theirs = zip(*pairs, strict=True)
    print("\n".join([*verdict(ours, theirs, best), *stability(ours), ledger.machines([*ours, *theirs])]))
    other, = run(args, [Job("illustration", ILLUSTRATION, 0, args.minutes, best[THEIRS])])
    print(f"{ILLUSTRATION}, one run with {THEIRS}'s settings: {other['kid']:.5f}")


def chosen(trials: Sequence[Sequence[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """The settings of each of the two losses, with one batch for both: that at which their best trials are better in
    the mean.

    Args:
        trials: the results' lines of the two losses, for each settings.
    """
    def best(loss: int, batch: float) -> dict[str, Any]:
        return min((rows[loss] for rows in trials if rows[loss]["batch"] == batch), key=lambda row: float(row["kid"]))

    batch = min({rows[0]["batch"] for rows in trials},
                key=lambda batch: float(best(0, batch)["kid"]) + float(best(1, batch)["kid"]))
    return {loss: {name: best(i, batch)[name] for name in SETTINGS[0]} for i, loss in enumerate((OURS, THEIRS))}


def run(args: argparse.Namespace, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The results' lines of jobs; those that have not run yet run now, side by side."""
    children = []
    for job in jobs:
        if job.found(args.results) is None:
            words = {"job": vars(job), "data": args.data, "run": str(args.out / job.name),
                     "results": str(args.results), "extractor": args.extractor}
            children.append(subprocess.Popen([sys.executable, "-m", "epee.benchmarks.studies.losses_run",
                                              json.dumps(words)]))
    try:
        failed = [child.args for child in children if child.wait()]
    finally:
        for child in children:
            child.terminate()
    if failed:
        sys.exit("a run failed: " + " ".join(map(str, failed[0])))  # type: ignore[arg-type]
    rows = [job.found(args.results) for job in jobs]
    return [row for row in rows if row is not None]


def verdict(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]],
            best: dict[str, dict[str, float]]) -> list[str]:
    """What a person reads."""
    kids = [(a["kid"], b["kid"]) for a, b in zip(ours, theirs, strict=True)]
    rows = [f"{'seed':<6}{OURS:>14}{THEIRS:>16}{'difference':>13}   {ours[0]['name']}"]
    rows += [f"{i:<6}{a:>14.5f}{b:>16.5f}{a - b:>13.5f}" for i, (a, b) in enumerate(kids)]
    mean, low, high = mean_interval([a - b for a, b in kids])
    claim = (f"{OURS} is better" if high < 0 else f"{THEIRS} is better" if low > 0 else
             "no difference is shown: the interval holds zero")
    return [*(f"{loss}: {settings}" for loss, settings in best.items()), *rows,
            f"mean {statistics.fmean(a for a, _ in kids):.5f} and {statistics.fmean(b for _, b in kids):.5f}, "
            f"difference {mean:.5f}, 95% {low:.5f} to {high:.5f}: {claim}"]


def stability(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Whether each run of the default was stable: healthy to the end, near its best there, and diverse."""
    return [f"seed {row['seed']}: {'healthy' if row['healthy'] else 'given up'}, {row['rollbacks']} roll-backs, last "
            f"KID {row['course'][-1] / min(row['course']):.2f} times its best, recall {row['recall']:.3f} of "
            f"{row['floor_recall']:.3f} (real against real)" for row in rows]


if __name__ == "__main__":
    main()
