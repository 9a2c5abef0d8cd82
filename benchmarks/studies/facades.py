"""Whether translated facades are better than what the pixels alone teach, by a judge of their own.

    python -m epee.benchmarks.studies.facades --data FACADES --out RUNS [--minutes 60] [--judge-minutes 15] \
        [--only judge,pixels,adversarial]

FACADES has `train` and `val`, pictures with the photo on the left and the label map on the right. Two translators make
photos of label maps: one by pixels alone, one against a discriminator as well. A segmenter, which has learned to make
labels of train photos (and was chosen by some that were held back from train), says how much of the label maps can be
read in real val photos and in generated ones; and the sliced Wasserstein distance on patches of 64 pixels says how far
generated photos are from real ones. Nothing has learned from val. Minutes are of processor time. What is in RUNS
already is gone on with. With `--only` some of the three trainings run and nothing is judged, so that they can run side
by side in processes of their own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from ...runtime.colour_masks import classes_of
from ...runtime.errors import TrainingError
from ...train import checkpoint
from ...train.checks import check_name
from ...train.comparisons import answers, rows
from ...train.metrics import evaluate
from ...train.pairs import Image, open_sides
from ...train.presets.segment import NETWORKS, RECIPES, SegmentConfig
from ...train.presets.translate import TranslateConfig
from ...train.presets.translate import network_of as translator_of
from ...train.segment import FIT, train_segment
from ...train.translate import train_translate
from . import ledger
from .sliced import Slicer, distance, ratio

SIZE, HELD_BACK, IGNORE = 128, 40, 255
ARMS = {"pixels": False, "adversarial": True}
"""Name of a translator -> whether there is a discriminator."""
SHOWN = 6
"""Of val, evenly spread, in RUNS/facades.png: label map, by pixels, against a discriminator, photo."""
PALETTE_FILE = Path(__file__).parent.parent / "data" / "facades.yaml"


def palette() -> dict[str, tuple[int, int, int]]:
    """Name -> RGB in the label maps, by class id."""
    told = yaml.safe_load(PALETTE_FILE.read_text(encoding="utf-8"))
    return {name: tuple(told["colours"][i]) for i, name in told["names"].items()}


PALETTE = palette()


@dataclass
class Labelled:
    """Photos and masks in memory, as `runtime.dataset.Dataset`."""

    images: list[Image]
    masks: list[Image]
    names: tuple[str, ...] = tuple(PALETTE)
    colours: tuple[tuple[int, int, int], ...] = tuple(PALETTE.values())
    ignore: int = IGNORE

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.images[index], self.masks[index]


def main() -> None:
    """Trains what is not there yet, and prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, metavar="RUNS")
    parser.add_argument("--minutes", type=float, default=60, help="of each translator")
    parser.add_argument("--judge-minutes", type=float, default=15)
    parser.add_argument("--only", metavar="RUNS", help="train these, with commas, and judge nothing")
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    runs: dict[str, Callable[[], torch.nn.Module]] = {
        "judge": lambda: judge_of(args.data, args.out / "judge", args.judge_minutes),
        **{arm: partial(trained, config_of(args, arm), args.out / arm) for arm in ARMS}}
    only = [] if args.only is None else args.only.split(",")
    for name in only:
        check_name("run", name, runs)
        runs[name]()
    if only:
        return
    networks = {name: run() for name, run in runs.items()}
    real, maps, masks = val_of(args.data)
    made = {arm: answers(networks[arm], maps, torch.device("cpu")) for arm in ARMS}
    chosen = np.linspace(0, len(real) - 1, min(SHOWN, len(real))).astype(int)
    picture = rows([[images[i] for i in chosen] for images in (maps, made["pixels"], made["adversarial"], real)])
    cv2.imwrite(str(args.out / "facades.png"), picture)
    found = {**judged(networks["judge"], real, masks, made), "machine": ledger.here()}
    (args.out / "facades.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n".join(told(found)))


def config_of(args: argparse.Namespace, arm: str) -> TranslateConfig:
    """A translator's training: the arms differ in the discriminator alone."""
    return TranslateConfig(data=str(args.data / "train"), val=str(args.data / "val"), input="right", size=SIZE,
                           preset=args.preset, network=translator_of(args.preset, True), minutes=args.minutes,
                           clock="cpu", adversarial=ARMS[arm], seed=args.seed)


def trained(config: TranslateConfig, run: Path) -> torch.nn.Module:
    """The run's averaged translator; trained now, or gone on with, where it is not whole.

    Raises:
        TrainingError: it was given up.
    """
    whole = run / checkpoint.GENERATOR
    if not (whole.is_file() and checkpoint.load_trained(run).provenance["scores"]):
        metrics = train_translate(config, run, resume=(run / checkpoint.LAST).is_file())
        if not metrics["healthy"]:
            raise TrainingError(f"run '{run}' was given up", got=metrics["problem"])
    return checkpoint.load_trained(run).network


def judge_of(data: Path, out: Path, minutes: float) -> torch.nn.Module:
    """A segmenter of photos, trained on all but the last few of train and chosen by these."""
    if not (out / checkpoint.BEST).is_file():
        sides = open_sides(data / "train", None, SIZE)
        for split, chosen in (("train", slice(None, -HELD_BACK)), ("val", slice(-HELD_BACK, None))):
            for kind, images in (("images", sides.inputs[chosen]), ("masks", [ids(m) for m in sides.targets[chosen]])):
                folder = out / "data" / kind / split
                folder.mkdir(parents=True, exist_ok=True)
                for i, image in enumerate(images):
                    (folder / f"{i:04d}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
        described = out / "data" / "facades.yaml"
        described.write_text(yaml.safe_dump({"train": "images/train", "val": "images/val", "masks_dir": "masks",
                                             "names": dict(enumerate(PALETTE))}), encoding="utf-8")
        recipe: dict[str, Any] = {**RECIPES["small"], "minutes": minutes, "clock": "cpu"}
        train_segment(SegmentConfig(data=str(described), network=NETWORKS["small"], **recipe), out,
                      resume=(out / checkpoint.LAST).is_file())
    return checkpoint.load_trained(out).network


def val_of(data: Path) -> tuple[list[Image], list[Image], list[Image]]:
    """Photos and label maps of val, (SIZE, SIZE, 3) uint8, BGR, and masks, (SIZE, SIZE) uint8."""
    sides = open_sides(data / "val", None, SIZE)
    return list(sides.inputs), list(sides.targets), [ids(label) for label in sides.targets]


def ids(label: Image) -> Image:
    """Class ids of a label map's colours, (H, W) uint8, IGNORE where none is near."""
    return classes_of(label, tuple(PALETTE.values()), IGNORE)


def judged(judge: torch.nn.Module, real: list[Image], masks: list[Image],
           made: dict[str, list[Image]]) -> dict[str, Any]:
    """mIoU of the judge on real and generated photos, and distances of generated ones from the real."""
    def miou(images: list[Image]) -> float:
        return evaluate(judge, Labelled(images, masks), (SIZE, SIZE), FIT, torch.device("cpu")).miou()

    slicer = Slicer(np.stack(real))
    seen = {arm: slicer(np.stack(images)) for arm, images in {"real": real, **made}.items()}
    half = np.arange(len(real)) % 2 == 0
    value, low, high = ratio(seen["real"], seen["adversarial"], seen["pixels"])
    return {"pictures": len(real), "miou": {arm: miou(images) for arm, images in {"real": real, **made}.items()},
            "distance": {arm: distance(seen[arm], seen["real"]) for arm in made},
            "floor": distance(seen["real"].take(np.flatnonzero(half)),
                              seen["real"].take(np.flatnonzero(~half)[:half.sum()])) if len(real) % 2 == 0 else None,
            "ratio": {"value": value, "interval": [low, high]}}


def told(found: dict[str, Any]) -> list[str]:
    """What a person reads."""
    miou, value = found["miou"], found["ratio"]
    floor = "" if found["floor"] is None else f"; half of the real against the other {found['floor']:.4f}"
    return [f"mIoU of the judge on {found['pictures']} photos: "
            + ", ".join(f"{arm} {x:.4f} ({x / miou['real']:.2f} of real)" for arm, x in miou.items()),
            "sliced Wasserstein distance: "
            + ", ".join(f"{arm} {x:.4f}" for arm, x in found["distance"].items()) + floor,
            f"adversarial over pixels: {value['value']:.3f}, 95% {value['interval'][0]:.3f} to "
            f"{value['interval'][1]:.3f}"]


if __name__ == "__main__":
    main()
