"""`epee run`: a thin skin over `open_source`, `open_sink`, `open_model` and `pipeline.run`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from .cli import DONE, INTERRUPTED, Command, Report

if TYPE_CHECKING:
    from .pipeline import RunStats
    from .sources import Source

ENDLESS_FRAMES = 250
"""How many frames of an endless source are taken where nobody said how many and nobody is watching."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `epee run` takes."""
    parser.add_argument("bundle", help="a bundle's folder, or the name of one that ships, e.g. street-nano")
    parser.add_argument("--source", "-s", action="append", required=True, metavar="S",
                        help="a video, picture or folder, a camera's number, rtsp://…, http://…, or synthetic:street")
    parser.add_argument("--sink", "-o", action="append", default=[], metavar="T",
                        help="window, FILE.mp4, masks:DIR, png:DIR, jsonl:FILE, null, null:overlay; may be repeated; "
                             "{source} in a name is the source's")
    parser.add_argument("--backend", default="auto", metavar="X[:DEVICE]", help="default: the first that works here")
    parser.add_argument("--precision", default="auto", metavar="P", help="a variant or precision of the bundle")
    parser.add_argument("--threads", type=_number(int, 0), default=0, metavar="N",
                        help="compute threads in all (default: the backend's choice)")
    parser.add_argument("--frames", type=_number(int, 1), metavar="N", help="end after N frames")
    parser.add_argument("--seconds", type=_number(float, 0), metavar="X", help="end after X seconds")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of a synthetic source (default: 0)")


def run(args: argparse.Namespace) -> Report:
    """Streams one source through a bundle into sinks."""
    from .timing import now_s

    started_s = now_s()
    from . import pipeline
    from .bundle import Bundle
    from .errors import SinkError, SourceError
    from .model import depth_for, frame_spec, open_model
    from .sinks import SinkInfo, open_sink
    from .sources import notice, open_source

    if len(args.source) > 1:
        raise SourceError("--source", got=f"{len(args.source)} of them", expected="one",
                          do="run one `epee run` for each; several in one process are not built yet")
    if len(set(args.sink)) < len(args.sink):
        raise SinkError("--sink", got="the same one twice", expected="different ones", do="leave one out")
    if not args.sink:
        notice("no --sink is given: results are thrown away (try --sink out.mp4)")
    bundle = Bundle.open(args.bundle)
    size_hw = frame_spec(bundle.manifest).size_hw
    with stopping() as stop, ExitStack() as opened:
        source = opened.enter_context(open_source(args.source[0], seed=args.seed, size_wh=size_hw and size_hw[::-1]))
        info = SinkInfo(source.name, bundle.manifest, source.fps, source.live, source.path)
        sinks = [opened.enter_context(open_sink(text, info)) for text in args.sink or ["null"]]
        model = opened.enter_context(open_model(bundle, args.backend, args.precision, threads=args.threads,
                                                depth=depth_for(source.live, args.threads)))
        watched = sys.stderr.isatty() and not args.json
        progress = opened.enter_context(_Progress(source.count)) if watched else None
        stats = pipeline.run(model, source, sinks, frames=_limit(args, source), seconds=args.seconds, stop=stop,
                             started_s=started_s, progress=progress)
    return Report(stats.to_json(), stats.to_text(), INTERRUPTED if stop.is_set() else DONE)


RUN = Command(arguments, run)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Gives an event that SIGINT and SIGTERM set, so that the loop ends between two frames; a second one interrupts.

    Off the main thread, where Python takes no handlers, the event is never set.
    """
    stop = threading.Event()

    def handle(number: int, _: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Progress:
    """One line on a terminal that is written over, five times a second."""

    def __init__(self, count: int | None) -> None:
        self._of = f" of {count}" if count else ""
        self._next_s = 0.0

    def __call__(self, stats: RunStats) -> None:
        if stats.seconds < self._next_s:
            return
        self._next_s = stats.seconds + 0.2
        sys.stderr.write(f"\r{stats.frames}{self._of} frames, {stats.fps:.1f} a second \033[K")
        sys.stderr.flush()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()


def _limit(args: argparse.Namespace, source: Source) -> int | None:
    """How many frames to take: what was asked, and an end for what has none."""
    if args.frames is not None or args.seconds is not None or source.count is not None or source.live:
        return args.frames
    if not source.path and "window" not in args.sink:
        from .sources import notice

        notice(f"'{source.name}' never ends: taking {ENDLESS_FRAMES} frames (--frames or --seconds says otherwise)")
        return ENDLESS_FRAMES
    return None


def _number(kind: type[int] | type[float], least: int) -> Callable[[str], float]:
    """An argparse type: a number that is not below `least`."""
    def parse(text: str) -> float:
        value = kind(text)
        if not value >= least:
            raise argparse.ArgumentTypeError(f"got {text}, expected {least} or more")
        return value

    parse.__name__ = "number"
    return parse
