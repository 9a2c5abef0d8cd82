"""The runtime's commands: what each takes and prints. The work is done in the modules they call, imported on demand."""

from __future__ import annotations

import argparse
import sys
import time

from .cli import DONE, FAILED, Command, Report
from .running import RUN

__all__ = ["DOCTOR", "EVAL", "INSPECT", "RUN", "VERIFY"]


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
    parser.add_argument("bundle", help="a bundle's folder, or the name of one that ships")
    parser.add_argument("--data", required=True, help="a dataset YAML, or synthetic:street")
    parser.add_argument("--split", default="val", help="train, val or test (default: %(default)s)")
    parser.add_argument("--backend", default="auto", help="NAME[:DEVICE] (default: the first available)")
    parser.add_argument("--precision", default="auto", help="a variant or precision (default: the bundle's first)")
    parser.add_argument("--threads", type=int, default=0, help="compute threads (default: the backend's choice)")
    parser.add_argument("--limit", type=positive, metavar="N", help="score only the first N images")


def _eval(args: argparse.Namespace) -> Report:
    from .bundle import Bundle
    from .evaluate import evaluate, render

    with ProgressLine("scored") as progress:
        scores = evaluate(Bundle.open(args.bundle), args.data, args.split, backend=args.backend,
                          precision=args.precision, threads=args.threads, limit=args.limit, progress=progress)
    return Report(scores.to_json(), render(scores))


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle's folder, or the name of one that ships")


def _inspect(args: argparse.Namespace) -> Report:
    from .bundle import Bundle
    from .contents import facts, render

    bundle = Bundle.open(args.bundle)
    return Report(facts(bundle), render(bundle))


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle's folder, or the name of one that ships")
    parser.add_argument("--backend", type=names, default=["auto"],
                        help="NAME[:DEVICE], several with commas, or all (default: the first available)")
    parser.add_argument("--precision", type=names, help="variants or precisions to try (default: all)")


def _verify(args: argparse.Namespace) -> Report:
    from .backends import choose_variant, probe_all
    from .bundle import Bundle
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
VERIFY = Command(_verify_arguments, _verify)
