"""`epee train features`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..runtime.cli import Report
from ..runtime.errors import ConfigError, need
from .options import given_of, next_run, resumed

FIELDS = ("data", "subset", "test", "half", "size", "batch", "learning_rate", "seed")
BUDGETS = ("epochs", "minutes")


def arguments(features: argparse.ArgumentParser) -> None:
    """Adds the task's options."""
    features.add_argument("--data", help="a folder or a .zip of pictures: SPLIT/CLASS/PICTURE")
    features.add_argument("--subset", help="the split to learn from (default: train)")
    features.add_argument("--test", help="the split to be scored on at the end (default: test)")
    features.add_argument("--half", choices=["a", "b"],
                          help="only one half of the split, by a hash of each name; a generator may have the other")
    features.add_argument("--size", type=int, help="height and width of the pictures (default: 32)")
    features.add_argument("--out", type=Path, help="the run's folder (default: runs/features-N)")
    features.add_argument("--epochs", type=int, help="budget in passes over the pictures")
    features.add_argument("--minutes", type=float, help="budget in minutes (default: 30)")
    features.add_argument("--batch", type=int, help="pictures a step (default: 64)")
    features.add_argument("--learning-rate", type=float, help="peak learning rate (default: 4e-3)")
    features.add_argument("--seed", type=int, help="of initial weights, order and augmentation (default: 0)")
    features.add_argument("--resume", action="store_true",
                          help="go on from the last checkpoint of --out, with its own configuration")


def run(args: argparse.Namespace) -> Report:
    """Trains."""
    for module in ("torch", "safetensors", "cv2", "tensorboard"):
        need(module)
    from .features import train_features

    config, out = _configuration(args)
    metrics = train_features(config, out, resume=args.resume)
    return Report(metrics, f"test accuracy {metrics['accuracy']:.4f}\nweights and metrics: {out}\n"
                  f"next: epee export {out} --out {out.name}.epee")


def _configuration(args: argparse.Namespace) -> tuple[Any, Path]:
    from .features import FeaturesConfig

    given, budget = given_of(args, FIELDS), given_of(args, BUDGETS)
    if args.resume:
        return resumed(FeaturesConfig, args, given, budget, BUDGETS)
    if args.data is None:
        raise ConfigError("--data", got="nothing", expected="a folder or a .zip of pictures")
    return FeaturesConfig(**given, **(budget or {"minutes": 30.0})), args.out or next_run("features")
