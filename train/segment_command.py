"""`epee train segment`."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from pathlib import Path
from typing import Any

from ..runtime.cli import Report, parse_size
from ..runtime.errors import ConfigError, need
from .options import given_of, next_run, resumed

RECIPE_OPTIONS = ("batch", "learning_rate", "seed", "train_count", "val_count")
BUDGETS = ("epochs", "minutes")


def arguments(segment: argparse.ArgumentParser) -> None:
    """Adds the task's options."""
    segment.add_argument("--data", help="dataset YAML, or synthetic:street")
    segment.add_argument("--out", type=Path, help="the run's folder (default: runs/segment-N)")
    segment.add_argument("--preset", default=None, help="nano or small (default: small)")
    segment.add_argument("--epochs", type=int, help="budget in passes over the pictures")
    segment.add_argument("--minutes", type=float, help="budget in minutes (default: 30)")
    segment.add_argument("--size", help="WIDTHxHEIGHT to train at (default: the pictures' own)")
    segment.add_argument("--batch", type=int, help="pictures a step")
    segment.add_argument("--learning-rate", type=float, help="peak learning rate")
    segment.add_argument("--train-count", type=int, help="only the first so many training pictures")
    segment.add_argument("--val-count", type=int, help="only the first so many validation pictures")
    segment.add_argument("--seed", type=int, help="of initial weights, order and augmentation (default: 0)")
    segment.add_argument("--resume", action="store_true",
                         help="go on from the last checkpoint of --out, with its own configuration")


def run(args: argparse.Namespace) -> Report:
    """Trains."""
    for module in ("torch", "safetensors", "cv2", "tensorboard"):
        need(module)
    from .segment import train_segment

    config, out = _configuration(args)
    metrics = train_segment(config, out, resume=args.resume)
    miou = metrics["miou"]
    return Report(metrics, f"val mIoU {miou:.4f}" * (miou is not None) + f"\nweights, metrics and pictures: {out}\n"
                  f"next: epee export {out} --out {out.name}.epee")


def _configuration(args: argparse.Namespace) -> tuple[Any, Path]:
    from .presets import NETWORKS, RECIPES, SegmentConfig, check_preset

    given, budget = given_of(args, RECIPE_OPTIONS), given_of(args, BUDGETS)
    if args.size:
        given["size_wh"] = parse_size(args.size)
    if args.resume:
        return resumed(SegmentConfig, args, given | given_of(args, ("data", "preset")), budget, BUDGETS)
    if args.data is None:
        raise ConfigError("--data", got="nothing", expected="a dataset YAML, or synthetic:street")
    preset = args.preset or "small"
    check_preset(preset)
    config = functools.reduce(lambda c, more: dataclasses.replace(c, **more), (dict(RECIPES[preset]), given),
                              SegmentConfig(data=args.data, preset=preset, network=NETWORKS[preset],
                                            **(budget or {"minutes": 30.0})))
    return config, args.out or next_run("segment")
