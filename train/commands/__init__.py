"""`epee train TASK`: a table of lazy tasks."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from ...runtime.cli import Command, Report, add_common
from ...runtime.errors import ConfigError
from .options import started_processes

TASKS = {
    "segment": "train a segmentation network on labelled pictures",
    "generate": "train a generator on a folder or a zip of pictures",
    "translate": "train a translator: pictures into pictures, by pairs or in a style",
    "enhance": "train an enhancer: larger, cleaner or sharper pictures",
    "animate": "train an animator: short video of its own, from folders of clips or videos",
    "features": "train a feature extractor, to score generators by",
}
"""Name of a task, and of its module here with `arguments` and `run` -> one line of help."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_subparsers(metavar="TASK", dest="task", required=True)
    for name, line in TASKS.items():
        task = tasks.add_parser(name, help=line, description=line[0].upper() + line[1:] + ".")
        _module(name).arguments(task)
        add_common(task)


def _run(args: argparse.Namespace) -> Report:
    if args.task != "segment" and started_processes() > 1:
        raise ConfigError(f"train {args.task}", got=f"{started_processes()} processes by torchrun", expected="one",
                          do="only `train segment` is trained by several; start it without torchrun")
    report: Report = _module(args.task).run(args)
    return report


def _module(name: str) -> Any:
    return importlib.import_module(f".{name}", __package__)


TRAIN = Command(_arguments, _run)
