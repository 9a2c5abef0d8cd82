"""The runtime's commands: what each takes and prints. The work is done in the modules they call, imported on demand."""

from __future__ import annotations

import argparse
import sys
import time

from .cli import DONE, FAILED, Command, Report
from .generating import GENERATE
from .quality import options as quality_options
from .running import RUN

__all__ = ["DOCTOR", "EVAL", "GENERATE", "INSPECT", "RUN", "TUNE", "VERIFY"]


def positive(text: str) -> int:
    """A whole number of 1 or more, as argparse's `type`."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, expected 1 or more")
    return value


def names(text: str) -> list[str]:
    """The entries of a comma list, as argparse's `type`."""
    entries = [word.strip() for word in text.split(",") if word.strip()]
    if not entries:
        raise argparse.ArgumentTypeError("got nothing, expected a name or several with commas")
    return entries


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """The doctor takes no arguments of its own."""


def _doctor(args: argparse.Namespace) -> Report:
    from .doctor import examine, render

    found = examine()
    return Report(found, render(found))


def _eval_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle's folder, or the name of one that ships; for scores of generated "
                        "pictures also a folder or a zip of them")
    parser.add_argument("--data", required=True,
                        help="a dataset YAML, or synthetic:street; for generated pictures a folder or zip of real ones")
    parser.add_argument("--split", help="train, val or test (default: val, for generated pictures test)")
    parser.add_argument("--backend", default="auto", help="NAME[:DEVICE] (default: the first available)")
    parser.add_argument("--precision", default="auto", help="a variant or precision (default: the bundle's first)")
    parser.add_argument("--threads", type=int, default=0, help="compute threads (default: the backend's choice)")
    parser.add_argument("--limit", type=positive, metavar="N", help="score only the first N images")
    quality_options.arguments(parser)


def _eval(args: argparse.Namespace) -> Report:
    from .bundle import Bundle
    from .evaluate import evaluate, render
    from .quality import command, scoring

    with ProgressLine("scored") as progress:
        if command.is_pictures(args.bundle) or (bundle := Bundle.open(args.bundle)).manifest.task == "generate":
            found = command.score(args, progress)
            return Report(found.to_json(), scoring.render(found))
        precision = bundle.manifest.variants[0].name if args.precision == "auto" else args.precision
        scores = evaluate(bundle, args.data, args.split or "val", backend=args.backend, precision=precision,
                          threads=args.threads, limit=args.limit, progress=progress)
    return Report(scores.to_json(), render(scores))


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle's folder, or the name of one that ships")
    parser.add_argument("--backend", metavar="X[:DEVICE]",
                        help="also run a golden there and tell where and in which precision each node really ran")
    parser.add_argument("--precision", metavar="P", help="which variant to run (default: the bundle's first)")
    parser.add_argument("--strict", action="store_true",
                        help="exit with 3 where a node ran elsewhere or in another precision than the variant's")


def _inspect(args: argparse.Namespace) -> Report:
    from . import contents, placement
    from .bundle import Bundle

    bundle = Bundle.open(args.bundle)
    if not (args.backend or args.precision or args.strict):
        return Report(contents.facts(bundle), contents.render(bundle))
    placed = placement.placement(bundle, args.backend or "auto", args.precision or "auto")
    found = contents.facts(bundle) | {"placement": placed.to_json()}
    return Report(found, placement.render(placed), FAILED if args.strict and placed.strays() else DONE)


def _tune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle's folder, or the name of one that ships")
    parser.add_argument("--backend", type=names, default=[], metavar="X[:DEVICE]",
                        help="only these, with commas; the choice is then not remembered (default: all that work here)")
    parser.add_argument("--threads", type=int, default=0, metavar="N",
                        help="compute threads; the choice is then not remembered (default: the backends' choice)")
    parser.add_argument("--engine", default="", metavar="LIBRARY",
                        help="tensorrt or tensorrt-rtx: first build engines for the GPU of this machine into the cache")


def _tune(args: argparse.Namespace) -> Report:
    from .bundle import Bundle
    from .tune import render, tune

    found = tune(Bundle.open(args.bundle), args.backend, threads=args.threads, engine=args.engine,
                 say=lambda line: print(f"tune: {line}", file=sys.stderr, flush=True))
    return Report(found.to_json(), render(found), DONE if found.choice else FAILED)


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle's folder, or the name of one that ships")
    parser.add_argument("--backend", type=names, default=["auto"],
                        help="NAME[:DEVICE], several with commas, or all (default: the first available)")
    parser.add_argument("--precision", type=names, help="variants or precisions to try (default: all)")


def _verify(args: argparse.Namespace) -> Report:
    from .backends import probe_all
    from .bundle import Bundle
    from .variants import choose_variant
    from .verify import render, verify

    bundle = Bundle.open(args.bundle)
    backends = [b.name for b in probe_all() if b.available] if args.backend == ["all"] else args.backend
    chosen = [choose_variant(bundle, p).name for p in args.precision] if args.precision else None
    verdict = verify(bundle, backends or ["auto"], chosen)
    return Report(verdict.to_json(), render(verdict), DONE if verdict.ok else FAILED)


class ProgressLine:
    """One line on standard error that counts images; silent where standard error is no terminal.

    Args:
        verb: what is being done, e.g. `scored`.
    """

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.shown = sys.stderr.isatty()
        self.started_s = self.last_s = time.monotonic()

    def __call__(self, done: int, count: int) -> None:
        """Shows the state, at most five times a second."""
        now = time.monotonic()
        if self.shown and (now - self.last_s > 0.2 or done == count):
            self.last_s = now
            rate = done / max(now - self.started_s, 1e-9)
            print(f"\r{self.verb} {done} of {count}, {rate:.0f}/s ", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


DOCTOR = Command(_doctor_arguments, _doctor)
EVAL = Command(_eval_arguments, _eval)
INSPECT = Command(_inspect_arguments, _inspect)
TUNE = Command(_tune_arguments, _tune)
VERIFY = Command(_verify_arguments, _verify)
