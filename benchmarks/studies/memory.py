"""Whether memory grows: resident memory of `pipeline.run` after 2,000 frames and at the end.

    python -m epee.benchmarks.studies.memory BUNDLE [--frames 200000] [--sink null:overlay] [--size 480x360]
    python -m epee.benchmarks.studies.memory BUNDLE --rtsp --minutes 30 --sink FILE.mp4 --sink web:0

The source gives the same few drawn frames again and again, as new arrays, as fast as they are taken; with `--rtsp` it
is a camera, a real RTSP server at 30 frames a second. A page that is among the sinks has one viewer, in a process of
its own, who takes 15 frames a second and throws them away. Prints a line for each tenth of the way, and how much the
process grew between frame 2,000 and the end.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from ...runtime import pipeline
from ...runtime.bundle import Bundle
from ...runtime.cli import parse_size
from ...runtime.frames import Frame
from ...runtime.heaps import Tidying, bound_heaps
from ...runtime.model import depth_for, open_model
from ...runtime.pipeline import RunOptions
from ...runtime.sinks import SinkInfo, open_sink
from ...runtime.sources import Opened, open_source
from ...runtime.stats import RunStats
from ...runtime.street import Street
from ...runtime.timing import now_s
from .serving import RtspServer

FIRST = 2_000
DRAWN = 16


class Repeated(Opened):
    """A few drawn frames, copied, for ever."""

    def __init__(self, size_wh: tuple[int, int]) -> None:
        super().__init__("repeated", fps=25.0)
        street = Street(0, size_wh)
        self._images = [street.render(10 * i)[0] for i in range(DRAWN)]

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            yield Frame(self._images[index % DRAWN].copy(), index, self.name, now_s(), f"{index:06d}")
            index += 1


class Watch:
    """Notes resident memory on the way.

    Args:
        frames: of the whole run, or 0.
        seconds: of the whole run, where `frames` is 0.
    """

    def __init__(self, frames: int, seconds: float) -> None:
        self._frames, self._seconds, self._started_s = frames, seconds, now_s()
        self._told = 0
        self.first_mb = self.last_mb = 0.0
        self._tidy = Tidying()
        self.frames = 0

    def __call__(self, stats: RunStats) -> None:
        self._tidy()  # as `epee run` does
        if stats.frames < FIRST:
            return
        self.frames, self.last_mb = stats.frames, resident_mb()
        done = stats.frames / self._frames if self._frames else (now_s() - self._started_s) / self._seconds
        if self.first_mb and int(10 * done) == self._told:
            return
        self._told = int(10 * done)
        self.first_mb = self.first_mb or self.last_mb
        print(f"{stats.frames:8} frames: {self.last_mb:.1f} MB, {stats.fps:.0f} a second", flush=True)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--minutes", type=float, help="end after so long, instead of --frames")
    parser.add_argument("--rtsp", action="store_true", help="of a camera")
    parser.add_argument("--sink", action="append", help="default: null:overlay; may be repeated")
    parser.add_argument("--size", default="480x360", type=parse_size, help="of the frames")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--precision", default="fp32")
    args = parser.parse_args()
    seconds = None if args.minutes is None else 60 * args.minutes
    frames = args.frames if seconds is None else 0
    bound_heaps()
    bundle = Bundle.open(args.bundle)
    with ExitStack() as opened:
        model = opened.enter_context(open_model(bundle, args.backend, args.precision, depth=depth_for(args.rtsp)))
        source: Any = Repeated(args.size)
        if args.rtsp:
            server = opened.enter_context(RtspServer(fps=30, size="{}x{}".format(*args.size)))
            source = opened.enter_context(open_source(server.url))
        info = SinkInfo(source.name, bundle.manifest, source.fps or 25.0, live=args.rtsp)
        sinks = [opened.enter_context(open_sink(look_at(text, opened), info)) for text in args.sink or ["null:overlay"]]
        watch = Watch(frames, seconds or 0.0)
        pipeline.run(model, source, sinks, RunOptions(frames=frames or None, seconds=seconds), progress=watch)
    print(f"{watch.frames} frames: {watch.last_mb - watch.first_mb:+.1f} MB since the first {FIRST}")


def look_at(sink: str, opened: ExitStack) -> str:
    """The sink's text, for a page with a port that is free; a viewer of the page waits for it from now on."""
    if not sink.startswith("web:"):
        return sink
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "epee.benchmarks.studies.viewers", "--drain", f"http://localhost:{port}/"]
    opened.callback(subprocess.Popen(words).kill)
    return f"web:{port}"


def resident_mb() -> float:
    """Resident memory of this process in 10^6 bytes (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
