"""Which parts of the segmenter's recipe help on a drive that was never seen.

    python -m epee.benchmarks.studies.cross_drive --data camvid.yaml --out RUNS [--recipes baseline,unseen] \
        [--folds 0001TP,0006R0,0016E5] [--steps 2500] [--size 240x180] [--seed 0]

CamVid's val is seven seconds of one street, a second away from training pictures: it cannot tell recipes apart. Here
each training leaves one drive out and is scored on its frames, with the averaged weights of the last step; nothing is
chosen by that score. The frames that were left out of the three trainings are pooled into one confusion matrix, and
recipes are compared by its mean IoU. Each training is a line of `--results`; what is there is not run again, and what
was interrupted goes on from its last checkpoint. A recipe with a teacher first trains one without the same drive, and
the teacher's minutes count. `--recipes none` only prints what is known.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.cli import parse_size
from ...runtime.errors import ConfigError, near
from ...train import checkpoint
from ...train.presets.segment import NETWORKS, RECIPES, UNSEEN, SegmentConfig
from ...train.segment import train_segment
from ...train.splits import open_splits
from . import ledger
from .folds import FOLDS, confusion_of
from .ledger import append, line_of, pooled

TEACHER = "teacher"
Recipe = Mapping[str, Mapping[str, Any]]
"""Group of fields -> field -> value: `training` (of SegmentConfig), `network`, `augment`, `terms`."""

_RARE: dict[str, Any] = {"focus": 0.3, "paste": 0.5}
_UNSEEN = dataclasses.asdict(UNSEEN)
_HEADS: dict[str, Any] = {"auxiliary": 0.4, "boundary": 0.5}

TRIED: Mapping[str, Recipe] = {
    "baseline": {},
    "unseen": {"augment": _UNSEEN},
    "focus": {"augment": {"focus": 0.3}},
    "paste": {"augment": {"paste": 0.5}},
    "unweighted": {"training": {"weight_floor": 0.0}},
    "weights": {"training": {"weight_floor": 1.02}},
    "hardest": {"terms": {"hardest": 0.25}},
    "auxiliary": {"terms": {"auxiliary": 0.4}},
    "boundary": {"terms": {"boundary": 0.5}},
    "half": {"network": {"decode2": 16}},
    "small-steps": {"augment": {"small_steps": 0.6}},
    "zoom-in": {"augment": {"scale": (1.0, 2.5)}},
    "unseen+rare": {"augment": {**_UNSEEN, **_RARE}},
    "unseen+rare+heads": {"augment": {**_UNSEEN, **_RARE}, "terms": _HEADS},
    "unseen+rare+heads+half": {"augment": {**_UNSEEN, **_RARE}, "terms": _HEADS, "network": {"decode2": 16}},
    TEACHER: {"training": {"preset": TEACHER}, "augment": _UNSEEN},
    "distill": {"training": {"teacher": TEACHER}, "augment": _UNSEEN},
    "distill+pairwise": {"training": {"teacher": TEACHER}, "augment": _UNSEEN, "terms": {"pairwise": 1.0}},
}
"""Name -> what it changes of the preset `small`."""
RESULTS = ledger.FOLDER / "cross_drive.jsonl"


@dataclass(frozen=True)
class Study:
    """What all trainings share.

    Attributes:
        data: the dataset YAML.
        runs: where runs are kept.
        results: a line a training.
        size_wh: of the pictures.
        steps: of each training.
        seed: of each training.
    """

    data: str
    runs: Path
    results: Path
    size_wh: tuple[int, int]
    steps: int
    seed: int

    def key(self, recipe: str, fold: str) -> dict[str, Any]:
        """What names a training in the results."""
        return {"recipe": recipe, "fold": fold, "size": "x".join(map(str, self.size_wh)), "steps": self.steps,
                "seed": self.seed}

    def known(self, recipe: str, fold: str) -> dict[str, Any] | None:
        """The line of a training, or None."""
        return line_of(self.results, self.key(recipe, fold))

    def run(self, recipe: str, fold: str) -> dict[str, Any]:
        """The line of a training, which is run or gone on with where there is none yet."""
        known = self.known(recipe, fold)
        return known if known is not None else self._train(recipe, fold)

    def folder(self, recipe: str, fold: str) -> Path:
        """Where a training's run is."""
        return self.runs / "-".join(str(value) for value in self.key(recipe, fold).values())

    def config(self, recipe: str, fold: str) -> SegmentConfig:
        """The preset `small`, or the one that the recipe names, with the recipe's changes."""
        changes = {"training": {}, "network": {}, "augment": {}, "terms": {}, **TRIED[recipe]}
        training = dict(changes["training"])
        preset = training.get("preset", "small")
        if "teacher" in training:
            training["teacher"] = str(self.folder(training["teacher"], fold))
        fields = {"preset": preset, "network": NETWORKS[preset], **RECIPES[preset], **training}
        config = SegmentConfig(data=self.data, size_wh=self.size_wh, steps=self.steps, seed=self.seed,
                               leave_out=(fold,), evaluations=1, **fields)
        nested = {group: dataclasses.replace(getattr(config, group), **changes[group])
                  for group in ("network", "augment", "terms")}
        return dataclasses.replace(config, **nested)

    def _train(self, recipe: str, fold: str) -> dict[str, Any]:
        config, folder, before = self.config(recipe, fold), self.folder(recipe, fold), 0.0
        if config.teacher:
            before = self.run(TEACHER, fold)["minutes"]
            if not (Path(config.teacher) / checkpoint.BEST).is_file():
                raise ConfigError(f"teacher's run '{config.teacher}'", got="nothing there",
                                  do=f"remove its line from {self.results}, or name the --out where it is")
        metrics = train_segment(config, folder, resume=(folder / checkpoint.LAST).is_file())
        scored = open_splits(config).scored
        if scored is None:
            raise ConfigError(f"fold '{fold}'", got="nothing to score")
        confusion = confusion_of(folder, scored)
        row = {**self.key(recipe, fold), "miou": round(confusion.miou(), 5), "names": list(scored.names),
               "confusion": confusion.matrix.tolist(), "minutes": round(metrics["minutes"] + before, 2),
               "images_per_s": metrics["images_per_s"], "parameters": metrics["parameters"]}
        append(self.results, row)
        print(f"{recipe}, without {fold}: mIoU {row['miou']:.4f} after {row['minutes']:.1f} minutes", flush=True)
        return row


def main() -> None:
    """Runs what is not done yet, and prints what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, type=Path, metavar="RUNS")
    parser.add_argument("--recipes", default=",".join(TRIED), help="with commas, or none (default: %(default)s)")
    parser.add_argument("--folds", default=",".join(FOLDS), help="with commas (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=2500, help="default: %(default)s")
    parser.add_argument("--size", default="240x180", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: beside this package")
    args = parser.parse_args()
    recipes = [] if args.recipes == "none" else args.recipes.split(",")
    for recipe in recipes:
        if recipe not in TRIED:
            raise ConfigError(f"recipe '{recipe}'", got="no such recipe", do=near(recipe, list(TRIED)))
    study = Study(args.data, args.out, args.results, parse_size(args.size), args.steps, args.seed)
    folds = args.folds.split(",")
    for recipe in recipes:
        for fold in folds:
            study.run(recipe, fold)
    print(table(study, folds))
    print(ledger.machines(ledger.lines(args.results)))


def table(study: Study, folds: Sequence[str]) -> str:
    """Pooled mIoU and IoU of each class, a line a recipe whose folds are all done, the best first."""
    found = []
    for recipe in TRIED:
        rows = [row for fold in folds if (row := study.known(recipe, fold)) is not None]
        if len(rows) == len(folds):
            found.append((recipe, pooled(rows), sum(row["minutes"] for row in rows), rows[0]["names"]))
    if not found:
        return "no recipe has all its folds yet"
    names = found[0][3]
    head = f"{'recipe':<24}{'mIoU':>7}{'minutes':>9}" + "".join(f"{name[:9]:>10}" for name in names)
    return "\n".join([head, *(
        f"{recipe:<24}{confusion.miou():>7.4f}{minutes:>9.1f}" + "".join(f"{x:>10.3f}" for x in confusion.iou())
        for recipe, confusion, minutes, _ in sorted(found, key=lambda entry: -entry[1].miou()))])


if __name__ == "__main__":
    main()
