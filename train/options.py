"""What the commands of all training tasks share: the run's folder, and a resumed configuration."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..runtime.errors import ConfigError

C = TypeVar("C")


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
    from .config import read_toml

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
