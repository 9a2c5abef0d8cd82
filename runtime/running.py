"""`epee run`: a thin skin over `open_streams`, `pipeline.Run` and `run_all`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cli import DONE, ERROR, INTERRUPTED, Command, Report

if TYPE_CHECKING:
    from .opening import Ready, Streams
    from .pipeline import RunOptions
    from .signals import Signals
    from .site import Camera
    from .stats import RunStats

ENDLESS_FRAMES = 250
"""How many frames of an endless source are taken where nobody said how many and nobody is watching."""
WATCHED = ("window", "web", "mqtt")
"""Kinds of sinks at which somebody may look for as long as they like."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `epee run` takes; what is given on the command line holds for every camera of a site."""
    parser.add_argument("bundle", nargs="?", help="a bundle's folder, or the name of one that ships, e.g. street-nano")
    parser.add_argument("--config", "-c", metavar="SITE.toml",
                        help="cameras with their bundles and sinks, instead of --source and --sink")
    parser.add_argument("--source", "-s", action="append", default=[], metavar="S",
                        help="a video, picture or folder, a camera's number, rtsp://…, http://…, gst:PIPELINE, "
                             "synthetic:street, or for a generator latents:walk; several run side by side and "
                             "share the network fairly")
    parser.add_argument("--sink", "-o", action="append", default=[], metavar="T",
                        help="window, FILE.mp4, FILE.mp4?every=10min&keep=20GB, masks:DIR, png:DIR, jsonl:FILE, "
                             "web:[HOST:]PORT, mqtt:HOST/TOPIC, null, null:overlay; may be repeated; {source} in a "
                             "name is the source's; mosaic:T puts several sources into one")
    parser.add_argument("--backend", metavar="X[:DEVICE]",
                        help="default: the fastest that answers right here; see `epee tune`")
    parser.add_argument("--precision", metavar="P", help="a variant or precision of the bundle")
    parser.add_argument("--threads", type=_number(int, 0), metavar="N",
                        help="compute threads in all (default: the backend's choice)")
    parser.add_argument("--frames", type=_number(int, 1), metavar="N", help="end after N frames of each source")
    parser.add_argument("--seconds", type=_number(float, 0), metavar="X", help="end after X seconds")
    parser.add_argument("--max-age", type=_number(float, 0), metavar="MS", dest="max_age_ms",
                        help="drop and count frames that are older")
    parser.add_argument("--smooth", action="store_true", default=None,
                        help="a new class has to be seen twice where the picture has not changed: less flicker")
    parser.add_argument("--tile", action="store_true", default=None,
                        help="of networks that make pictures of pictures: frames of another size go through in tiles "
                             "that are blended without a seam (an enhancer does so by itself)")
    parser.add_argument("--overlap", type=_number(int, 0), metavar="PIXELS",
                        help="that neighbouring tiles share at least (default: what the network needs); says --tile, "
                             "too")
    parser.add_argument("--seed", type=int, metavar="N", help="of a synthetic source or of latents (default: 0)")
    live = parser.add_argument_group("live sources")
    live.add_argument("--rtsp", choices=("tcp", "udp"), help="what RTSP sends pictures over (default: tcp)")
    live.add_argument("--open-timeout", type=_number(float, 0), metavar="S", dest="open_timeout_s",
                      help="a connection is given up after so long and tried again (default: 5)")
    live.add_argument("--read-timeout", type=_number(float, 0), metavar="S", dest="read_timeout_s",
                      help="after so long without a frame the source is lost and is connected anew (default: 5)")
    live.add_argument("--give-up", type=_number(float, 0), metavar="S", dest="give_up_s",
                      help="end when a source was lost for so long (default: never)")
    live.add_argument("--hardware", metavar="H", help="decode in hardware: auto, vaapi, cuda …")
    live.add_argument("--credentials", metavar="FILE", help="a TOML file with user and password for each host")
    parser.set_defaults(misused=parser.error)


def run(args: argparse.Namespace) -> Report:
    """Streams sources through bundles into sinks."""
    from .timing import now_s

    started_s = now_s()
    from .heaps import bound_heaps
    from .opening import open_streams
    from .pipeline import RunOptions
    from .signals import handling
    from .smoothing import SmoothedResults

    cameras = _cameras(args)
    bound_heaps()
    with handling() as signals, ExitStack() as opened:
        streams = open_streams(cameras, opened, wait=args.config is not None or len(cameras) > 1,
                               asked=lambda: signals.hangups)
        options = [RunOptions(_limit(ready), ready.camera.seconds, ready.camera.max_age_ms, started_s=started_s,
                              smooth=SmoothedResults() if ready.camera.smooth else None,
                              tiles=ready.camera.tiles) for ready in streams.ready]
        shown = opened.enter_context(_Progress([ready.source.count for ready in streams.ready],
                                               sys.stderr.isatty() and not args.json))
        if len(streams.ready) == 1:
            return _one(streams.ready[0], options[0], signals, shown)
        return _several(streams, options, signals, shown)


RUN = Command(arguments, run)


def _one(ready: Ready, options: RunOptions, signals: Signals, shown: _Progress) -> Report:
    stats = ready.run(options, signals.stop, lambda stats: shown([stats])).to_the_end()
    status = INTERRUPTED if signals.stop.is_set() else ERROR if stats.failed else DONE
    return Report(stats.to_json(), stats.to_text(), status)


def _several(streams: Streams, options: Sequence[RunOptions], signals: Signals, shown: _Progress) -> Report:
    from .several import run_all

    runs = [ready.run(wish, signals.stop) for ready, wish in zip(streams.ready, options, strict=True)]
    stats = run_all(runs, streams.mosaics, stop=signals.stop, beat=shown)
    models = {id(ready.model): ready.model for ready in streams.ready}
    stats.batching = [{"streams": [r.name for r in streams.ready if r.model is model], **model.batching.to_json()}
                      for model in models.values()]
    status = INTERRUPTED if signals.stop.is_set() else DONE if stats.whole else ERROR
    return Report(stats.to_json(), stats.to_text(), status)


def _cameras(args: argparse.Namespace) -> tuple[Camera, ...]:
    """What the command line and the site's file ask for."""
    from .site import Camera, read_site, several
    from .sources import notice

    names = ("backend", "precision", "threads", "frames", "seconds", "max_age_ms", "smooth", "tile", "overlap", "seed",
             "rtsp", "open_timeout_s", "read_timeout_s", "give_up_s", "hardware", "credentials", "bundle")
    given: dict[str, Any] = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.config is not None:
        if args.source or args.sink:
            args.misused("--config names sources and sinks itself: leave --source and --sink out")
        return read_site(Path(args.config), given)
    if args.bundle is None or not args.source:
        args.misused("a bundle and --source are needed, or --config SITE.toml")
    if not args.sink:
        notice("no --sink is given: results are thrown away (try --sink out.mp4)")
    return several(args.source, Camera(source=args.source[0], sinks=tuple(args.sink) or ("null",), **given))


class _Progress:
    """One line on a terminal that is written over, five times a second; the watchdog's beat; and tidying memory."""

    def __init__(self, counts: Sequence[int | None], shown: bool) -> None:
        from .heaps import Tidying
        from .notify import Watchdog

        self._of = [f" of {count}" if count else "" for count in counts]
        self._shown, self._next_s = shown, 0.0
        self._watchdog, self._tidy = Watchdog(), Tidying()

    def __call__(self, streams: Sequence[RunStats]) -> None:
        from .timing import now_s

        self._watchdog.beat()
        self._tidy()
        if not self._shown or now_s() < self._next_s:
            return
        self._next_s = now_s() + 0.2
        sys.stderr.write("\r" + " | ".join(map(self._line, streams, self._of)) + " \033[K")
        sys.stderr.flush()

    def _line(self, stats: RunStats, of: str) -> str:
        if stats.state in ("connecting", "lost"):
            return f"{stats.source}: {stats.state}"
        age = stats.ages.percentiles_of("age", 250)
        line = (f"{stats.frames}{of} frames, {stats.fps:.1f} a second, age {age['p50']:.0f}, p95 {age['p95']:.0f}, "
                f"p99 {age['p99']:.0f} ms")
        if stats.dropped:
            line += f", {stats.dropped} dropped"
        return line if len(self._of) == 1 else f"{stats.source}: {line}"

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self._watchdog.stop()
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def _limit(ready: Ready) -> int | None:
    """How many frames to take: what was asked, and an end for what has none."""
    from .sinks import parse_sink
    from .site import MOSAIC

    camera, source = ready.camera, ready.source
    if camera.frames is not None or camera.seconds is not None or source.count is not None or source.live:
        return camera.frames
    kinds = {parse_sink(text.removeprefix(MOSAIC))[0] for text in camera.sinks}
    if not source.path and not kinds & set(WATCHED):
        from .sources import notice

        frames = source.period or ENDLESS_FRAMES
        ends = "begins anew" if source.period else "never ends"
        notice(f"'{ready.name}' {ends}: taking {frames} frames (--frames or --seconds says otherwise)")
        return frames
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
