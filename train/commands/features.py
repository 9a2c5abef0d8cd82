"""`epee train features`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...runtime.cli import Report
from ...runtime.errors import ConfigError
from .options import given_of, need_training, next_run, resumed, run_options

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
    features.add_argument("--epochs", type=int, help="budget in passes over the pictures")
    features.add_argument("--learning-rate", type=float, help="peak learning rate (default: 4e-3)")
    run_options(features, "features", batch="pictures a step (default: 64)", seed="", minutes="30")


def run(args: argparse.Namespace) -> Report:
    """Trains."""
    need_training()
    from ..features import train_features

    config, out = _configuration(args)
    metrics = train_features(config, out, resume=args.resume)
    return Report(metrics, f"test accuracy {metrics['accuracy']:.4f}\nweights and metrics: {out}\n"
                  f"next: epee export {out} --out {out.name}.epee")


def _configuration(args: argparse.Namespace) -> tuple[Any, Path]:
    from ..features import FeaturesConfig

    given, budget = given_of(args, FIELDS), given_of(args, BUDGETS)
    if args.resume:
        return resumed(FeaturesConfig, args, given, budget, BUDGETS)
    if args.data is None:
        raise ConfigError("--data", got="nothing", expected="a folder or a .zip of pictures")
    return FeaturesConfig(**given, **(budget or {"minutes": 30.0})), args.out or next_run("features")
