"""`epee train translate`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...runtime.cli import Report
from ...runtime.errors import ConfigError
from .options import ended, given_of, need_training, next_run, rates_of, resumed, run_options

FIELDS = ("data", "target", "input", "val", "val_target", "preset", "size", "batch", "loss", "pixel_weight", "seed")
BUDGETS = ("minutes", "steps")


def arguments(translate: argparse.ArgumentParser) -> None:
    """Adds the task's options."""
    translate.add_argument("--data", help="a folder of inputs; without --target, of pictures with both side by side")
    translate.add_argument("--target", help="a folder of targets, with the inputs' names")
    translate.add_argument("--input", choices=["left", "right"], help="which half is the input (default: left)")
    translate.add_argument("--unpaired", action="store_true", default=None, help="inputs have no targets of their own; "
                           "--target is a manner to take on, e.g. pictures in a style")
    translate.add_argument("--val", help="as --data, to be looked at and scored on (default: the last twentieth of "
                           "--data, held back)")
    translate.add_argument("--val-target", help="as --target, for --val")
    translate.add_argument("--preset", help="pico, nano or small (default: nano)")
    translate.add_argument("--size", type=int, help="height and width of training crops (default: 128)")
    translate.add_argument("--steps", type=int, help="budget in steps")
    translate.add_argument("--learning-rate", metavar="FIRST[:LAST]", help="FIRST alone falls to a tenth "
                         "(default: 4e-4)")
    translate.add_argument("--loss", help="the adversarial loss (default: relativistic)")
    translate.add_argument("--pixel-weight", type=float, help="of the difference from the target (default: 10)")
    translate.add_argument("--no-adversarial", action="store_true", default=None,
                           help="no discriminator: the difference from the target alone")
    translate.add_argument("--no-flip", action="store_true", default=None,
                           help="no left-right flips: for whatever has a side")
    run_options(translate, "translate", batch="crops a step (default: 8)", seed=", crops", minutes="60")


def run(args: argparse.Namespace) -> Report:
    """Trains; exit status 3 where the training collapsed or diverged and was given up."""
    need_training()
    from ..translate import train_translate

    config, out = _configuration(args)
    metrics = train_translate(config, out, resume=args.resume)
    found = "" if metrics["psnr"] is None else f"held-out pairs: {metrics['psnr']:.2f} dB, L1 {metrics['l1']:.4f}\n"
    text = f"{found}weights, metrics, pictures and video: {out}\nnext: epee export {out} --out {out.name}.epee"
    return ended(metrics, text, "a smaller --learning-rate")


def _configuration(args: argparse.Namespace) -> tuple[Any, Path]:
    from ..presets.translate import TranslateConfig, network_of

    given, budget = given_of(args, FIELDS), given_of(args, BUDGETS)
    given |= rates_of(args.learning_rate, 0.1)
    for option, field, value in ((args.unpaired, "paired", False), (args.no_adversarial, "adversarial", False),
                                 (args.no_flip, "flip", 0.0)):
        if option:
            given[field] = value
    if args.resume:
        return resumed(TranslateConfig, args, given, budget, BUDGETS)
    if args.data is None:
        raise ConfigError("--data", got="nothing", expected="a folder of pictures")
    if args.val_target is not None and args.val is None:
        raise ConfigError("--val-target", got="no --val", do="name the inputs that it belongs to")
    preset = given.setdefault("preset", "nano")
    given["network"] = network_of(preset, skips=given.get("paired", True))
    return TranslateConfig(**given, **(budget or {"minutes": 60.0})), args.out or next_run("translate")
