"""`epee train TASK`."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from pathlib import Path
from typing import Any

from ..runtime.cli import Command, Report
from ..runtime.errors import ConfigError, need

RECIPE_OPTIONS = ("batch", "learning_rate", "seed", "train_count", "val_count")


def _arguments(parser: argparse.ArgumentParser) -> None:
    from ..runtime.cli import add_common

    tasks = parser.add_subparsers(metavar="TASK", dest="task", required=True)
    segment = tasks.add_parser("segment", help="train a segmentation network",
                               description="Train a segmentation network on labelled pictures.")
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
    add_common(segment)


def _run(args: argparse.Namespace) -> Report:
    for module in ("torch", "safetensors", "cv2", "tensorboard"):
        need(module)
    from .segment import train_segment

    config, out = _configuration(args)
    metrics = train_segment(config, out, resume=args.resume)
    miou = metrics["miou"]
    return Report(metrics, f"val mIoU {miou:.4f}" * (miou is not None) + f"\nweights, metrics and pictures: {out}\n"
                  f"next: epee export {out} --out {out.name}.epee")


def _configuration(args: argparse.Namespace) -> tuple[Any, Path]:
    from .config import read_toml
    from .presets import NETWORKS, RECIPES, SegmentConfig, check_preset

    given = {k: getattr(args, k) for k in RECIPE_OPTIONS if getattr(args, k) is not None}
    budget = {k: getattr(args, k) for k in ("epochs", "minutes") if getattr(args, k) is not None}
    if args.size:
        from ..runtime.cli import parse_size

        given["size_wh"] = parse_size(args.size)
    if args.resume:
        if args.out is None:
            raise ConfigError("--resume", got="no --out", do="name the run's folder with --out")
        config = read_toml(SegmentConfig, args.out / "config.toml")
        given |= {k: getattr(args, k) for k in ("data", "preset") if getattr(args, k) is not None}
        for key, value in given.items():
            if getattr(config, key) != value:
                raise ConfigError(f"--resume: {key.replace('_', ' ')}", got=value, expected=getattr(config, key),
                                  do="leave it out, or start a new run")
        if budget:
            config = dataclasses.replace(config, **({"epochs": None, "minutes": None} | budget))
        return config, args.out
    if args.data is None:
        raise ConfigError("--data", got="nothing", expected="a dataset YAML, or synthetic:street")
    preset = args.preset or "small"
    check_preset(preset)
    config = functools.reduce(lambda c, more: dataclasses.replace(c, **more), (dict(RECIPES[preset]), given),
                              SegmentConfig(data=args.data, preset=preset, network=NETWORKS[preset],
                                            **(budget or {"minutes": 30.0})))
    return config, args.out or _next_run()


def _next_run() -> Path:
    n = 1
    while (folder := Path("runs") / f"segment-{n}").exists():
        n += 1
    return folder


TRAIN = Command(_arguments, _run)
