"""`epee train generate`."""

from __future__ import annotations

import argparse
import dataclasses
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.cli import Report
from ...runtime.errors import ConfigError
from .options import ended, given_of, need_training, next_run, rates_of, resumed, run_options

if TYPE_CHECKING:
    from ..generate import Score
    from ..presets.generate import GenerateConfig

FIELDS = ("data", "preset", "method", "loss", "size", "subset", "half", "batch", "gamma", "penalised",
          "seed")
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
    generate.add_argument("--preset", help="pico, nano or small (default: nano)")
    generate.add_argument("--method", choices=["gan", "vae"], help="vae: the same decoder, trained as a variational "
                          "autoencoder (default: gan)")
    generate.add_argument("--loss", help="relativistic, minimax, nonsaturating, hinge or wasserstein "
                          "(default: relativistic)")
    generate.add_argument("--steps", type=int, help="budget in steps")
    generate.add_argument("--images", type=int, help="budget in pictures seen")
    generate.add_argument("--learning-rate", metavar="FIRST[:LAST]", help="FIRST alone falls to a tenth "
                         "(default: 1e-3)")
    generate.add_argument("--gamma", type=float, help="weight of R1 and R2, 0 for none (default: by the size)")
    generate.add_argument("--penalised", choices=["both", "real"], help="of which pictures R1 and R2 are: real "
                          "ones alone is R1 (default: both)")
    generate.add_argument("--test", metavar="SUBSET", help="score on the way against the pictures below this folder of "
                          "--data, which are not trained on, e.g. test")
    generate.add_argument("--extractor", metavar="E", help="features for --test (default: what `epee eval` takes)")
    generate.add_argument("--no-flip", action="store_true", default=None,
                          help="no left-right flips: for digits, letters, and whatever has a side")
    run_options(generate, "generate", batch="pictures a step (default: 32)", seed=", latents", minutes="60")


def run(args: argparse.Namespace) -> Report:
    """Trains; exit status 3 where the training collapsed or diverged and was given up."""
    need_training()
    from ..generate import train_generate

    config, out = _configuration(args)
    with ExitStack() as opened:
        score = None if args.test is None else _score(args, config, opened)
        metrics = train_generate(config, out, score=score, resume=args.resume)
    scores = "".join(f"{name} {value:.5f}\n" for name, value in metrics["scores"].items())
    text = (f"{scores}diversity {metrics['diversity']:.2f} of the real pictures'\n"
            f"weights, metrics, pictures and video: {out}")
    return ended(metrics, text, "a smaller --learning-rate or a larger --gamma")


def _score(args: argparse.Namespace, config: GenerateConfig, opened: ExitStack) -> Score:
    """What scores the generator on the way. Raises ConfigError where the pictures would be those it learns from."""
    from ...runtime.picture_sets import open_pictures
    from ...runtime.quality import SHIPPED
    from ...runtime.quality.extractor import open_extractor
    from ...runtime.quality.scoring import Judge
    from ..scoring import scoring

    if config.subset is None or config.subset == args.test:
        raise ConfigError("--test", got=f"'{args.test}', and --subset {config.subset or 'of all pictures'}",
                          expected="folders apart, e.g. --subset train --test test",
                          do="scores need pictures that were not learned")
    extractor = opened.enter_context(open_extractor(args.extractor or SHIPPED))
    return scoring(Judge(extractor, open_pictures(config.data, config.size, subset=args.test).images))


def _configuration(args: argparse.Namespace) -> tuple[Any, Path]:
    from ..diffaug import DiffAugment
    from ..presets.generate import GenerateConfig, networks_of

    given, budget = given_of(args, FIELDS), given_of(args, BUDGETS)
    if args.classes:
        given["classes"] = True
    given |= rates_of(args.learning_rate, 0.1)
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
