"""`epee bench` and `epee demo`: what they take and print."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..runtime.cli import DONE, FAILED, Command, Report
from ..runtime.commands import names, positive


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle's folder, or the name of one that ships")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json, plots and report.html")
    parser.add_argument("--backend", type=names, default=["all"],
                        help="NAME[:DEVICE], several with commas (default: all)")
    parser.add_argument("--precision", type=names, default=["all"], help="variants or precisions (default: all)")
    parser.add_argument("--threads", type=int, default=0, help="compute threads (default: each backend's choice)")
    parser.add_argument("--data", default="", help="a dataset YAML, or synthetic:street: adds mIoU to each row")
    parser.add_argument("--split", default="val", help="of the data (default: %(default)s)")
    parser.add_argument("--limit", type=positive, metavar="N", help="score only the first N images")
    parser.add_argument("--source", default="", help="a video, or synthetic:street: times the whole pipeline as well")
    parser.add_argument("--frames", type=positive, default=200, help="of the source (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=5, help="fresh processes a row (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="timed a row and round (default: %(default)s)")


def _bench(args: argparse.Namespace) -> Report:
    from ..runtime.bundle import Bundle
    from ..runtime.errors import need
    from ..runtime.evaluate import open_fitting
    from . import report
    from .matrix import Settings, measure, rows_of

    for module in ("rich", "matplotlib"):
        need(module)
    bundle = Bundle.open(args.bundle)
    settings = Settings(threads=args.threads, rounds=args.rounds, seconds=args.seconds, data=args.data,
                        split=args.split, limit=args.limit, source=args.source, frames=args.frames)
    rows = rows_of(bundle, args.backend, args.precision, args.threads)
    if args.data:
        open_fitting(bundle.manifest, args.data, args.split, args.limit)
    report.prepare(args.out)
    measure(bundle, rows, settings, _say)
    _say("")
    files = report.write(args.out, bundle, rows, settings)
    rows = report.ordered(rows)
    text = report.table(rows, settings, bundle.manifest.name) + "\n" + "  ".join(files.values())
    measured = any(row.latency_ms is not None for row in rows)
    return Report({"rows": [row.to_json() for row in rows], "files": files}, text, DONE if measured else FAILED)


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    from .demo import MINUTES

    parser.add_argument("--out", type=Path, default=Path("demo"), help="the demo's folder (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of training (default: %(default)s)")
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
