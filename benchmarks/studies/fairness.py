"""Several streams on one network: what they get together, and whether each gets its share.

    python -m epee.benchmarks.studies.fairness BUNDLE [--streams 4] [--fps 400] [--seconds 8] [--rounds 3]

Encodes a clip of a street, then in turn: one source, and several, each a decoder of its own over that clip, paced at a
rate above the network's, the newest frame winning. Prints for each round the sum of the streams' rates over the one's,
and the smallest share over the largest; then the medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ...runtime.bundle import Bundle
from ...runtime.cli import parse_size
from ...runtime.frames import Frame, Result
from ...runtime.model import depth_for, open_model
from ...runtime.pipeline import Run, RunOptions
from ...runtime.several import run_all
from ...runtime.sinks import SinkInfo, open_sink
from ...runtime.sources import Opened, open_source
from ...runtime.street import Street
from ...runtime.timing import now_s

SEED, FRAMES = 77, 100


class Paced(Opened):
    """A clip over and over as if it were a camera: frames come at a rate, and late ones are dropped."""

    def __init__(self, clip: Path, fps: float) -> None:
        super().__init__(clip.stem, fps=fps, live=True)
        self._clip, self._over = clip, threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        begin_s, index = now_s(), 0
        step_s = 1 / (self.fps or 1.0)
        while not self._over.is_set():
            with open_source(self._clip) as source:
                for frame in source:
                    due_s = begin_s + index * step_s
                    index += 1
                    if now_s() > due_s + step_s:  # the next one is there already
                        index = max(index, int((now_s() - begin_s) / step_s))
                    time.sleep(max(0.0, due_s - now_s()))
                    if self._over.is_set():
                        return
                    yield replace(frame, index=index, captured_s=now_s())

    def close(self) -> None:
        self._over.set()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--fps", type=float, default=400.0, help="of each source, above the network's rate")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="480x360", type=parse_size, help="of the clip")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--precision", default="fp32")
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    sums, shares = [], []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "street.mp4"
        draw(clip, bundle, args.size)
        for _ in range(args.rounds):
            (alone,) = rates(bundle, clip, 1, args)
            together = rates(bundle, clip, args.streams, args)
            sums.append(sum(together) / alone)
            shares.append(min(together) / max(together))
            print(f"one {alone:.1f} a second, {args.streams} together " + " + ".join(f"{r:.1f}" for r in together)
                  + f": {sums[-1]:.3f} of it, smallest over largest {shares[-1]:.3f}", flush=True)
    print(f"median: {statistics.median(sums):.3f} of one, smallest over largest {statistics.median(shares):.3f}")


def rates(bundle: Bundle, clip: Path, streams: int, args: argparse.Namespace) -> list[float]:
    """Frames a second of each of so many streams."""
    depth = depth_for(False, 0)
    with open_model(bundle, args.backend, args.precision, depth=depth) as model:
        model.warm_up()
        model.share(streams)
        stop = threading.Event()
        runs = [Run(model, Paced(clip, args.fps), [open_sink("null", SinkInfo(f"s{i}", bundle.manifest))],
                    RunOptions(seconds=args.seconds), stop) for i in range(streams)]
        return [stats.fps for stats in run_all(runs, stop=stop).streams]


def draw(path: Path, bundle: Bundle, size_wh: tuple[int, int]) -> None:
    """Writes a clip of a street as mp4."""
    street = Street(SEED, size_wh)
    with open_sink(str(path), SinkInfo("street", bundle.manifest, 25.0)) as sink:
        for i in range(FRAMES):
            image, _ = street.render(i)
            sink.write(Result(Frame(image, i, "street"), {"image": image}, bundle.manifest))


if __name__ == "__main__":
    main()
