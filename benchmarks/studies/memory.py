"""Whether memory grows: resident memory of `pipeline.run` after 2,000 frames and at the end.

    python -m epee.benchmarks.studies.memory BUNDLE [--frames 200000] [--sink null:overlay] [--size 480x360]

The source gives the same few drawn frames again and again, as new arrays, as fast as they are taken. Prints a line for
each tenth of the way, and how much the process grew between frame 2,000 and the end.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack

from ...runtime import pipeline
from ...runtime.bundle import Bundle
from ...runtime.cli import parse_size
from ...runtime.frames import Frame
from ...runtime.model import depth_for, open_model
from ...runtime.pipeline import RunOptions
from ...runtime.sinks import SinkInfo, open_sink
from ...runtime.sources import Opened
from ...runtime.stats import RunStats
from ...runtime.street import Street
from ...runtime.timing import now_s

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
    """Notes resident memory on the way."""

    def __init__(self, frames: int) -> None:
        self._next, self._step = FIRST, max(1, frames // 10)
        self.first_mb = self.last_mb = 0.0

    def __call__(self, stats: RunStats) -> None:
        if stats.frames < self._next:
            return
        self.last_mb = resident_mb()
        self.first_mb = self.first_mb or self.last_mb
        print(f"{stats.frames:8} frames: {self.last_mb:.1f} MB, {stats.fps:.0f} a second", flush=True)
        self._next = (stats.frames // self._step + 1) * self._step


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--sink", default="null:overlay")
    parser.add_argument("--size", default="480x360", type=parse_size, help="of the frames")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--precision", default="fp32")
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    watch = Watch(args.frames)
    with ExitStack() as opened:
        model = opened.enter_context(open_model(bundle, args.backend, args.precision, depth=depth_for(False)))
        sink = opened.enter_context(open_sink(args.sink, SinkInfo("repeated", bundle.manifest, 25.0)))
        pipeline.run(model, Repeated(args.size), [sink], RunOptions(frames=args.frames), progress=watch)
    print(f"{args.frames} frames: {watch.last_mb - watch.first_mb:+.1f} MB since the first {FIRST}")


def resident_mb() -> float:
    """Resident memory of this process in 10^6 bytes (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
