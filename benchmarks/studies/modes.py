"""How many of a thousand modes a generator covers: three digits of 8x8, one a colour channel.

    python -m epee.benchmarks.studies.modes                                    only what counts, on pictures known
    python -m epee.benchmarks.studies.modes --generator RUN                    a run of 8x8 pictures without labels
    python -m epee.benchmarks.studies.modes --train RUNS --minutes 15 --seed 0,1,2

25,600 samples are counted; a mode counts from 5 of which a classifier that was trained on other digits is at least 0.9
sure in every channel. Before a generator is counted the count itself is: real stacks that the classifier has not seen
have to cover 990, noise fewer than 100, real stacks without 300 modes at most 710; else the exit status is 3. `--train`
trains one network without labels for each seed, in RUNS/seed-N, on one thread, and goes on where it stopped; minutes
are of processor time, so that other work on the machine shortens none. Seeds that are in the results already are left
out. Each count is a line of `--results`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from ...runtime.cli import DONE, FAILED
from ...runtime.errors import TrainingError
from ...train import checkpoint
from ...train.diffaug import DiffAugment
from ...train.generate import train_generate
from ...train.networks.generator import Generator
from ...train.presets.generate import GenerateConfig, networks_of
from ...train.scoring import pictures_of
from . import ledger
from .ledger import append, line_of
from .stacks import MODES, SIZE, Coverage, Images, Stacks, accuracy_of, coverage, load_digits, train_classifier

SAMPLES, TRAINED_ON = 25_600, 100_000
MOST_NOISE, REMOVED, MOST_WITHOUT, FEWEST_REAL = 100, 300, 710, 990
BLURS = (0.5, 1.0)
TRAINING: dict[str, Any] = {"preset": "pico", "batch": 64, "rate_first": 2e-3, "rate_last": 1e-4, "gamma": 0.3}
"""Of `GenerateConfig`. There is no augmentation: stacks are many, and a digit that is shifted is another picture."""
PRESET_SIZE = 32
"""The preset's networks are of this size, of which 8x8 takes the first two stages."""
RESULTS = ledger.FOLDER / "modes.jsonl"


def main() -> None:
    """Counts, prints and exits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", type=Path, help="a run of `train_generate`, or a checkpoint of one")
    parser.add_argument("--train", type=Path, metavar="RUNS", help="train a generator there for each seed")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=lambda text: [int(word) for word in text.split(",")], default=[0])
    parser.add_argument("--loss", default="relativistic")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: beside this package")
    args = parser.parse_args()
    digits = load_digits("b")
    classifier = train_classifier(digits)
    print(f"classifier: trained on {len(digits.labels)} digits, accuracy on the others "
          f"{accuracy_of(classifier, load_digits('a')):.4f}")
    problems = list(known(classifier, args.samples))
    if args.generator is not None:
        found = coverage(classifier, made(args.generator, args.samples))
        tell(str(args.generator), found)
        append(args.results, {"generator": args.generator.name, **dataclasses.asdict(found)})
    if args.train is not None:
        for seed in args.seed:
            trained(args, seed, classifier)
    print("\n".join(problems) or "the count holds on pictures known")
    sys.exit(FAILED if problems else DONE)


def known(classifier: nn.Module, samples: int) -> Iterator[str]:
    """Counts pictures whose modes are known, and gives what does not come out as it has to, a line each."""
    rng = np.random.default_rng(0)
    stacks = Stacks.draw(load_digits("a"), 2 * samples, seed=0)
    missing = np.isin(stacks.modes, rng.permutation(MODES)[:REMOVED])
    real = stacks.batch(np.arange(samples))
    counts = {"real stacks": coverage(classifier, real),
              f"without {REMOVED} modes": coverage(classifier, stacks.batch(np.flatnonzero(~missing)[:samples])),
              "noise": coverage(classifier, rng.integers(0, 256, real.shape, dtype=np.uint8)),
              **{f"blurred by {s:g}": coverage(classifier, blurred(real, s)) for s in BLURS}}
    for name, found in counts.items():
        tell(name, found)
    if counts["real stacks"].modes < FEWEST_REAL:
        yield f"real stacks: {counts['real stacks'].modes} modes, expected at least {FEWEST_REAL}"
    if counts["noise"].modes >= MOST_NOISE:
        yield f"noise: {counts['noise'].modes} modes, expected fewer than {MOST_NOISE}"
    if counts[f"without {REMOVED} modes"].modes > MOST_WITHOUT:
        yield f"without {REMOVED} modes: {counts[f'without {REMOVED} modes'].modes}, expected at most {MOST_WITHOUT}"


def blurred(images: Images, sigma: float) -> Images:
    """Each picture blurred, sigma in pixels."""
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images])


def trained(args: argparse.Namespace, seed: int, classifier: nn.Module) -> None:
    """Trains with a seed, or goes on with it, and counts; a seed that was counted already is left out."""
    row: dict[str, Any] = {"seed": seed, "minutes": args.minutes, "loss": args.loss, **TRAINING}
    if line_of(args.results, row) is not None:
        print(f"seed {seed}: counted already, see {args.results}")
        return
    run = args.train / f"seed-{seed}"
    torch.set_num_threads(1)
    generator, discriminator = networks_of(TRAINING["preset"], PRESET_SIZE)
    config = GenerateConfig(data="stacked digits", size=SIZE, minutes=args.minutes, clock="cpu", loss=args.loss,
                            seed=seed, augment=DiffAugment(flip=0.0, cutout=0.0, translate=0.0), generator=generator,
                            discriminator=discriminator, **TRAINING)  # `train_generate` sets the networks' size
    metrics = train_generate(config, run, pictures=Stacks.draw(load_digits("a"), TRAINED_ON, seed=1),
                             resume=(run / checkpoint.LAST).is_file())
    found = coverage(classifier, made(run, args.samples))
    tell(f"seed {seed}", found)
    append(args.results, {**row, **dataclasses.asdict(found), "healthy": metrics["healthy"],
                          "steps": metrics["steps"], "images": metrics["images"], "parameters": metrics["parameters"]})


def made(run: Path, count: int) -> Images:
    """Pictures of a run's averaged generator, (count, 8, 8, 3) uint8. Raises TrainingError where they have labels."""
    trained = checkpoint.load_trained(run)
    network = trained.network
    if not isinstance(network, Generator) or network.config.classes or network.config.size != SIZE:
        raise TrainingError(f"generator '{run}'", got=f"task {trained.task}, {trained.size_wh[0]}x{trained.size_wh[1]}"
                            f", {len(trained.names)} classes", expected=f"a generator of {SIZE}x{SIZE} without labels")
    return pictures_of(network, count, seed=1)


def tell(name: str, found: Coverage) -> None:
    """Prints a row."""
    print(f"{name:<24}{found.modes:>5} of {MODES} modes, KL {found.kl:.3f}, sure of {found.sure:.1%} of "
          f"{found.samples}", flush=True)


if __name__ == "__main__":
    main()
