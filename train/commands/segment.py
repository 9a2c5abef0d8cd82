"""`epee train segment`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from ...runtime.cli import Report, parse_size
from ...runtime.errors import ConfigError
from ...runtime.settings import from_dict, read_toml
from .options import given_of, need_training, next_run, resumed, run_options

RECIPE_OPTIONS = ("batch", "accumulate", "learning_rate", "seed", "train_count", "val_count", "leave_out", "teacher")


def arguments(segment: argparse.ArgumentParser) -> None:
    """Adds the task's options."""
    segment.add_argument("--data", help="dataset YAML, or synthetic:street")
    segment.add_argument("--preset", default=None, help="nano, small, or teacher for --teacher (default: small, or "
                         "what --init was trained from)")
    segment.add_argument("--config", type=Path, metavar="RECIPE.toml", help="fields in place of the preset's, e.g. a "
                         "run's config.toml, or a few of its lines; options given here go first")
    segment.add_argument("--init", metavar="WEIGHTS", help="fine-tune from a bundle's name, a bundle, a run or a "
                         "checkpoint: what fits is taken, the head is new where the classes differ")
    segment.add_argument("--teacher", metavar="RUN", help="learn also from the answers of a larger trained network")
    segment.add_argument("--leave-out", type=words, metavar="PREFIX", help="training pictures whose names begin so, "
                         "several with commas, are scored on instead of val and not learned from; `val` adds val")
    segment.add_argument("--unlabelled", action="append", metavar="DIR", help="pictures (or videos) without labels, "
                         "learned from by what the averaged network, or --teacher, is sure of; may be repeated")
    segment.add_argument("--adversarial", nargs="?", const="pixels", metavar="FORM", help="with a discriminator of "
                         "class maps for the last part: features, holistic or pixels (default: pixels)")
    segment.add_argument("--epochs", type=int, help="budget in passes over the pictures")
    segment.add_argument("--steps", type=int, help="budget in steps")
    segment.add_argument("--size", help="WIDTHxHEIGHT to train at (default: the pictures' own)")
    segment.add_argument("--accumulate", type=int, metavar="PARTS", help="compute a batch in so many parts, one after "
                         "the other, to save memory (default: 1, with torchrun one a process)")
    segment.add_argument("--learning-rate", type=float, help="peak learning rate")
    segment.add_argument("--train-count", type=int, help="only the first so many training pictures")
    segment.add_argument("--val-count", type=int, help="only the first so many validation pictures")
    run_options(segment, "segment", batch="pictures a step, in all processes together", seed="",
                minutes="30, with --init 10")


def run(args: argparse.Namespace) -> Report:
    """Trains."""
    need_training()
    from ..processes import joined
    from ..segment import train_segment

    with joined() as processes:
        config, out = processes.from_first(_configuration, args)
        metrics = train_segment(config, out, resume=args.resume, processes=processes)
    if not processes.first:
        return Report(None)
    miou = metrics["miou"]
    scored = f"mIoU {miou:.4f} on {metrics['scored']}\n" if miou is not None else ""
    return Report(metrics, f"{scored}weights, metrics and pictures: {out}\n"
                  f"next: epee export {out} --out {out.name}.epee")


def words(text: str) -> tuple[str, ...]:
    """`a,b` -> (a, b)."""
    return tuple(word for word in text.split(",") if word)


def _configuration(args: argparse.Namespace) -> tuple[Any, Path]:
    from ..adversary import form_of
    from ..presets.segment import BUDGETS, SegmentConfig

    given, budget = given_of(args, RECIPE_OPTIONS), given_of(args, BUDGETS)
    if args.size:
        given["size_wh"] = parse_size(args.size)
    if args.unlabelled:
        given["unlabelled"] = tuple(args.unlabelled)
    if args.resume:
        own = given_of(args, ("data", "preset", "init", "adversarial"))
        return resumed(SegmentConfig, args, given | own, budget, BUDGETS)
    named = {} if args.config is None else read_toml(args.config)
    data = args.data or named.get("data")
    if data is None:
        raise ConfigError("--data", got="nothing", expected="a dataset YAML, or synthetic:street")
    budget = budget or {name: named[name] for name in BUDGETS if name in named}
    config = SegmentConfig(data=data, **(budget or {"minutes": 10.0 if args.init else 30.0}))
    config = dataclasses.replace(config, **_preset(args.preset or named.get("preset"), args.init or ""))
    table = named.get("adversary", {})
    form = args.adversarial or (str(table.get("form", "")) if isinstance(table, dict) else "")
    if form:
        config = dataclasses.replace(config, adversary=form_of(form))
        if isinstance(table, dict) and table.get("form", form) != form:
            named = {**named, "adversary": {}}  # settings of another form
    if named:
        kept = {key: value for key, value in named.items() if key not in (*BUDGETS, "data", "preset")}
        config = from_dict(SegmentConfig, _merged(dataclasses.asdict(config), kept), where=str(args.config))
    return dataclasses.replace(config, **given), args.out or next_run("segment")


def _merged(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Fields with changes, tables within tables."""
    return fields | {key: _merged(fields[key], value) if isinstance(value, dict) and key in fields else value
                     for key, value in changes.items()}


def _preset(name: str | None, init: str) -> dict[str, Any]:
    """Fields of a SegmentConfig: the preset's, and where weights are named, their network's unless a preset is."""
    from ..initial import load_initial
    from ..presets.segment import FINE_TUNING, NETWORKS, RECIPES, check_preset

    if not init:
        check_preset(name or "small")
        return {"preset": name or "small", "network": NETWORKS[name or "small"], **RECIPES[name or "small"]}
    trained = load_initial(init)
    preset = name or str(trained.provenance["preset"])
    check_preset(preset)
    network = NETWORKS[preset] if name else trained.network.config
    return {"preset": preset, "network": network, "init": init, **RECIPES[preset], **FINE_TUNING}
