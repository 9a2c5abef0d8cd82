"""Whether every loss that is offered trains, and the VAE: a run of each, judged by the same numbers.

    python -m epee.benchmarks.studies.offered --data FOLDER|ZIP --out RUNS [--minutes 5] [--vae-minutes 20]

Each trains `nano` at 32x32 with its default settings and seed 0, two of them side by side on a thread each, and makes
10,000 pictures that are scored against all test pictures. A loss counts as trained where the run was healthy to its end
and came below half of the KID of an untrained generator; the VAE is there to be compared with, for its pictures are
blurred, which KID punishes, however well it has learned. Each run is a line of `--results`, and what is there is not
run again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ...runtime.cli import DONE, FAILED
from ...runtime.picture_sets import open_pictures
from ...runtime.quality import SHIPPED
from ...runtime.quality.extractor import open_extractor
from ...runtime.quality.scoring import Judge
from ...train.gan_losses import LOSSES
from ...train.networks.generator import Generator, GeneratorConfig
from ...train.scoring import pictures_of
from . import ledger
from .losses import OURS, Job, run
from .losses_run import SIZE

RESULTS = ledger.FOLDER / "offered.jsonl"
SAMPLES = 2_000
"""Of the untrained generator."""


def main() -> None:
    """Runs what is not done yet, prints a table, and exits with 3 where one did not train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, type=Path, metavar="RUNS")
    parser.add_argument("--minutes", type=float, default=5, help="of each loss")
    parser.add_argument("--vae-minutes", type=float, default=20)
    parser.add_argument("--extractor", default=SHIPPED)
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: beside this package")
    args = parser.parse_args()
    jobs = [Job("offered", OURS, 0, args.vae_minutes, {}, "vae"), *(Job("offered", loss, 0, args.minutes, {})
                                                                  for loss in LOSSES)]
    rows = [row for start in range(0, len(jobs), 2) for row in run(args, jobs[start:start + 2])]
    limit = untrained(args.data, args.extractor) / 2
    print("\n".join(table(rows, limit)))
    sys.exit(DONE if all(trained(row, limit) for row in rows) else FAILED)


def untrained(data: str, extractor: str) -> float:
    """KID of a generator that has learned nothing, always the same one."""
    torch.manual_seed(0)
    with open_extractor(extractor) as opened:
        judge = Judge(opened, open_pictures(data, SIZE, subset="test").images)
        return judge(pictures_of(Generator(GeneratorConfig()).eval(), SAMPLES, seed=1)).kid.value


def trained(row: dict[str, Any], limit: float) -> bool:
    """Whether the run of a line was healthy to its end and, unless it is the VAE's, came below the limit."""
    return bool(row["healthy"]) and (row["kid"] < limit or row.get("method") == "vae")


def table(rows: Sequence[dict[str, Any]], limit: float) -> list[str]:
    """What a person reads: a line a run."""
    head = f"{'loss':<16}{'minutes':>8}{'pictures':>10}{rows[0]['name']:>22}{'precision':>11}{'recall':>8}{'back':>6}"
    lines = [f"{row.get('method', row['loss']):<16}{row['minutes']:>8g}{row['images']:>10}"
             f"{row['kid']:>12.4f} ± {row['se']:.4f}{row['precision']:>11.3f}{row['recall']:>8.3f}{row['rollbacks']:>6}"
             f"{'' if trained(row, limit) else '   did not train'}" for row in rows]
    return [head, *lines, f"an untrained generator: {2 * limit:.4f}; real test pictures, half against half: recall "
                          f"{rows[0]['floor_recall']:.3f}"]


if __name__ == "__main__":
    main()
