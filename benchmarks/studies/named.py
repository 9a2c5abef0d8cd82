"""Whether a classifier that never saw them names a generator's pictures by the label they were made for.

    python -m epee.benchmarks.studies.named GENERATOR.epee [--samples 100] [--grid PNG]

The classifier is a bundle of task `features`, trained on other pictures than the generator (default: the extractor that
`epee eval` takes). Pictures come in a random order of classes, as many of each as of any other. `--grid` draws the
first hundred, ten a row, a class a column.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.backends import open_session
from ...runtime.bundle import Bundle
from ...runtime.errors import DataError, need
from ...runtime.quality import SHIPPED
from ...runtime.quality.generated import generated

SHOWN = 10
"""Rows of the grid."""


def main() -> None:
    """Prints the shares, of all and of each class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator")
    parser.add_argument("--classifier", default=SHIPPED)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grid", type=Path, metavar="PNG")
    args = parser.parse_args()
    bundle, judge = Bundle.open(args.generator), Bundle.open(args.classifier)
    names = bundle.manifest.classes
    if not names or names != judge.manifest.classes:
        raise DataError(f"classes of '{args.generator}'", got=", ".join(names) or "none",
                        expected=", ".join(judge.manifest.classes))
    images = np.stack(list(generated(bundle, args.samples, args.seed)))
    labels = np.arange(args.samples) % len(names)
    order = np.random.default_rng(args.seed).permutation(args.samples)
    right = np.empty(args.samples, bool)
    right[order] = named(judge, images[order]) == labels[order]
    print(f"{right.sum()} of {args.samples} named right, {right.mean():.3f}")
    print("  ".join(f"{name} {right[labels == i].mean():.2f}" for i, name in enumerate(names)))
    if args.grid is not None:
        cv2: Any = need("cv2")
        cv2.imwrite(str(args.grid), grid(images[:SHOWN * len(names)], len(names)))


def named(judge: Bundle, images: NDArray[Any]) -> NDArray[np.int64]:
    """Class ids (N,) that a classifier gives pictures (N, H, W, 3) uint8, BGR."""
    with open_session(judge, "auto", judge.manifest.variants[0].name) as session:
        logits = [session.run({judge.manifest.inputs[0].name: image[None]})["logits"][0] for image in images]
    return np.argmax(np.stack(logits), 1)


def grid(images: NDArray[Any], columns: int) -> NDArray[Any]:
    """Pictures (N, H, W, 3) side by side, whole rows of so many."""
    rows = [np.concatenate(list(images[i:i + columns]), 1) for i in range(0, len(images) - columns + 1, columns)]
    return np.concatenate(rows, 0)


if __name__ == "__main__":
    main()
