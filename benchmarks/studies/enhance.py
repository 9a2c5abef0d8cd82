"""What enhancers are worth: PSNR over plain ways, and sharpness.

    python -m epee.benchmarks.studies.enhance --data IMAGES --out RUNS [--minutes 30] [--adversarial-minutes 15] \
        [--tasks x2,jpeg] [--cell 1]

IMAGES has `train` and `val`, folders of pictures; val is never learned from. Three trainings: twice the size, by pixels
(nano, 12 k parameters, with cells of 2 19 k); the same, gone on with against a discriminator; and JPEG of quality 30
undone at its own size (small, 76 k, with cells of 2 80 k). Twice the size is compared with Pillow's bicubic enlargement
of Pillow's bicubic (antialiased) reduction, JPEG with the decoded JPEG: PSNR of uint8 BGR, whole pictures, the mean
over val. Sharpness is the mean squared difference of neighbouring pixels as a share of the real pictures', and KID of
patches in the shipped extractor's features. Minutes are of processor time, and PyTorch has one thread unless
`--threads` says otherwise. What is in RUNS already is gone on with.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ...runtime.errors import TrainingError, need
from ...runtime.quality import SHIPPED
from ...runtime.quality.distances import kid
from ...runtime.quality.extractor import Extractor, open_extractor
from ...train import checkpoint
from ...train.checks import check_name
from ...train.comparisons import answers, mean_psnr, rows
from ...train.degrade import DAMAGES, jpeg
from ...train.enhance import train_enhance
from ...train.presets.enhance import EnhanceConfig, network_of
from ...train.scenes import open_scenes
from . import ledger

TASKS = {"x2": ("pixel", "adversarial"), "jpeg": ("jpeg",)}
"""What is asked of enhancers -> the runs that answer it."""
QUALITY, PATCH, PATCHES = 30, 32, 20
"""Of the JPEG; height and width of the patches that KID compares, and how many of each picture."""

DETAIL, SHOWN = 120, 4
"""Height and width of what is shown of a picture, and of how many pictures, in RUNS/x2.png and RUNS/jpeg.png."""

Image = NDArray[np.uint8]


def main() -> None:
    """Trains what is not there yet, and prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, metavar="RUNS")
    parser.add_argument("--minutes", type=float, default=30, help="of each pixel training")
    parser.add_argument("--adversarial-minutes", type=float, default=15)
    parser.add_argument("--steps", type=int, help="in place of all minutes")
    parser.add_argument("--tasks", default=",".join(TASKS), help="with commas (default: %(default)s)")
    parser.add_argument("--cell", type=int, default=1, help="of the networks (default: %(default)s)")
    parser.add_argument("--extractor", default=SHIPPED)
    parser.add_argument("--limit", type=int, help="only so many pictures of val, evenly spread")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tasks = args.tasks.split(",")
    for task in tasks:
        check_name("task", task, TASKS)
    configs = configurations(args)
    runs = {name: trained(configs[name], args.out / name) for task in tasks for name in TASKS[task]}
    real = list(open_scenes(args.data / "val", 96).spread(args.limit or 1 << 30).images)
    with open_extractor(args.extractor, threads=args.threads) as extractor:
        made = {task: ways(task, real, runs) for task in tasks}
        found = {"pictures": len(real), "kid": extractor.kid_name, "machine": ledger.here(),
                 **{task: measured(made[task], real, extractor) for task in tasks}}
    for task in tasks:
        cv2.imwrite(str(args.out / f"{task}.png"), details(made[task], real))
    (args.out / "enhance.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n".join(told(found)))


def configurations(args: argparse.Namespace) -> dict[str, EnhanceConfig]:
    """Name of a run -> what to train, each after those that it begins with."""
    def config(minutes: float, **fields: Any) -> EnhanceConfig:
        budget = {"minutes": minutes, "clock": "cpu"} if args.steps is None else {"steps": args.steps}
        return EnhanceConfig(data=str(args.data / "train"), val=str(args.data / "val"), seed=args.seed, **budget,
                             **fields)

    twice = network_of("nano", 2, args.cell)
    return {"pixel": config(args.minutes, network=twice),
            "adversarial": config(args.adversarial_minutes, network=twice, adversarial=1.0,
                                  start=str(args.out / "pixel")),
            "jpeg": config(args.minutes, preset="small", network=network_of("small", 1, args.cell),
                           damage=DAMAGES["jpeg"])}


def ways(task: str, real: Sequence[Image], runs: Mapping[str, Path]) -> dict[str, list[Image]]:
    """Name -> the pictures that come of a plain way, first, and of the runs of a task."""
    if task == "jpeg":
        damaged = [jpeg(image, QUALITY) for image in real]
        plain = {"decoded": damaged}
    else:
        damaged = [reduced(image) for image in real]
        plain = {"bicubic": [enlarged(image) for image in damaged]}
    return {**plain, **{name: made_by(runs[name], damaged) for name in TASKS[task]}}


def trained(config: EnhanceConfig, run: Path) -> Path:
    """The run's folder; trained now, or gone on with, where it is not whole.

    Raises:
        TrainingError: it was given up, or is of another network.
    """
    if not (run / checkpoint.GENERATOR).is_file():
        metrics = train_enhance(config, run, resume=(run / checkpoint.LAST).is_file())
        if not metrics["healthy"]:
            raise TrainingError(f"run '{run}' was given up", got=metrics["problem"])
    if (there := checkpoint.load_trained(run).network.config) != config.network:
        raise TrainingError(f"run '{run}'", got=there, expected=config.network, do="name another --out")
    return run


def made_by(run: Path, images: Sequence[Image]) -> list[Image]:
    """What the run's network makes of pictures."""
    return answers(checkpoint.load_trained(run).network, images, torch.device("cpu"))


def reduced(image: Image) -> Image:
    """Half the size, Pillow's bicubic; an odd last row or column is left out."""
    h, w = (n - n % 2 for n in image.shape[:2])
    return _pillow(image[:h, :w], (w // 2, h // 2))


def enlarged(image: Image) -> Image:
    """Twice the size, Pillow's bicubic."""
    h, w = image.shape[:2]
    return _pillow(image, (2 * w, 2 * h))


def _pillow(image: Image, size_wh: tuple[int, int]) -> Image:
    pil: Any = need("PIL.Image")
    return np.array(pil.fromarray(np.ascontiguousarray(image)).resize(size_wh, pil.BICUBIC), np.uint8)


def measured(made: dict[str, list[Image]], real: list[Image], extractor: Extractor) -> dict[str, Any]:
    """For each way: PSNR in dB, gradient energy as a share of the real pictures', KID of patches and its error."""
    targets = [image[:made_image.shape[0], :made_image.shape[1]]
               for image, made_image in zip(real, next(iter(made.values())), strict=True)]
    energy, features = gradient_energy(targets), extractor(patches(targets))
    found = {}
    for name, images in made.items():
        distance = kid(extractor(patches(images)), features, resamples=0)
        found[name] = {"psnr": mean_psnr(images, targets), "gradient": gradient_energy(images) / energy,
                      "kid": distance.value, "kid_se": distance.se}
    return found


def details(made: Mapping[str, Sequence[Image]], real: Sequence[Image]) -> Image:
    """The centre of a few pictures enlarged: a row a picture, a column a way in the given order, the real one last."""
    def middle(image: Image) -> Image:
        y, x = ((n - DETAIL) // 2 for n in image.shape[:2])
        return np.repeat(np.repeat(image[y:y + DETAIL, x:x + DETAIL], 2, 0), 2, 1)

    chosen = np.linspace(0, len(real) - 1, min(SHOWN, len(real))).astype(int)
    return rows([[middle(images[i]) for i in chosen] for images in (*made.values(), real)])


def gradient_energy(images: Sequence[Image]) -> float:
    """Mean squared difference of neighbouring pixels, down and across, in grey levels."""
    def mean(image: Image) -> float:
        x = image.astype(np.float32)
        return float(np.square(np.diff(x, axis=0)).mean() + np.square(np.diff(x, axis=1)).mean())

    return float(np.mean([mean(image) for image in images]))


def patches(images: Sequence[Image], seed: int = 0) -> list[Image]:
    """PATCHES of each picture, at places that are the same for all ways."""
    rng, found = np.random.default_rng(seed), []
    for image in images:
        for _ in range(PATCHES):
            y, x = (int(rng.integers(n - PATCH + 1)) for n in image.shape[:2])
            found.append(np.ascontiguousarray(image[y:y + PATCH, x:x + PATCH]))
    return found


def told(found: dict[str, Any]) -> list[str]:
    """What a person reads."""
    of: Callable[[str], dict[str, dict[str, float]]] = found.__getitem__
    lines = [f"{found['pictures']} pictures{'PSNR, dB':>20}{'over':>8}{'gradient':>10}   {found['kid']}"]
    for task in (task for task in TASKS if task in found):
        plain = next(iter(of(task).values()))["psnr"]
        lines += [f"{task:<6}{name:<16}{row['psnr']:>10.2f}{row['psnr'] - plain:>+8.2f}{row['gradient']:>10.3f}   "
                  f"{row['kid']:.5f} ± {row['kid_se']:.5f}" for name, row in of(task).items()]
    return lines


if __name__ == "__main__":
    main()
