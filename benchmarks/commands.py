"""`epee bench` and `epee demo`: what they take and print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ..runtime.cli import DONE, FAILED, INTERRUPTED, Command, Report
from ..runtime.commands import names, positive
from .rows import SCENARIOS, SINGLE, Settings


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    from . import extras

    parser.add_argument("bundle", help="a bundle's folder, or the name of one that ships")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json, plots and report.html")
    parser.add_argument("--backend", type=names, default=["all"],
                        help="NAME[:DEVICE], several with commas (default: all)")
    parser.add_argument("--precision", type=names, default=["all"], help="variants or precisions (default: all)")
    parser.add_argument("--threads", type=_numbers(0), default=[0], metavar="N,…",
                        help="compute threads, each a row (default: 0, each backend's choice)")
    parser.add_argument("--batch", type=_numbers(1), default=[], metavar="N,…",
                        help="frames of a call, each a row (default: what the graph takes, 1 where it is free)")
    parser.add_argument("--scenario", type=names, default=[SINGLE], metavar="S,…",
                        help=f"{', '.join(SCENARIOS)}, or all (default: {SINGLE})")
    parser.add_argument("--fps", type=_above_zero, default=30.0, metavar="F",
                        help="pace of the scenario paced (default: %(default)g)")
    parser.add_argument("--streams", type=positive, default=8, metavar="N",
                        help="frames of a query of the scenario multi-stream (default: %(default)s)")
    parser.add_argument("--data", default="", help="a dataset YAML, or synthetic:street: adds mIoU to each row; for a "
                        "generator a folder or zip of real pictures: adds KID")
    parser.add_argument("--split", default="", help="of the data (default: val, for a generator test)")
    parser.add_argument("--limit", type=positive, metavar="N", help="score only the first N images")
    parser.add_argument("--source", default="", help="a video, or synthetic:street: times the whole pipeline as well")
    parser.add_argument("--frames", type=positive, default=200, help="of the source (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, metavar="N", help="fresh processes a row (default: "
                        f"{Settings.rounds}, with --compare {extras.ROUNDS}); intervals need three")
    parser.add_argument("--seconds", type=_above_zero, default=Settings.seconds,
                        help="timed a row and round (default: %(default)s)")
    extras.arguments(parser)
    parser.add_argument("--timeout", type=_above_zero, default=Settings.timeout_s, metavar="S",
                        help="a process that takes longer is ended, its row says so (default: %(default)g)")


def _bench(args: argparse.Namespace) -> Report:
    from ..runtime.bundle import Bundle
    from ..runtime.errors import need
    from . import extras, quality, report
    from .matrix import check_scenarios, rows_of
    from .rounds import bench, disturbed

    for module in ("rich", "matplotlib"):
        need(module)
    bundle = Bundle.open(args.bundle)
    rounds = args.rounds or (extras.ROUNDS if args.compare else Settings.rounds)
    settings = Settings(check_scenarios(args.scenario, args.source), rounds=rounds, seconds=args.seconds, fps=args.fps,
                        streams=args.streams, data=args.data, split=args.split, limit=args.limit,
                        source=args.source, frames=args.frames, timeout_s=args.timeout)
    rows = rows_of(bundle, args.backend, args.precision, args.threads, args.batch)
    if args.data:
        quality.check_data(bundle.manifest, settings)
    wanted = extras.asked(args, bundle, settings.scenarios)
    settings = replace(settings, scenarios=extras.leave_pipeline(settings.scenarios, args.scenario, wanted))
    report.prepare(args.out)
    with ExitStack() as stack:
        results = bench(bundle, rows, settings, _say, extras.others(wanted, bundle, rows, settings, stack))
    beside = extras.finish(wanted, bundle, rows, results, _say)
    _say("")
    if results.interrupted:
        print("bench: interrupted: these are the rounds measured until then", file=sys.stderr, flush=True)
    if said := disturbed(results):
        print(f"bench: {said}", file=sys.stderr, flush=True)
    files = report.write(args.out, results, beside.comparison, beside.profiles, beside.contest)
    if wanted.keep is not None and not results.interrupted:
        files["baseline"] = extras.keep(wanted.keep, bundle, results)
    parts = (report.terminal(results), extras.render(beside), "  ".join(files.values()))
    found = {"rows": [row.to_json() for row in report.ordered(results.rows)], "files": files,
             "interrupted": results.interrupted, **beside.to_json()}
    good = any(row.scenarios for row in rows) and (beside.comparison is None or beside.comparison.ok)
    status = INTERRUPTED if results.interrupted else DONE if good else FAILED
    return Report(found, "\n".join(part for part in parts if part), status)


def _above_zero(text: str) -> float:
    """A number above 0, as argparse's `type`."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text}, expected more than 0")
    return value


def _numbers(least: int) -> Callable[[str], list[int]]:
    """An argparse type: whole numbers with commas, none below `least`."""
    def parse(text: str) -> list[int]:
        values = [int(word) for word in names(text)]
        if min(values) < least:
            raise argparse.ArgumentTypeError(f"got {min(values)}, expected {least} or more")
        return values

    parse.__name__ = "list of numbers"
    return parse


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    from .demo import MINUTES, MINUTES_IN_FLOAT

    parser.add_argument("--out", type=Path, default=Path("demo"), help="the demo's folder (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help=f"of training (default: {MINUTES:g}, or {MINUTES_IN_FLOAT:g} on "
                        "a processor without bfloat16)")
    parser.add_argument("--seed", type=int, default=0, help="of the training (default: %(default)s)")


def _demo(args: argparse.Namespace) -> Report:
    from .demo import demo, render

    found = demo(args.out, args.minutes, args.seed)
    return Report(found.to_json(), render(found), DONE if found.good else FAILED)


def _say(line: str) -> None:
    """Progress, on standard error: one line that rewrites itself on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


BENCH = Command(_bench_arguments, _bench)
DEMO = Command(_demo_arguments, _demo)
