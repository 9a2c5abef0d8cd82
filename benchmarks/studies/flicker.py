"""What smoothing does to a labelled video: flicker, mIoU, IoU of what moves, and time.

    python -m epee.benchmarks.studies.flicker BUNDLE --data D.yaml [--moving car,pedestrian,bicyclist] [--clip VIDEO]

The split has to be a video: consecutive frames of one size, in the order of their names, each labelled. The bundle's
masks, the same masks smoothed, and the labels themselves are scored along the same paths. With `--clip`, `epee run`
and `epee run --smooth` take turns on a video, each in a process of its own, for what smoothing costs a whole run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from ...runtime import pixels
from ...runtime.bundle import Bundle
from ...runtime.dataset import open_dataset
from ...runtime.errors import DataError
from ...runtime.flicker import Flicker, Path, paths
from ...runtime.model import open_model
from ...runtime.scores import Confusion
from ...runtime.smoothing import Smoother
from .overhead import child

Arrays = Sequence[NDArray[Any]]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--moving", default="car,pedestrian,bicyclist")
    parser.add_argument("--clip")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    images, labels = frames_of(args.data, args.split)
    with open_model(bundle, args.backend, args.precision) as model:
        plain = [model(image).outputs["mask"].copy() for image in images]
        fit = model.manifest.fit
    smooth, smoothing_ms = smoothed(images, plain, Smoother(fit))
    ways, ignore = paths(images), 255 if bundle.manifest.ignore is None else bundle.manifest.ignore
    print(f"{len(images)} frames; labels {flicker_of(labels, ways):.4f} of the followed pixels change class")
    for name, masks in (("plain", plain), ("smooth", smooth)):
        masks = [pixels.unfit_mask(mask, image.shape[:2], fit) for mask, image in zip(masks, images, strict=True)]
        confusion = Confusion(len(bundle.manifest.classes), ignore)
        for label, mask in zip(labels, masks, strict=True):
            confusion.add(label, mask)
        iou = dict(zip(bundle.manifest.classes, confusion.iou(), strict=True))
        print(f"{name:<7} flicker {flicker_of(masks, ways):.4f}, mIoU {confusion.miou():.4f}, "
              + ", ".join(f"{moving} {iou[moving]:.4f}" for moving in args.moving.split(",")))
    print(f"smoothing takes {smoothing_ms:.2f} ms a frame on one core")
    if args.clip:
        cost(bundle, args)


def frames_of(data: str, split: str) -> tuple[Arrays, Arrays]:
    """Images and labels of a split, in order."""
    dataset = open_dataset(data, split)
    pairs = [dataset[i] for i in range(len(dataset))]
    if len(pairs) < 2:
        raise DataError(f"video '{data}' ({split})", got=f"{len(pairs)} frames", expected="2 or more")
    return [image for image, _ in pairs], [label for _, label in pairs]


def smoothed(images: Arrays, masks: Arrays, smoother: Smoother) -> tuple[list[NDArray[Any]], float]:
    """The masks smoothed, and the median time in milliseconds."""
    answers, times_ms = [], []
    for image, mask in zip(images, masks, strict=True):
        start = time.perf_counter()
        answers.append(smoother(image, mask))
        times_ms.append(1e3 * (time.perf_counter() - start))
    return answers, statistics.median(times_ms)


def flicker_of(masks: Arrays, ways: Sequence[Path | None]) -> float:
    """The score of masks along the paths of their images."""
    flicker = Flicker()
    for mask, way in zip(masks, ways, strict=True):
        flicker.add(mask, way)
    return flicker.share


def cost(bundle: Bundle, args: argparse.Namespace) -> None:
    """Milliseconds a frame of whole runs with and without, in turn."""
    ratios = []
    for _ in range(args.rounds):
        ms = []
        for extra in ((), ("--smooth",)):
            words = ("--source", args.clip, "--sink", "null", "--backend", args.backend, "--precision", args.precision)
            run = json.loads(child("-m", "epee", "run", bundle.path, *words, "--json", *extra))
            ms.append(1e3 * run["seconds"] / run["frames"])
        ratios.append(ms[1] / ms[0])
        print(f"run {ms[0]:.2f} ms a frame, smoothed {ms[1]:.2f} ms, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
