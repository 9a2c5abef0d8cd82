"""What `epee eval` takes for generated pictures. Imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import SHIPPED

SAMPLES = 10_000
TRAIN, TEST = "train", "test"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    group = parser.add_argument_group("generated pictures")
    group.add_argument("--samples", type=int, default=SAMPLES, metavar="N",
                       help="pictures to generate, or to draw from a folder or zip (default: %(default)s)")
    group.add_argument("--extractor", metavar="E", help="bundle of the feature extractor that distances are named "
                       f"after: KID-E, FD-E (default: {SHIPPED})")
    group.add_argument("--inception", metavar="PATH", type=Path, help="weights of the papers' Inception network, "
                       "pt_inception-2015-12-05-6726825d.pth; then it is FID and KID (needs torch)")
    group.add_argument("--neighbours", metavar="PNG", type=Path, help="draw samples beside the nearest pictures of "
                       f"the split '{TRAIN}', and count copies")
    group.add_argument("--size", type=int, metavar="N", help="height and width that pictures are brought to before "
                       "they are looked at (default: the generator's, for files the extractor's; with "
                       "--inception name the files' own)")
    group.add_argument("--seed", type=int, default=0, help="of latents, splits and bootstrap (default: %(default)s)")
