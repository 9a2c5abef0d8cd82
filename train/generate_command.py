"""`epee train generate`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from ..runtime.cli import DONE, FAILED, Report
from ..runtime.errors import ConfigError, need
from .options import given_of, next_run, resumed

FIELDS = ("data", "preset", "method", "loss", "size", "subset", "half", "batch", "gamma", "seed")
BUDGETS = ("minutes", "steps", "images")


def arguments(generate: argparse.ArgumentParser) -> None:
    """Adds the task's options."""
    generate.add_argument("--data", help="a folder or a .zip of pictures")
    generate.add_argument("--classes", action="store_true", default=None,
                          help="the first folder of a picture is its label")
    generate.add_argument("--subset", help="only what lies below this folder of --data, e.g. train")
    generate.add_argument("--half", choices=["a", "b"],
                          help="only one half, by a hash of each name; what scores the generator may have the other")
    generate.add_argument("--size", type=int, choices=[32, 64], help="height and width of the pictures (default: 32)")
    generate.add_argument("--out", type=Path, help="the run's folder (default: runs/generate-N)")
    generate.add_argument("--preset", help="nano or small (default: nano)")
    generate.add_argument("--method", choices=["gan", "vae"], help="vae: the same decoder, trained as a variational "
                          "autoencoder (default: gan)")
    generate.add_argument("--loss", help="relativistic, minimax, nonsaturating, hinge or wasserstein "
                          "(default: relativistic)")
    generate.add_argument("--minutes", type=float, help="budget in minutes (default: 60)")
    generate.add_argument("--steps", type=int, help="budget in steps")
    generate.add_argument("--images", type=int, help="budget in pictures seen")
    generate.add_argument("--batch", type=int, help="pictures a step (default: 64)")
    generate.add_argument("--learning-rate", type=float, help="at the beginning; it falls to a quarter (default: 4e-4)")
    generate.add_argument("--gamma", type=float, help="weight of R1 and R2, 0 for none (default: by the size)")
    generate.add_argument("--no-flip", action="store_true", default=None,
                          help="no left-right flips: for digits, letters, and whatever has a side")
    generate.add_argument("--seed", type=int, help="of initial weights, order, latents and augmentation (default: 0)")
    generate.add_argument("--resume", action="store_true",
                          help="go on from the last checkpoint of --out, with its own configuration")


def run(args: argparse.Namespace) -> Report:
    """Trains; exit status 3 where the training collapsed or diverged and was given up."""
    for module in ("torch", "safetensors", "cv2", "tensorboard"):
        need(module)
    from .generate import train_generate

    config, out = _configuration(args)
    metrics = train_generate(config, out, resume=args.resume)
    text = f"diversity {metrics['diversity']:.2f} of the real pictures'\nweights, metrics, pictures and video: {out}"
    if metrics["healthy"]:
        return Report(metrics, text, DONE)
    return Report(metrics, f"given up at step {metrics['steps']}: {metrics['problem']}; try a smaller --learning-rate "
                  f"or a larger --gamma\n{text}", FAILED)


def _configuration(args: argparse.Namespace) -> tuple[Any, Path]:
    from .diffaug import DiffAugment
    from .generate_presets import GenerateConfig, networks_of

    given, budget = given_of(args, FIELDS), given_of(args, BUDGETS)
    if args.classes:
        given["classes"] = True
    if args.learning_rate is not None:
        given |= {"rate_first": args.learning_rate, "rate_last": args.learning_rate / 4}
    if args.no_flip:
        given["augment"] = dataclasses.replace(DiffAugment(), flip=0.0)
    if args.resume:
        return resumed(GenerateConfig, args, given, budget, BUDGETS)
    if args.data is None:
        raise ConfigError("--data", got="nothing", expected="a folder or a .zip of pictures")
    preset = args.preset or "nano"
    generator, discriminator = networks_of(preset, given.setdefault("size", 32))
    given |= {"preset": preset, "generator": generator, "discriminator": discriminator}
    return GenerateConfig(**given, **(budget or {"minutes": 60.0})), args.out or next_run("generate")
