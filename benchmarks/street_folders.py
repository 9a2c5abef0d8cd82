"""Pictures of `synthetic:street` in folders, for the trainings that take folders.

    python -m epee.benchmarks.street_folders --out street [--split train] [--count 1000] [--size 320x240]

Writes `OUT/frames/00000.png` and so on, and under the same names `OUT/masks/`, each pixel in the colour of its class. A
split's pictures are always the same, and none is in two splits.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..runtime.cli import parse_size
from ..runtime.colour_masks import painted
from ..runtime.errors import DataError, need
from ..runtime.street import StreetDataset
from ..runtime.street.dataset import SPLITS


def main() -> None:
    """Draws and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--size", default="320x240")
    args = parser.parse_args()
    write(args.out, StreetDataset(args.split, parse_size(args.size), args.count))


def write(out: Path, streets: StreetDataset) -> None:
    """Writes both folders. Raises DataError where a picture cannot be written."""
    cv2: Any = need("cv2")
    for name in ("frames", "masks"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for i in range(len(streets)):
        frame, mask = streets[i]
        for name, image in (("frames", frame), ("masks", painted(mask, streets.colours))):
            if not cv2.imwrite(str(out / name / f"{i:05d}.png"), image):
                raise DataError(f"'{out / name}'", got="a picture that could not be written",
                                do="look whether the disk is full")


if __name__ == "__main__":
    main()
