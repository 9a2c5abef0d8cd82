"""Whether a feature extractor may score generators: what it says of real pictures, and of damaged ones.

    python -m epee.benchmarks.studies.extractor BUNDLE --data FOLDER|ZIP [--half a] [--results FILE.json]

It has to find pictures of the half that generators learn from and test pictures alike: KID within two standard errors
of zero, and below a margin. It has to see damage: blur, noise, JPEG and missing classes must each move KID further from
step to step. Beside it stands a network of the same shape with random weights, which has learned nothing. Exit status
3 where it is not admitted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...runtime.cli import DONE, FAILED
from ...runtime.errors import DataError
from ...runtime.picture_sets import ArrayPictures, open_pictures
from ...runtime.quality import SHIPPED
from ...runtime.quality.distances import Kid, kid
from ...runtime.quality.extractor import open_extractor
from ...train.grids import to_floats
from ...train.networks import extractor as networks

MARGIN = 0.0005
"""KID of real pictures that is too much, whatever its standard error: about what noise of 5 grey levels adds."""
HALF_BLOCK = 4
"""Pixels that JPEG's grid of blocks is moved by: pictures that were JPEGs once, as CIFAR's here, would go through the
same grid again, which at the same quality changes nothing and at half of it only rounds up and down (it sharpens)."""
CALIBRATION = 1024
"""Pictures that the random network's batch norms are set by."""
Images = NDArray[np.uint8]
Look = Callable[[Images], NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """KID of damaged pictures against test pictures.

    Attributes:
        damage: its kind.
        level: how much of it.
        learned: by the extractor.
        random: by the random network.
    """

    damage: str
    level: float
    learned: Kid
    random: Kid


def main() -> None:
    """Measures, prints and exits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default=SHIPPED)
    parser.add_argument("--data", required=True)
    parser.add_argument("--subset", default="train")
    parser.add_argument("--half", default="a", help="the half that the extractor has not seen (default: %(default)s)")
    parser.add_argument("--test", default="test")
    parser.add_argument("--margin", type=float, default=MARGIN, help="default: %(default)s")
    parser.add_argument("--results", type=Path, help="also write the numbers there, as JSON")
    args = parser.parse_args()
    with open_extractor(args.bundle) as extractor:
        size = extractor.size_hw[0]
        pictures = open_pictures(args.data, size, classes=True, subset=args.subset, half=args.half)
        test = open_pictures(args.data, size, classes=True, subset=args.test)
        rows = table(pictures, test, extractor, random_network(size, len(pictures.names), pictures.images))
        accuracy = accuracy_of(extractor.both(test.images)[1], test)
        name, digest = extractor.name, extractor.manifest.variants[0].sha256
    problems = judged(rows, args.margin)
    print(render(name, accuracy, rows, args.margin, len(pictures), len(test)))
    print("\n".join(problems) or f"{name} is admitted")
    if args.results is not None:
        found = {"extractor": name, "sha256": digest, "accuracy": accuracy, "pictures": len(pictures),
                 "test": len(test), "margin": args.margin, "admitted": not problems, "problems": problems,
                 "rows": [dataclasses.asdict(row) for row in rows]}
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.exit(FAILED if problems else DONE)


def table(pictures: ArrayPictures, test: ArrayPictures, learned: Look, random: Look) -> list[Row]:
    """The undamaged row, and one for each damage and level."""
    targets = learned(test.images), random(test.images)

    def row(damage: str, level: float, images: Images) -> Row:
        print(f"{damage} {level:g}", file=sys.stderr, flush=True)
        return Row(damage, level, *(kid(look(images), target)
                                    for look, target in zip((learned, random), targets, strict=True)))

    rows = [row("none", 0, pictures.images)]
    for name, (levels, change) in DAMAGES.items():
        rows += [row(name, level, np.stack([change(image, level) for image in pictures.images])) for level in levels]
    if pictures.labels is None:
        raise DataError("pictures", got="no labels", expected="a folder a class")
    return rows + [row("dropped classes", level, pictures.images[pictures.labels >= level])
                   for level in DROPPED if level < len(pictures.names)]


def blurred(image: Images, sigma: float) -> Images:
    """Gaussian blur, sigma in pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))


def noisy(image: Images, sigma: float) -> Images:
    """Gaussian noise, sigma in grey levels; the same picture always gets the same."""
    rng = np.random.default_rng(int(image[::4, ::4].sum()))
    return np.clip(np.round(image + rng.normal(0, sigma, image.shape)), 0, 255).astype(np.uint8)


def compressed(image: Images, quality: float) -> Images:
    """Through JPEG of a quality, 1 to 100, on a grid of its own."""
    edge = HALF_BLOCK
    wider = np.pad(image, ((edge, edge), (edge, edge), (0, 0)), mode="reflect")
    encoded = cv2.imencode(".jpg", wider, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    decoded: Any = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.asarray(decoded[edge:-edge, edge:-edge])


DAMAGES: Mapping[str, tuple[tuple[float, ...], Callable[[Images, float], Images]]] = {
    "blur": ((0.5, 1, 2), blurred), "noise": ((5, 10, 20), noisy), "jpeg": ((75, 50, 20), compressed)}
"""Name -> levels, from little damage to much, and what does it."""
DROPPED = (1, 3, 5)
"""So many classes, the first by name, are missing."""


def random_network(size: int, classes: int, images: Images) -> Look:
    """An extractor that has learned nothing: random weights by seed 0, batch norms set by some pictures."""
    torch.manual_seed(0)
    network = networks.Extractor(networks.ExtractorConfig(classes=classes, size=size))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain mean over what it is shown
    with torch.no_grad():
        for start in range(0, min(CALIBRATION, len(images)), 128):
            network(to_floats(images[start:start + 128], torch.device("cpu")).add(1.0).mul(0.5))
    network.eval()

    @torch.inference_mode()
    def look(images: Images) -> NDArray[Any]:
        parts = [network(to_floats(images[i:i + 256], torch.device("cpu")).add(1.0).mul(0.5))[0]
                 for i in range(0, len(images), 256)]
        return np.asarray(torch.cat(parts))

    return look


def accuracy_of(logits: NDArray[Any], test: ArrayPictures) -> float:
    """Share of pictures whose class has the largest logit, 0 to 1."""
    return float((logits.argmax(1) == test.labels).mean())


def judged(rows: Sequence[Row], margin: float) -> list[str]:
    """Why the extractor may not score, a line a reason; nothing where it may."""
    real = rows[0].learned
    problems = []
    if not abs(real.value) <= 2 * real.se:
        problems.append(f"not admitted: KID of real pictures {real.value:.5f}, more than 2 x {real.se:.5f} from 0")
    if not abs(real.value) <= margin:
        problems.append(f"not admitted: KID of real pictures {real.value:.5f}, beyond the margin of {margin:g}")
    for damage in dict.fromkeys(row.damage for row in rows[1:]):
        steps = [rows[0], *(row for row in rows if row.damage == damage)]
        problems += [f"not admitted: {damage} {b.level:g} has KID {b.learned.value:.5f}, less damage "
                     f"{a.learned.value:.5f}" for a, b in pairwise(steps) if not b.learned.value > a.learned.value]
    return problems


def render(name: str, accuracy: float, rows: Sequence[Row], margin: float, pictures: int, test: int) -> str:
    """The table that a person reads."""
    lines = [f"{name}: accuracy {accuracy:.4f} on {test} test pictures; KID of {pictures} pictures against them, "
             f"margin {margin:g}", "",
             f"{'damage':<16}{'level':>7}{'KID-' + name:>22}{'+-':>9}{'random network':>18}{'+-':>9}"]
    lines += [f"{r.damage:<16}{r.level:>7g}{r.learned.value:>22.5f}{r.learned.se:>9.5f}{r.random.value:>18.5f}"
              f"{r.random.se:>9.5f}" for r in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
