"""What an animator is worth: how generated digits move, beside real ones and beside clips that move wrongly.

    python -m epee.benchmarks.studies.animate --out RUN [--minutes 60] [--seed 0]

Trains on flying digits (see `bouncing`), or goes on with what is in RUN, and exports it. A regressor that was trained
on held-out clips reads velocities off generated streams, off real held-out clips, and off controls: real frames
shuffled, frozen, and flying on without a bounce. `distance` is the Fréchet distance of the velocities of a clip (11
times x and y) from those of other real clips; of real clips it is the floor. `unsteady` is how much the speed along an
axis changes from frame to frame: a bounce keeps it. Generated clips are looked up among the training's, by half-size
grey pixels, and the nearest are drawn in RUN/nearest.png. Minutes are of processor time. Frames a second are of one
stream, a frame a call, on one thread, in this process.

The measure itself is measured: a control that lies nearer to real clips than real ones do ends in exit status 3.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ...export.exporting import export_bundle
from ...runtime.backends import candidates, open_session, probe
from ...runtime.bundle import Bundle
from ...runtime.cli import DONE, FAILED
from ...runtime.errors import BackendError, TrainingError
from ...runtime.model import Model
from ...runtime.quality.distances import frechet
from ...train import checkpoint
from ...train.animate import train_animate
from ...train.clips import Clips
from ...train.presets.animate import AnimateConfig, networks_of
from . import ledger
from .bouncing import FRAMES, SIZE, Images, Regressor, fly, frozen, shuffled, train_regressor, velocities

TRAINED_ON, JUDGED, REGRESSOR_STEPS = 3000, 1000, 1500
SHOWN, GAMMA = 8, 1.0
"""Clips that are drawn; weight of R1 and R2: digits are told apart from a beginner's pictures too easily for less."""
CONTROLS = ("shuffled", "frozen", "straight on")


def main() -> None:
    """Trains where needed, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, metavar="RUN")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, help="in place of the minutes")
    parser.add_argument("--frames", type=int, default=6, help="of a clip that the discriminators see")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=JUDGED, help="that are judged, of each kind")
    parser.add_argument("--train-clips", type=int, default=TRAINED_ON, help="that the animator learns from, and as "
                        "many others for the regressor")
    parser.add_argument("--regressor-steps", type=int, default=REGRESSOR_STEPS)
    parser.add_argument("--seconds", type=float, default=2.0, help="that a stream is timed for, each variant")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found, problems = study(args)
    (args.out / "animate.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n".join([*told(found), *problems]))
    sys.exit(FAILED if problems else DONE)


def study(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """What was found, and what does not come out as it has to."""
    training = fly("a", args.train_clips, seed=1)
    bundle = exported(args, training.images)
    regressor = train_regressor(fly("b", args.train_clips, seed=2), args.regressor_steps)
    real, other = (fly("b", args.clips, seed=seed) for seed in (3, 4))
    read = velocities(regressor, real.images)
    error = float(np.abs(read - np.diff(real.places, axis=1)).mean())
    with Model(open_session(bundle, "onnxruntime", "fp32"), bundle.manifest) as model:
        made = streamed(model, args.clips)
    kinds = {"real": real.images, "shuffled": shuffled(real.images), "frozen": frozen(real.images),
             "straight on": fly("b", args.clips, seed=3, bounce=False).images, "generated": made}
    against = velocities(regressor, other.images)
    rows = {name: measured(regressor, images, against) for name, images in kinds.items()}
    near = {name: nearest(images[:, :args.frames], training.images, args.frames)[1]
            for name, images in (("real", real.images[:256]), ("generated", made[:256]))}
    draw_nearest(args.out / "nearest.png", made[:SHOWN, :args.frames], training.images, args.frames)
    problems = [f"the measure: {name} clips lie at {rows[name]['distance']:.3f}, nearer than real ones at "
                f"{rows['real']['distance']:.3f}" for name in CONTROLS
                if rows[name]["distance"] <= rows["real"]["distance"]]
    found = {"regressor_error": error, "clips": args.clips, "rows": rows,
             "nearest": {name: float(np.median(distances)) for name, distances in near.items()},
             "frames_per_s": speeds(bundle, args.seconds), "machine": ledger.here()}
    return found, problems


def exported(args: argparse.Namespace, images: Images) -> Bundle:
    """The bundle of the run, trained and exported now where it is not there. Raises TrainingError if given up."""
    run, place = args.out, args.out / "animate.epee"
    if not place.is_dir():
        animator, discriminator = networks_of("nano", SIZE, args.frames)
        budget = {"minutes": args.minutes, "clock": "cpu"} if args.steps is None else {"steps": args.steps}
        config = AnimateConfig(data="flying digits", gamma=GAMMA, seed=args.seed, animator=animator,
                               discriminator=discriminator, **budget)
        metrics = train_animate(config, run, clips=Clips(tuple(images)), resume=(run / checkpoint.LAST).is_file())
        if not metrics["healthy"]:
            raise TrainingError(f"run '{run}' was given up", got=metrics["problem"])
        report = export_bundle(run, place, precisions=("fp16", "int8"))
        for row in report.rows:
            print(f"{row.variant}: {row.status} {row.reason}", file=sys.stderr)
    return Bundle.open(place)


def streamed(model: Model, count: int) -> Images:
    """Clips of generated streams, (count, FRAMES, SIZE, SIZE, 3): some from the beginning, others long after."""
    side = 16
    clips: list[Images] = []
    frames = []
    for result in model.stream(f"latents:noise?seed=11&grid={side}x{side}"):
        frames.append(result.outputs["image"])
        if len(frames) == FRAMES:
            clips.extend(np.stack(frames, 1))
            frames = []
            if len(clips) >= count:
                break
    return np.stack(clips[:count])


def measured(regressor: Regressor, images: Images, real: NDArray[np.float32]) -> dict[str, float]:
    """Speed, its deviation, unsteadiness in pixels a frame, and the distance from real velocities."""
    found = velocities(regressor, images)
    speed = np.linalg.norm(found, axis=-1)
    along = np.abs(found)
    return {"speed": float(speed.mean()), "speed_sd": float(speed.mean(1).std()),
            "unsteady": float(np.abs(np.diff(along, axis=1)).mean()),
            "distance": frechet(found.reshape(len(found), -1), real.reshape(len(real), -1))}


def nearest(clips: Images, training: Images, frames: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each clip the place of the nearest among all clips of the training, and its distance in grey levels (rms)."""
    places = [(run, start) for run in range(len(training)) for start in range(training.shape[1] - frames + 1)]
    known = np.stack([small(training[run, start:start + frames]) for run, start in places])
    norms = np.square(known).sum(1)
    found, distances = [], []
    for clip in clips:
        mine = small(clip)
        squares = norms - 2 * known @ mine + np.square(mine).sum()
        best = int(squares.argmin())
        found.append(places[best])
        distances.append(np.sqrt(max(0.0, float(squares[best])) / len(mine)))
    return np.array(found), np.array(distances, np.float32)


def small(clip: Images) -> NDArray[np.float32]:
    """A clip (T, SIZE, SIZE, 3) as grey numbers at half the size."""
    grey = clip[..., 1].astype(np.float32)
    halved: NDArray[np.float32] = grey.reshape(len(clip), SIZE // 2, 2, SIZE // 2, 2).mean((2, 4))
    return halved.ravel()


def draw_nearest(path: Path, clips: Images, training: Images, frames: int) -> None:
    """Writes generated clips, each above the nearest of the training."""
    places, _ = nearest(clips, training, frames)
    rows = [np.hstack(list(row)) for clip, (run, start) in zip(clips, places, strict=True)
            for row in (clip, training[run, start:start + frames])]
    image = np.vstack(rows)
    cv2.imwrite(str(path), cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST))


def speeds(bundle: Bundle, seconds: float) -> dict[str, float]:
    """Frames a second of one stream, by backend and variant."""
    found = {}
    for backend in ("onnxruntime", "openvino"):
        if not probe(backend).available:
            continue
        for variant in candidates(bundle, backend):
            if variant.kind != "onnx":
                continue
            try:
                session = open_session(bundle, backend, variant.name, threads=1)
            except BackendError as error:
                print(f"{backend} {variant.name}: {error}", file=sys.stderr)
                continue
            with Model(session, bundle.manifest) as model:
                model.warm_up()
                count, start_s = 0, time.perf_counter()
                for count, _ in enumerate(model.stream("latents:noise"), 1):  # noqa: B007 - counted
                    if time.perf_counter() - start_s > seconds:
                        break
                found[f"{backend} {variant.name}"] = round(count / (time.perf_counter() - start_s), 1)
    return found


def told(found: dict[str, Any]) -> list[str]:
    """What a person reads."""
    lines = [f"the regressor is wrong by {found['regressor_error']:.3f} pixels a frame on held-out clips",
             f"{'':<14}{'speed':>8}{'sd':>8}{'unsteady':>10}{'distance':>10}   of {found['clips']} clips"]
    lines += [f"{name:<14}{row['speed']:>8.3f}{row['speed_sd']:>8.3f}{row['unsteady']:>10.3f}{row['distance']:>10.3f}"
              for name, row in found["rows"].items()]
    lines.append("nearest clip of the training, median: " + ", ".join(
        f"{name} {value:.1f}" for name, value in found["nearest"].items()) + " grey levels")
    return lines + [f"{name}: {rate:.0f} frames a second" for name, rate in found["frames_per_s"].items()]


if __name__ == "__main__":
    main()
