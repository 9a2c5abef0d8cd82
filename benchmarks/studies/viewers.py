"""What people who look at the page cost the stream: frames a second with viewers over frames a second without.

    python -m epee.benchmarks.studies.viewers [BUNDLE] [--size 1280x720] [--rounds 8] [--seconds 3] [--threads 2]

A stream of street pictures runs as fast as it can into `web:PORT`, in a process of its own. In turn, window by window,
nobody looks, one viewer takes 15 frames a second, and fifty take 5 each; the viewers are one more process, which takes
what comes and throws it away. The figure for each is the median over the rounds of (rate while nobody looked) / (rate
with viewers), both of the same round. On a machine whose cores are all busy the viewers' own work counts too. Beside it
stands the time that the page's own threads computed, in CPUs: it stays true on a machine that does other things.

    python -m epee.benchmarks.studies.viewers --drain URL [--viewers 1] [--fps 15]

The viewers alone, for a page that runs already; waits for it, and ends with it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import IO, Any, cast

from ...runtime.bundle import Bundle
from ...runtime.cli import parse_size
from ...runtime.frames import Frame
from ...runtime.model import open_model
from ...runtime.sources import Opened
from ...runtime.timing import now_s

SEED, PICTURES = 77, 24
LOADS = ((0, 0), (1, 15), (50, 5))
"""Viewers, and frames a second for each."""
SETTLE_S = 1.0


def main() -> None:
    """Measures, or is one of the two processes that a measurement needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="street-nano")
    parser.add_argument("--size", default="1280x720", type=parse_size, help="of the pictures")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a window")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--drain", metavar="URL", help="only look at a page")
    parser.add_argument("--viewers", type=int, default=1, help="with --drain")
    parser.add_argument("--fps", type=float, default=15.0, help="with --drain, for each viewer")
    parser.add_argument("--stream", action="store_true", help="only stream, until standard input closes")
    args = parser.parse_args()
    if args.drain:
        drain(args.drain, args.viewers, args.fps)
    elif args.stream:
        stream(args.bundle, args.size, args.threads)
    else:
        measure(args)


def measure(args: argparse.Namespace) -> None:
    """Prints a line a window, and the medians."""
    words = ["--stream", args.bundle, "--size", "{}x{}".format(*args.size), "--threads", args.threads]
    ratios: dict[tuple[int, int], list[float]] = {load: [] for load in LOADS}
    with child(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        url = next(found[0] for line in running.stderr or () if (found := re.search(r"http://\S+", line)))
        try:
            while metric(url, "epee_frames_total") < PICTURES:
                time.sleep(0.2)
            for _ in range(args.rounds):
                rates = {load: window(running, url, *load, args.seconds) for load in LOADS}
                bare = rates[LOADS[0]][0]
                for load, (rate, _, _) in rates.items():
                    ratios[load].append(bare / rate)
                for (n, _), (rate, got, cpus) in rates.items():
                    each = f", each got {got:.1f}" if n else ""
                    print(f"{n} viewers: {rate:.1f} frames a second{each}, the page's threads took {cpus:.3f} CPUs",
                          flush=True)
        finally:
            cast(IO[str], running.stdin).close()
    for (n, fps), values in ratios.items():
        if n:
            print(f"{n} viewers at {fps} frames a second: median ratio {statistics.median(values):.3f}")


def window(running: subprocess.Popen[str], url: str, viewers: int, fps: int,
           seconds: float) -> tuple[float, float, float]:
    """Frames a second of the stream, frames a second that a viewer got, and how many CPUs the page's threads took."""
    looking = child("--drain", url, "--viewers", viewers, "--fps", fps) if viewers else None
    try:
        while metric(url, "epee_web_viewers") != viewers:
            time.sleep(0.1)
        time.sleep(SETTLE_S)
        begin, cpu_s = now_s(), ask_cpu_s(running)
        frames, sent = metric(url, "epee_frames_total"), metric(url, "epee_web_frames_sent_total")
        time.sleep(seconds)
        frames = metric(url, "epee_frames_total") - frames
        sent = metric(url, "epee_web_frames_sent_total") - sent
        span_s = now_s() - begin
        return frames / span_s, sent / span_s / max(viewers, 1), (ask_cpu_s(running) - cpu_s) / span_s
    finally:
        if looking is not None:
            looking.kill()
            looking.wait()


def stream(bundle: str, size_wh: tuple[int, int], threads: int) -> None:
    """Streams pictures in a circle into a page, as fast as it can, until standard input closes.

    For each line of standard input it says how many seconds the page's threads have computed.
    """
    from ...runtime.pipeline import run
    from ...runtime.sinks import SinkInfo, open_sink

    stop = threading.Event()

    def listen() -> None:
        for _ in sys.stdin:
            clocks = [time.pthread_getcpuclockid(t.ident or 0) for t in threading.enumerate()
                      if t.name.startswith("epee-web")]
            print(sum(map(time.clock_gettime, clocks)), flush=True)
        stop.set()

    threading.Thread(target=listen, daemon=True).start()
    opened = Bundle.open(bundle)
    with open_model(opened, "onnxruntime", "fp32", threads=threads, depth=threads) as model:
        source: Any = Circle(size_wh)
        with open_sink("web:0", SinkInfo(source.name, opened.manifest, source.fps)) as sink:
            run(model, source, [sink], stop=stop)


class Circle(Opened):
    """A few street pictures again and again, without end and without cost."""

    def __init__(self, size_wh: tuple[int, int]) -> None:
        from ...runtime.street import Street

        super().__init__("street", fps=25.0, size_wh=size_wh)
        street = Street(SEED, size_wh)
        self._pictures = [street.render(i)[0] for i in range(PICTURES)]

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            yield Frame(self._pictures[index % PICTURES], index, self.name, now_s())
            index += 1


def drain(url: str, viewers: int, fps: float) -> None:
    """Opens WebSockets and throws away what comes, until the page goes; prints what came a second."""
    asyncio.run(_drain(url, viewers, fps))


async def _drain(url: str, viewers: int, fps: float) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    address = f"{url.replace('http', 'ws', 1)}ws?fps={fps:g}"
    frames = [0] * viewers

    async def look(number: int) -> None:
        while True:
            try:
                socket = await connect(address, max_size=None, compression=None)
                break
            except OSError:
                await asyncio.sleep(0.1)
        try:
            async for message in socket:
                frames[number] += isinstance(message, bytes)
        except ConnectionClosed:
            return

    begin_s = now_s()
    await asyncio.gather(*(look(number) for number in range(viewers)))
    print(f"{viewers} viewers: {sum(frames) / viewers / (now_s() - begin_s):.1f} frames a second each", flush=True)


def metric(url: str, name: str) -> float:
    """The value of a metric of the page, whatever its labels."""
    with urllib.request.urlopen(f"{url}metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = re.search(rf"^{name}(?:{{.*?}})? (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def ask_cpu_s(running: subprocess.Popen[str]) -> float:
    """Seconds that the page's threads of a stream have computed so far."""
    print(file=running.stdin, flush=True)
    return float(cast(IO[str], running.stdout).readline())


def child(*words: object, **pipes: Any) -> subprocess.Popen[str]:
    """This study as another process."""
    return subprocess.Popen([sys.executable, "-m", __spec__.name, *map(str, words)], text=True, **pipes)


if __name__ == "__main__":
    main()
