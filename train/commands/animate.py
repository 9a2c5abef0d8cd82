"""`epee train animate`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from ...runtime.cli import Report
from ...runtime.errors import ConfigError
from .options import ended, given_of, need_training, next_run, rates_of, resumed, run_options

FIELDS = ("data", "preset", "loss", "size", "crop", "batch", "gamma", "penalised", "seed")
BUDGETS = ("minutes", "steps")
FRAMES = 6
"""Of a clip, where nobody says."""


def arguments(animate: argparse.ArgumentParser) -> None:
    """Adds the task's options."""
    animate.add_argument("--data", help="a video, or a folder: each video in it, and each folder of pictures, is a "
                         "clip")
    animate.add_argument("--frames", type=int, help="consecutive frames that a discriminator sees together "
                         f"(default: {FRAMES})")
    animate.add_argument("--size", type=int, choices=[32, 64], help="height and width of the frames (default: 32)")
    animate.add_argument("--crop", type=int, metavar="PIXELS", help="cut frames into squares of so many pixels, each "
                         "with clips of its own where something moves (default: their centre square)")
    animate.add_argument("--preset", help="nano or small (default: nano)")
    animate.add_argument("--loss", help="relativistic, minimax, nonsaturating, hinge or wasserstein "
                         "(default: relativistic)")
    animate.add_argument("--steps", type=int, help="budget in steps")
    animate.add_argument("--learning-rate", metavar="FIRST[:LAST]", help="FIRST alone falls to a quarter "
                         "(default: 4e-4)")
    animate.add_argument("--gamma", type=float, help="weight of R1 and R2, 0 for none (default: by the size)")
    animate.add_argument("--penalised", choices=["both", "real"], help="of which clips R1 and R2 are (default: both)")
    animate.add_argument("--flip", action="store_true", default=None,
                         help="left-right flips of whole clips: for whatever has no side and no direction")
    run_options(animate, "animate", batch="clips a step (default: 32)", seed=", noise", minutes="60")


def run(args: argparse.Namespace) -> Report:
    """Trains; exit status 3 where the training collapsed or diverged and was given up."""
    need_training()
    from ..animate import train_animate

    config, out = _configuration(args)
    metrics = train_animate(config, out, resume=args.resume)
    text = (f"diversity {metrics['diversity']:.2f} and motion {metrics['motion']:.2f} of the real clips'\n"
            f"weights, metrics, pictures and videos: {out}\nnext: epee export {out} --out {out.name}.epee")
    return ended(metrics, text, "a smaller --learning-rate or a larger --gamma")


def _configuration(args: argparse.Namespace) -> tuple[Any, Path]:
    from ..presets.animate import AnimateConfig, networks_of

    given, budget = given_of(args, FIELDS), given_of(args, BUDGETS)
    given |= rates_of(args.learning_rate, 0.25)
    if args.flip:
        given["augment"] = dataclasses.replace(AnimateConfig(data="", steps=1).augment, flip=0.5)
    if args.resume:
        if args.frames is not None:
            raise ConfigError("--resume: --frames", got=args.frames, do="leave it out, or start a new run")
        return resumed(AnimateConfig, args, given, budget, BUDGETS)
    if args.data is None:
        raise ConfigError("--data", got="nothing", expected="a video, or a folder of clips")
    preset = given.setdefault("preset", "nano")
    animator, discriminator = networks_of(preset, given.setdefault("size", 32), args.frames or FRAMES)
    given |= {"animator": animator, "discriminator": discriminator}
    return AnimateConfig(**given, **(budget or {"minutes": 60.0})), args.out or next_run("animate")
