"""What `epee run` costs over the bare model: time a frame of the whole command over the session's own.

    python -m epee.benchmarks.studies.overhead BUNDLE [--size 480x360] [--sink null] [--precision fp32]

Draws a clip of a street, then in turn, each in a process of its own: the bundle's graph alone in ONNX Runtime, on
the clip's first frame again and again; and `epee run` over the clip with the same backend, precision and threads. The
figure is the median of (seconds / frames of the run) / (mean time of the bare call). Below 1 it means that the frames
which the run computes side by side, a thread each, are more than one frame on all threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from ...runtime.bundle import Bundle
from ...runtime.cli import parse_size
from ...runtime.frames import Frame, Result
from ...runtime.sinks import SinkInfo, open_sink
from ...runtime.street import Street

SEED, FRAMES, FPS = 77, 250, 25.0
BARE = """
import json, statistics, sys, time
import cv2, numpy as np, onnxruntime as ort

model, clip, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
options = ort.SessionOptions()
options.intra_op_num_threads = threads
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
spec = session.get_inputs()[0]
frame = cv2.VideoCapture(clip).read()[1]
feed = {spec.name: np.ascontiguousarray(cv2.resize(frame, (spec.shape[2], spec.shape[1])))[None]}
times = []
for _ in range(70):
    start = time.perf_counter()
    session.run(None, feed)
    times.append(1e3 * (time.perf_counter() - start))
print(json.dumps(statistics.mean(times[20:])))
"""


def main() -> None:
    """Measures and prints a line a round, and the median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--size", default="480x360", type=parse_size, help="of the clip")
    parser.add_argument("--sink", default="null")
    parser.add_argument("--precision", default="fp32", help="a variant's name")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    model = bundle.file(bundle.manifest.variant(args.precision))
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "street.mp4"
        draw(clip, bundle, args.size)
        for _ in range(args.rounds):
            bare_ms = float(child("-c", BARE, model, clip, args.threads))
            run = json.loads(child("-m", "epee", "run", bundle.path, "--source", clip, "--sink", args.sink, "--backend",
                                   "onnxruntime", "--precision", args.precision, "--threads", args.threads, "--json"))
            run_ms = 1e3 * run["seconds"] / run["frames"]
            ratios.append(run_ms / bare_ms)
            print(f"bare {bare_ms:.2f} ms, whole frame {run_ms:.2f} ms, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f}")


def draw(path: Path, bundle: Bundle, size_wh: tuple[int, int]) -> None:
    """Writes a clip of a street as mp4."""
    street = Street(SEED, size_wh)
    with open_sink(str(path), SinkInfo("street", bundle.manifest, FPS)) as sink:
        for i in range(FRAMES):
            image, _ = street.render(i)
            sink.write(Result(Frame(image, i, "street"), {"image": image}, bundle.manifest))


def child(*words: object) -> str:
    """Standard output of a Python process of its own."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
