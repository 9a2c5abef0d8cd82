"""Whether a collapsed training is caught and a healthy one let go on.

    python -m epee.benchmarks.studies.collapse [--data FOLDER|ZIP --subset train --classes] [--images 20000] [--seeds 5]

Trains `nano` at 32x32 with each seed as `epee train generate` does, and then with what makes it collapse: hinge loss,
no R1 and R2, a learning rate a hundred times too large. Without `--data` the pictures are coloured discs. A healthy run
that went back or was given up, and a collapsed one that was not, are counted; exit status 3 where there is any.
Each run is a line of `--results`, and what is there is not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...runtime.cli import DONE, FAILED
from ...runtime.picture_sets import ArrayPictures, open_pictures
from ...train.generate import train_generate
from ...train.presets.generate import GenerateConfig
from . import ledger

SIZE = 32
COLLAPSING: dict[str, Any] = {"loss": "hinge", "gamma": 0.0, "rate_first": 0.04, "rate_last": 0.04}
RESULTS = ledger.FOLDER / "collapse.jsonl"


def main() -> None:
    """Trains what is not done yet, prints a line a run, and exits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--subset")
    parser.add_argument("--classes", action="store_true")
    parser.add_argument("--images", type=int, default=20_000, help="pictures that each run sees")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: beside this package")
    args = parser.parse_args()
    pictures = discs()
    if args.data is not None:
        pictures = open_pictures(args.data, SIZE, classes=args.classes, subset=args.subset)
    healthy = GenerateConfig(data=args.data or "discs", size=SIZE, images=args.images)
    asked = {"data": Path(healthy.data).name, "subset": args.subset, "classes": args.classes, "images": args.images}
    wrong = 0
    for kind, config in (("healthy", healthy), ("collapsing", dataclasses.replace(healthy, **COLLAPSING))):
        for seed in range(args.seeds):
            key = {"kind": kind, "seed": seed, **asked}
            row = ledger.line_of(args.results, key)
            if row is None:
                row = {**key, **trained(dataclasses.replace(config, seed=seed), pictures)}
                ledger.append(args.results, row)
            print(told(row), flush=True)
            wrong += row["caught"] is not (kind == "collapsing")
    print(f"{wrong} of {2 * args.seeds} runs judged wrongly")
    sys.exit(FAILED if wrong else DONE)


def trained(config: GenerateConfig, pictures: ArrayPictures) -> dict[str, Any]:
    """Trains, and gives what Health said of it."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = train_generate(config, Path(folder), pictures=pictures, quiet=True)
    return {"caught": bool(metrics["rollbacks"]) or not metrics["healthy"],
            **{name: metrics[name] for name in ("rollbacks", "steps", "diversity", "problem")}}


def told(row: Mapping[str, Any]) -> str:
    """A line for a person."""
    return (f"{row['kind']:<10} seed {row['seed']}: {'caught' if row['caught'] else 'let go on'}, {row['rollbacks']} "
            f"times back, {row['steps']} steps, diversity {row['diversity']:.2f}  {row['problem']}")


def discs(count: int = 2000) -> ArrayPictures:
    """Discs of any colour, place and size on grounds of any colour."""
    rng = np.random.default_rng(0)
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for image in images:
        image[:] = rng.integers(0, 256, 3)
        centre, radius = rng.integers(8, 24, 2).tolist(), int(rng.integers(4, 12))
        cv2.circle(image, centre, radius, rng.integers(0, 256, 3).tolist(), -1, cv2.LINE_AA)
    return ArrayPictures(images)


if __name__ == "__main__":
    main()
