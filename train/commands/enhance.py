"""`epee train enhance`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...runtime.cli import Report
from ...runtime.errors import ConfigError
from .options import ended, given_of, need_training, next_run, rates_of, resumed, run_options

FIELDS = ("data", "val", "preset", "start", "crop", "batch", "adversarial", "adversarial_weight", "interpolation",
          "loss", "seed")
BUDGETS = ("minutes", "steps")


def arguments(enhance: argparse.ArgumentParser) -> None:
    """Adds the task's options."""
    enhance.add_argument("--data", help="a folder of good pictures, or a video")
    enhance.add_argument("--val", help="pictures to be scored on (default: the last twentieth of --data, held back)")
    enhance.add_argument("--preset", help="nano, small or base (default: nano)")
    enhance.add_argument("--scale", type=int, help="how many times larger the output is, 1 to 4 (default: 2)")
    enhance.add_argument("--cell", type=int, help="the network works on cells of so many pixels a side, 1, 2 or 4: "
                         "2 takes less than half of the time and sees twice as far (default: 1)")
    enhance.add_argument("--damage", help="what else is to be undone: none, noise[:2-25], jpeg[:30-60] or camera, "
                         "which is blur, noise and JPEG of many strengths (default: none)")
    enhance.add_argument("--start", help="a run or checkpoint whose weights to begin with")
    enhance.add_argument("--steps", type=int, help="budget in steps")
    enhance.add_argument("--crop", type=int, help="height and width of training crops (default: 96)")
    enhance.add_argument("--learning-rate", metavar="FIRST[:LAST]", help="FIRST alone falls to a hundredth "
                         "(default: 2e-3)")
    enhance.add_argument("--adversarial", type=float, metavar="SHARE", help="share of the budget, at its end, in which "
                         "a discriminator has a say: sharper, and fewer dB (default: 0)")
    enhance.add_argument("--adversarial-weight", type=float, help="beside 1 for the pixels (default: 0.1)")
    enhance.add_argument("--interpolation", type=float, metavar="SHARE", help="how far the network that is kept goes "
                         "from the pixel stage's weights to the adversarial ones, 0 to 1 (default: 0.8)")
    enhance.add_argument("--loss", help="the adversarial loss (default: relativistic)")
    run_options(enhance, "enhance", batch="crops a step (default: 16)", seed=", crops, damage", minutes="30")


def run(args: argparse.Namespace) -> Report:
    """Trains; exit status 3 where the training diverged and was given up."""
    need_training()
    from ..enhance import train_enhance

    config, out = _configuration(args)
    metrics = train_enhance(config, out, resume=args.resume)
    text = (f"held-out PSNR {metrics['psnr']:.2f} dB, of what went in {metrics['input_psnr']:.2f} dB\n"
            f"weights, metrics and pictures: {out}\nnext: epee export {out} --out {out.name}.epee")
    return ended(metrics, text, "a smaller --learning-rate or --adversarial-weight")


def _configuration(args: argparse.Namespace) -> tuple[Any, Path]:
    from ..degrade import parse_damage
    from ..presets.enhance import EnhanceConfig, network_of

    given, budget = given_of(args, FIELDS), given_of(args, BUDGETS)
    if args.damage is not None:
        given["damage"] = parse_damage(args.damage)
    given |= rates_of(args.learning_rate, 0.01)
    if args.resume:
        for option in ("scale", "cell"):
            if getattr(args, option) is not None:
                raise ConfigError(f"--resume: --{option}", got=getattr(args, option),
                                  do="leave it out, or start a new run")
        return resumed(EnhanceConfig, args, given, budget, BUDGETS)
    if args.data is None:
        raise ConfigError("--data", got="nothing", expected="a folder of good pictures, or a video")
    preset = given.setdefault("preset", "nano")
    scale, cell = (default if value is None else value for value, default in ((args.scale, 2), (args.cell, 1)))
    given["network"] = network_of(preset, scale, cell)
    return EnhanceConfig(**given, **(budget or {"minutes": 30.0})), args.out or next_run("enhance")
