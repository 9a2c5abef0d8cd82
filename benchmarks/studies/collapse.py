"""Whether a collapsed training is caught and a healthy one let go on.

    python -m epee.benchmarks.studies.collapse [--data FOLDER|ZIP --subset train --classes] [--images 20000] [--seeds 5]

Trains `nano` at 32x32 with each seed as `epee train generate` does, and then with what makes it collapse: hinge loss,
no R1 and R2, a learning rate a hundred times too large. Without `--data` the pictures are coloured discs. A healthy run
that went back or was given up, and a collapsed one that was not, are counted; exit status 3 where there is any.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...runtime.cli import DONE, FAILED
from ...runtime.picture_sets import ArrayPictures, open_pictures
from ...train.generate import train_generate
from ...train.generate_presets import GenerateConfig

SIZE = 32
COLLAPSING: dict[str, Any] = {"loss": "hinge", "gamma": 0.0, "rate_first": 0.04, "rate_last": 0.04}


def main() -> None:
    """Trains, prints a line a run, and exits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--subset")
    parser.add_argument("--classes", action="store_true")
    parser.add_argument("--images", type=int, default=20_000, help="pictures that each run sees")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    pictures = discs()
    if args.data is not None:
        pictures = open_pictures(args.data, SIZE, classes=args.classes, subset=args.subset)
    healthy = GenerateConfig(data=args.data or "discs", size=SIZE, images=args.images)
    wrong = judged("healthy", healthy, pictures, range(args.seeds), False)
    wrong += judged("collapsing", dataclasses.replace(healthy, **COLLAPSING), pictures, range(args.seeds), True)
    print(f"{wrong} of {2 * args.seeds} runs judged wrongly")
    sys.exit(FAILED if wrong else DONE)


def judged(name: str, config: GenerateConfig, pictures: ArrayPictures, seeds: Sequence[int], ill: bool) -> int:
    """Trains with each seed; gives the number of runs in which Health did not say what is so."""
    wrong = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            seeded = dataclasses.replace(config, seed=seed)
            metrics = train_generate(seeded, Path(folder), pictures=pictures, quiet=True)
        caught = bool(metrics["rollbacks"]) or not metrics["healthy"]
        wrong += caught is not ill
        print(f"{name:<10} seed {seed}: {'caught' if caught else 'let go on'}, {metrics['rollbacks']} times back, "
              f"{metrics['steps']} steps, diversity {metrics['diversity']:.2f}  {metrics['problem']}", flush=True)
    return wrong


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
