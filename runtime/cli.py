"""The `epee` command: a table of lazy commands, and what holds for all of them.

Exit status: 0 done; 3 measured and failed; 1 one clear error line; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

DONE, ERROR, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130

COMMANDS: dict[str, tuple[str, str]] = {
    "doctor": ("epee.runtime.commands:DOCTOR", "say which backends and devices work here, and why others do not"),
    "train": ("epee.train.commands:TRAIN", "train a network on your pictures"),
    "export": ("epee.export.commands:EXPORT", "turn a trained network into a bundle"),
    "eval": ("epee.runtime.commands:EVAL", "score a bundle on a data set"),
    "run": ("epee.runtime.commands:RUN", "stream a source through a bundle into sinks"),
    "generate": ("epee.runtime.commands:GENERATE", "stream what a generator makes, walks, grids or seeds, into sinks"),
    "bench": ("epee.benchmarks.commands:BENCH", "measure speed and quality of a bundle's variants on every backend"),
    "tune": ("epee.runtime.commands:TUNE", "find the fastest backend and variant that answer right here, for auto"),
    "inspect": ("epee.runtime.commands:INSPECT", "show what is in a bundle"),
    "verify": ("epee.runtime.commands:VERIFY", "check that a bundle is whole and answers its goldens here"),
    "demo": ("epee.benchmarks.commands:DEMO", "the whole way on a synthetic street: train, export, run, score, bench"),
}
"""Name -> (module:attribute, one line of help). Nothing is imported before its command is called."""


@dataclass(frozen=True)
class Report:
    """What a command ends with.

    Attributes:
        json: the one object that `--json` prints; None prints nothing.
        text: what a person reads on standard output without `--json`.
        status: exit status, DONE or FAILED.
    """

    json: Any
    text: str = ""
    status: int = DONE


@dataclass(frozen=True)
class Command:
    """A command as its room declares it: adds its arguments to a parser, and runs on the parsed ones."""

    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Report]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and gives the exit status."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # wherever it comes, while a room is imported, too
        print("epee: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(words: list[str]) -> int:
    name = next((w for w in words if not w.startswith("-")), None)
    command = _load(name) if name in COMMANDS else None
    args = _parser(name if command else None, command).parse_args(words)
    if command is None:
        _parser(None, None).print_help()
        return USAGE
    return _guarded(command, args)


def _guarded(command: Command, args: argparse.Namespace) -> int:
    from .errors import EpeeError

    try:
        report = command.run(args)
        if args.json and report.json is not None:
            print(json.dumps(report.json, allow_nan=False, default=_plain))
        elif report.text and not args.json:
            print(report.text)
        sys.stdout.flush()
        return report.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except EpeeError as error:
        if args.debug:
            raise
        print(f"epee: {error}", file=sys.stderr)
        return ERROR
    except Exception as error:
        if args.debug:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"epee: unexpected {type(error).__name__}: {text[:300]}; --debug shows where, please report it",
              file=sys.stderr)
        return ERROR


def _load(name: str) -> Command:
    module, _, attribute = COMMANDS[name][0].partition(":")
    command: Command = getattr(importlib.import_module(module), attribute)
    return command


def _parser(name: str | None, command: Command | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="epee", description="Train small picture networks, export them to bundles, "
                                     "run them live, compare backends.", epilog="`epee COMMAND --help` tells more.")
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(metavar="COMMAND", required=False)
    for known, (_, line) in COMMANDS.items():
        sub = commands.add_parser(known, help=line, description=line[0].upper() + line[1:] + ".")
        if known == name and command is not None:
            command.arguments(sub)
            add_common(sub)
    return parser


def add_common(parser: argparse.ArgumentParser) -> None:
    """Adds what every command takes; nested parsers call it too."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output, nothing else")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def parse_size(text: str) -> tuple[int, int]:
    """`480x360` -> (480, 360), width first. Raises ConfigError for anything else."""
    from .errors import ConfigError

    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ConfigError("size", got=repr(text), expected="WIDTHxHEIGHT, e.g. 480x360")
    return int(width), int(height)


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"epee {version('epee')}")
        parser.exit()


def _plain(value: Any) -> Any:
    """Turns numpy scalars and paths into what JSON knows."""
    return value.item() if hasattr(value, "item") else str(value)
