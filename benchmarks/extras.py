"""What `epee bench` does beside its own rows: `--compare`, `--save-baseline`, `--vs`, `--profile`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..runtime import machine
from ..runtime.bundle import Bundle
from ..runtime.errors import ConfigError
from . import baseline, compare, outsider, profile, versus
from .baseline import Baseline
from .compare import Comparison
from .matrix import Contestant, contestants, rows_of
from .profile import Profile
from .rows import OFFLINE, PIPELINE, SINGLE, Results, Row, Settings
from .versus import Contest, Rival

ROUNDS = 20
"""Of a comparison, unless asked otherwise: what finds 10% against a limit of 5% in 19 of 20, by `studies.alarms`."""
COMPARED = (SINGLE, OFFLINE)
"""Scenarios whose figures may be compared with a baseline: as the first that is measured."""


@dataclass(frozen=True)
class Extras:
    """What is asked for.

    Attributes:
        baseline: to compare with, or None.
        max_slower: see `compare.compare`.
        rivals: other people's runs.
        keep: folder of `--save-baseline`, or None.
        profile: whether to look where the time goes.
    """

    baseline: Baseline | None = None
    max_slower: float = 0.05
    rivals: tuple[Rival, ...] = ()
    keep: Path | None = None
    profile: bool = False

    @property
    def commands(self) -> bool:
        """Whether some rival is a command line."""
        return any(rival.command for rival in self.rivals)


@dataclass(frozen=True)
class Found:
    """What came of it."""

    comparison: Comparison | None = None
    contest: Contest | None = None
    profiles: tuple[Profile, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """`comparison`, `versus`, `profile` and `notes`, those that were asked for."""
        found = {"comparison": self.comparison and self.comparison.to_json(),
                 "versus": self.contest and self.contest.to_json(),
                 "profile": [p.to_json() for p in self.profiles], "notes": list(self.notes)}
        return {name: value for name, value in found.items() if value}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--compare", metavar="BASELINE", help="a bundle or a folder of --save-baseline, run again in "
                        "the same rounds; or a results.json of this very machine. Exits with 3 where a row is slower")
    parser.add_argument("--max-slower", type=share, default=0.05, metavar="5%",
                        help="how much slower a row may be, shown by its whole interval (default: 5%%)")
    parser.add_argument("--save-baseline", type=Path, metavar="FOLDER", help="keep the bundle and its figures there")
    parser.add_argument("--vs", action="append", default=[], metavar="NAME=RUN",
                        help="somebody else's run in the same rounds: a command line with {source} in it (with "
                        "--source), or a FILE.onnx; may be repeated")
    parser.add_argument("--profile", action="store_true",
                        help="show where each row's time goes, by operator and provider")


def share(text: str) -> float:
    """`5%` or `0.05`, as argparse's `type`."""
    value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not 0 <= value < 10:
        raise argparse.ArgumentTypeError(f"got {text}, expected a share such as 5%")
    return value


def asked(args: argparse.Namespace, bundle: Bundle, scenarios: Sequence[str]) -> Extras:
    """Reads the options and checks all that can be checked before minutes are spent on measuring.

    Raises:
        EpeeError: a baseline that is not there, of another machine or of other work; a rival that is not there.
    """
    old = baseline.find(args.compare) if args.compare else None
    if old is not None:
        baseline.check_bundle(bundle.manifest, old)
        baseline.check_machine(old, machine.describe())
        if scenarios[0] not in COMPARED:
            raise ConfigError("--compare", got=f"the first scenario is {scenarios[0]}",
                              expected=" or ".join(COMPARED), do=f"name --scenario {SINGLE} as well")
    if args.save_baseline:
        baseline.check_place(args.save_baseline)
    rivals = tuple(versus.parse(text) for text in args.vs)
    names = [rival.name for rival in rivals]
    if len(set(names)) < len(names) or {baseline.LABEL, versus.OURS} & set(names):
        raise ConfigError("--vs", got=f"names {', '.join(names)}",
                          expected=f"different ones, none '{baseline.LABEL}' or '{versus.OURS}'")
    if any(rival.command for rival in rivals) and not args.source:
        raise ConfigError("--vs", got="a command line, but no --source", expected="a video or a folder of pictures")
    return Extras(old, args.max_slower, rivals, args.save_baseline, args.profile)


def others(extras: Extras, bundle: Bundle, rows: Sequence[Row], settings: Settings, stack: ExitStack) -> list[
        Contestant]:
    """The contestants beside the bundle's own; what they need lasts as long as the stack.

    Raises:
        EpeeError: the source or a rival's ONNX does not open.
    """
    found: list[Contestant] = []
    if extras.baseline is not None and extras.baseline.bundle is not None:
        found += baseline.rivals(extras.baseline.bundle, rows, settings)
    if extras.commands:
        clips = stack.enter_context(outsider.clips(settings.source, settings.frames, bundle.manifest))
        found += versus.own_contestants(bundle.path, rows, clips, settings)
        found += [versus.command_contestant(rival, clips, settings) for rival in extras.rivals if rival.command]
    for rival in extras.rivals:
        if rival.onnx is not None:
            theirs = stack.enter_context(outsider.as_bundle(rival.name, rival.onnx, bundle))
            places = list(dict.fromkeys(row.where for row in rows))
            twins = [replace(row, label=rival.name) for threads in dict.fromkeys(row.threads for row in rows)
                     for row in rows_of(theirs, places, ["fp32"], [threads], [])]
            found += contestants(theirs, twins, replace(settings, scenarios=settings.scenarios[:1]))
    return found


def finish(extras: Extras, bundle: Bundle, rows: Sequence[Row], results: Results,
           progress: Callable[[str], None]) -> Found:
    """Compares and profiles what was measured.

    Args:
        extras: what was asked for.
        bundle: measured.
        rows: its own, measured.
        results: all of it.
        progress: told what is done next.
    """
    comparison, notes = None, []
    if extras.baseline is not None:
        again = extras.baseline.bundle is not None
        old = [row for row in results.rows if row.label == baseline.LABEL] if again else (
            [row for row in extras.baseline.results.rows if not row.label] if extras.baseline.results else [])
        comparison = compare.compare(rows, old, extras.max_slower, extras.baseline.name, paired=again)
        changed = baseline.upgrades(extras.baseline, results.machine)
        notes += [f"versions differ from the baseline's: {changed}"] if changed else []
    contest = versus.contest(results, extras.rivals) if extras.rivals else None
    wanted = extras.profile and not results.interrupted
    profiles = profile.profile_all(bundle, rows, results.settings, progress) if wanted else []
    return Found(comparison, contest, tuple(profiles), tuple(notes))


def keep(folder: Path, bundle: Bundle, results: Results) -> str:
    """Saves the bundle and its own figures as a baseline; gives the folder."""
    own = replace(results, rows=[row for row in results.rows if not row.label])
    return str(baseline.save(folder, bundle, own))


def render(found: Found) -> str:
    """What a person reads, below the table."""
    parts = [compare.render(found.comparison) if found.comparison else "",
             versus.render(found.contest) if found.contest else "", profile.render(found.profiles), *found.notes]
    return "\n".join(part for part in parts if part)


def leave_pipeline(scenarios: Sequence[str], asked_for: Sequence[str], extras: Extras) -> tuple[str, ...]:
    """The scenarios without the pipeline where the source is for command lines, unless it was asked for by name."""
    if extras.commands and PIPELINE not in asked_for:
        return tuple(name for name in scenarios if name != PIPELINE)
    return tuple(scenarios)
