"""Whether the benchmark repeats: the same one several times, one right after the other.

    python -m epee.benchmarks.studies.repeat BUNDLE [--runs 2] [--backend onnxruntime,openvino] [--threads 1,2]

Each pair of neighbouring runs is compared. A ratio is one row's headline over another's in the same run, the median
over rounds of the ratios within a round; told is by how much the two runs' ratios differ, over all pairs of rows, and
how many of the second run's medians the first run's prediction intervals hold. The last line says what other processes
took of the machine meanwhile: on a busy one the figures are about it and not about the benchmark.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...runtime.bundle import Bundle
from ..matrix import rows_of
from ..rounds import bench
from ..rows import SINGLE, Results, Row, Settings
from ..statistics import ratio


def main() -> None:
    """Measures and prints a line a pair of runs, and all of it as JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--backend", default="all", help="several with commas")
    parser.add_argument("--precision", default="all", help="several with commas")
    parser.add_argument("--threads", default="1", help="several with commas")
    parser.add_argument("--batch", default="1", help="several with commas")
    parser.add_argument("--rounds", type=int, default=Settings.rounds)
    parser.add_argument("--seconds", type=float, default=Settings.seconds)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bundle, runs, pairs = Bundle.open(args.bundle), list[Results](), list[dict[str, Any]]()
    threads, batches = ([int(n) for n in text.split(",")] for text in (args.threads, args.batch))
    for seed in range(args.runs):
        rows = rows_of(bundle, args.backend.split(","), args.precision.split(","), threads, batches)
        settings = Settings(rounds=args.rounds, seconds=args.seconds, seed=seed)
        runs.append(bench(bundle, rows, settings, lambda line: print(line, file=sys.stderr)))
        if seed:
            pairs.append(compared(runs[-2], runs[-1]))
            print(json.dumps(pairs[-1]) if args.json else told(pairs[-1]), flush=True)
    others = [r.conditions["others"] or 0.0 for run in runs for row in run.rows if row.good
              for r in row.scenarios[SINGLE].rounds]
    print(f"other processes took {np.median(others):.0%} of the machine, at most {max(others):.0%}", file=sys.stderr)


def compared(first: Results, second: Results) -> dict[str, Any]:
    """What two runs of the same matrix say of each other.

    Returns:
        `rows` (that were good in both), `predicted` (share of them whose second median lies within the first's
        prediction, 0 to 1), `ratios` (pairs of rows), `ratio_difference` (`p50`, `p90`, `max` over the pairs: how far
        the second run's ratio lies from the first's, as a share), `width` (of a prediction as a share of the median).
    """
    both = [(a, b) for a, b in zip(first.rows, second.rows, strict=True) if a.good and b.good]
    held, widths = [], []
    for a, b in both:
        low, high = a.scenarios[SINGLE].prediction_ms or (float("nan"), float("nan"))
        held.append(bool(low <= b.scenarios[SINGLE].ms <= high))
        widths.append((high - low) / a.scenarios[SINGLE].ms)
    away = [abs(_ratio(b, d) / _ratio(a, c) - 1) for (a, b), (c, d) in itertools.combinations(both, 2)]
    p50, p90, most = (float(x) for x in np.percentile(away or [float("nan")], (50, 90, 100)))
    return {"rows": len(both), "predicted": float(np.mean(held)), "ratios": len(away),
            "ratio_difference": {"p50": p50, "p90": p90, "max": most}, "width": float(np.median(widths))}


def told(found: dict[str, Any]) -> str:
    """A line for a person."""
    away = found["ratio_difference"]
    return (f"{found['rows']} rows: {found['predicted']:.0%} of the second run's medians within the first's "
            f"predictions (median width {found['width']:.1%}); {found['ratios']} ratios differ by {away['p50']:.1%} in "
            f"the median, {away['p90']:.1%} in 9 of 10, {away['max']:.1%} at most")


def _ratio(row: Row, other: Row) -> float:
    return ratio(_rounds(row), _rounds(other))[0]


def _rounds(row: Row) -> Sequence[float]:
    return [r.ms for r in row.scenarios[SINGLE].rounds]


if __name__ == "__main__":
    main()
