"""Whether the default loss makes better pictures than the non-saturating one, everything else being equal.

    python -m epee.benchmarks.studies.losses --data FOLDER|ZIP --out RUNS [--minutes 20] [--seeds 5] [--trials 4]

First each of the two is tuned: as many trials for the one as for the other, over the same settings, with a seed of
their own. Then both train with their best settings and fresh seeds, in pairs, turn about. KID of 10,000 samples against
all test pictures is compared within pairs; that the default is better is claimed only where the 95% interval of the
mean difference lies below zero, and what comes out is printed either way. The original minimax loss stands beside them
as an illustration, with the other's settings. Each run is a line of `--results`, and what is there is not run again:
the study goes on where it stopped.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.quality import SHIPPED
from ...runtime.quality.extractor import open_extractor
from ...runtime.quality.scoring import Judge
from ...train import checkpoint
from ...train.generate import train_generate
from ...train.generate_presets import GenerateConfig
from ...train.pictures import open_pictures
from ...train.scoring import pictures_of
from .modes import append, lines

OURS, THEIRS, ILLUSTRATION = "relativistic", "nonsaturating", "minimax"
SETTINGS: tuple[dict[str, float], ...] = (
    {"gamma": 0.05, "rate_first": 4e-4, "rate_last": 1e-4}, {"gamma": 0.2, "rate_first": 4e-4, "rate_last": 1e-4},
    {"gamma": 0.01, "rate_first": 4e-4, "rate_last": 1e-4}, {"gamma": 0.05, "rate_first": 8e-4, "rate_last": 2e-4},
    {"gamma": 0.2, "rate_first": 8e-4, "rate_last": 2e-4}, {"gamma": 0.05, "rate_first": 2e-4, "rate_last": 5e-5})
"""What is tried, in this order, for either loss."""
TUNING_SEED = 1000
SAMPLES = 10_000
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Number of pairs -> Student's t of a 95% interval."""
RESULTS = Path(__file__).parent.parent / "results" / "losses.jsonl"


@dataclass(frozen=True)
class Study:
    """What all runs share.

    Attributes:
        data: a folder or a zip with `train` and `test`, a folder a class.
        runs: where runs are kept.
        results: a line a run.
        minutes: of each run.
        judge: with the test pictures.
        samples: pictures that a run is judged by.
        size: of the pictures.
    """

    data: str
    runs: Path
    results: Path
    minutes: float
    judge: Judge
    samples: int = SAMPLES
    size: int = 32

    def kid(self, phase: str, loss: str, seed: int, settings: dict[str, float]) -> float:
        """KID of a run: from the results where it is there, else trained, or gone on with, now."""
        key: dict[str, Any] = {"phase": phase, "loss": loss, "seed": seed, "minutes": self.minutes, **settings}
        for line in lines(self.results):
            if key.items() <= line.items():
                return float(line["kid"])
        name = "-".join([phase, loss, str(seed), *(f"{value:g}" for value in settings.values())])
        run = self.runs / name
        config = GenerateConfig(data=self.data, subset="train", half="a", classes=True, size=self.size, loss=loss,
                                seed=seed, minutes=self.minutes, **settings)  # type: ignore[arg-type]
        metrics = train_generate(config, run, resume=(run / checkpoint.LAST).is_file())
        scores = self.judge(pictures_of(checkpoint.load_trained(run).network, self.samples, seed=1))
        found = {"kid": scores.kid.value, "se": scores.kid.se, "fd": scores.fd, "precision": scores.precision,
                 "recall": scores.recall, "name": scores.kid_name, "healthy": metrics["healthy"],
                 "steps": metrics["steps"], "images": metrics["images"]}
        append(self.results, {**key, **found})
        print(f"{name}: {scores.kid_name} {scores.kid.value:.5f}, {metrics['images']} pictures seen", flush=True)
        return scores.kid.value


def main() -> None:
    """Runs what is not done yet, and prints what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, type=Path, metavar="RUNS")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seeds", type=int, default=5, choices=sorted(T95))
    parser.add_argument("--trials", type=int, default=4, choices=range(1, len(SETTINGS) + 1))
    parser.add_argument("--extractor", default=SHIPPED)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: beside this package")
    args = parser.parse_args()
    with open_extractor(args.extractor) as extractor:
        test = open_pictures(args.data, 32, subset="test").images
        study = Study(args.data, args.out, args.results, args.minutes, Judge(extractor, test), args.samples)
        best = {loss: tuned(study, loss, args.trials) for loss in (OURS, THEIRS)}
        ours, theirs = compared(study, best, range(args.seeds))
        print("\n".join(verdict(extractor.kid_name, ours, theirs, best)))
        kid = study.kid("illustration", ILLUSTRATION, 0, best[THEIRS])
        print(f"{ILLUSTRATION}, one run with {THEIRS}'s settings: {kid:.5f}")


def tuned(study: Study, loss: str, trials: int) -> dict[str, float]:
    """The settings with the lowest KID, of the first so many."""
    return min(SETTINGS[:trials], key=lambda settings: study.kid("tuning", loss, TUNING_SEED, settings))


def compared(study: Study, best: dict[str, dict[str, float]], seeds: Sequence[int]) -> tuple[list[float], list[float]]:
    """KID by seed of ours and of theirs; who goes first changes from pair to pair."""
    found: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for seed in seeds:
        for loss in (OURS, THEIRS) if seed % 2 == 0 else (THEIRS, OURS):
            found[loss].append(study.kid("pairs", loss, seed, best[loss]))
    return found[OURS], found[THEIRS]


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean of paired differences, and its 95% interval by Student's t."""
    mean = statistics.fmean(differences)
    reach = T95[len(differences)] * statistics.stdev(differences) / math.sqrt(len(differences))
    return mean, mean - reach, mean + reach


def verdict(name: str, ours: Sequence[float], theirs: Sequence[float], best: dict[str, dict[str, float]]) -> list[str]:
    """What a person reads."""
    rows = [f"{'seed':<6}{OURS:>14}{THEIRS:>16}{'difference':>13}   {name}"]
    rows += [f"{i:<6}{a:>14.5f}{b:>16.5f}{a - b:>13.5f}" for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    mean, low, high = interval([a - b for a, b in zip(ours, theirs, strict=True)])
    claim = (f"{OURS} is better" if high < 0 else f"{THEIRS} is better" if low > 0 else
             "no difference is shown: the interval holds zero")
    return [*(f"{loss}: {settings}" for loss, settings in best.items()), *rows,
            f"mean {statistics.fmean(ours):.5f} and {statistics.fmean(theirs):.5f}, difference {mean:.5f}, "
            f"95% {low:.5f} to {high:.5f}: {claim}"]


if __name__ == "__main__":
    main()
