"""What the commands of all training tasks share: options, a resumed configuration, and how a run's end is told."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ...runtime.cli import DONE, FAILED, Report
from ...runtime.errors import ConfigError, need

C = TypeVar("C")
MODULES = ("torch", "safetensors", "cv2", "tensorboard")


def run_options(parser: argparse.ArgumentParser, task: str, *, batch: str, seed: str, minutes: str) -> None:
    """Adds the options that every task has.

    Args:
        parser: the task's.
        task: its name, which runs are called by.
        batch: what a step has so many of, and how many where nobody says.
        seed: what it is of.
        minutes: the budget where nobody names one.
    """
    parser.add_argument("--out", type=Path, help=f"the run's folder (default: runs/{task}-N)")
    parser.add_argument("--minutes", type=float, help=f"budget in minutes (default: {minutes})")
    parser.add_argument("--batch", type=int, help=batch)
    parser.add_argument("--seed", type=int, help=f"of initial weights, order{seed} and augmentation (default: 0)")
    parser.add_argument("--resume", action="store_true",
                        help="go on from the last checkpoint of --out, with its own configuration")


def rates_of(text: str | None, share: float) -> dict[str, float]:
    """`FIRST:LAST`, or `FIRST`, which falls to a share of itself -> `rate_first` and `rate_last`; None -> nothing.

    Raises:
        ConfigError: no positive numbers.
    """
    if text is None:
        return {}
    first, colon, last = text.partition(":")
    try:
        rates = {"rate_first": float(first), "rate_last": float(last) if colon else float(first) * share}
    except ValueError:
        rates = {}
    if not rates or not all(0.0 < rate < float("inf") for rate in rates.values()):
        raise ConfigError("--learning-rate", got=repr(text), expected="FIRST or FIRST:LAST, e.g. 1e-3:1e-4")
    return rates


def need_training() -> None:
    """Raises an error that names the first module that training needs and that is not installed."""
    for module in MODULES:
        need(module)


def ended(metrics: dict[str, Any], text: str, remedy: str) -> Report:
    """How an adversarial training ended: with exit status 3 where it was given up.

    Args:
        metrics: with `healthy`, `problem` and `steps`.
        text: what else a person reads.
        remedy: which options may help.
    """
    if metrics["healthy"]:
        return Report(metrics, text, DONE)
    return Report(metrics, f"given up at step {metrics['steps']}: {metrics['problem']}; try {remedy}\n{text}", FAILED)


def given_of(args: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """The options of these names that were given."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def resumed(cls: type[C], args: argparse.Namespace, given: Mapping[str, Any], budget: Mapping[str, Any],
            budgets: Iterable[str]) -> tuple[C, Path]:
    """The configuration of the run that `--out` names; only its budget may be changed.

    Args:
        cls: the task's configuration.
        args: with `out`.
        given: fields that were given again, which have to be the run's own.
        budget: the new budget, or nothing.
        budgets: names of the fields of which one is the budget.

    Raises:
        ConfigError: no `--out`, or a setting that is not the run's.
    """
    from ..config import read_toml

    if args.out is None:
        raise ConfigError("--resume", got="no --out", do="name the run's folder with --out")
    config = read_toml(cls, args.out / "config.toml")
    for key, value in given.items():
        if getattr(config, key) != value:
            raise ConfigError(f"--resume: {key.replace('_', ' ')}", got=value, expected=getattr(config, key),
                              do="leave it out, or start a new run")
    if budget:
        config = dataclasses.replace(config, **(dict.fromkeys(budgets) | dict(budget)))  # type: ignore[type-var]
    return config, args.out


def started_processes() -> int:
    """How many processes torchrun started together with this one, itself included; 1 without torchrun."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def next_run(task: str) -> Path:
    """`runs/TASK-N`, the first that is not there."""
    n = 1
    while (folder := Path("runs") / f"{task}-{n}").exists():
        n += 1
    return folder
