"""One run of the study of losses, in a process of its own and on one thread; see `losses`. Its minutes are processor
time, so that other work on the machine does not shorten it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...runtime.picture_sets import open_pictures
from ...runtime.quality.extractor import open_extractor
from ...runtime.quality.scoring import Judge
from ...train import checkpoint
from ...train.generate import train_generate
from ...train.presets.generate import GenerateConfig
from ...train.scoring import pictures_of, scoring
from .ledger import append
from .losses import Job

SAMPLES, ON_THE_WAY, TIMES, SIZE = 10_000, 2_000, 8, 32


def main() -> None:
    """Trains, judges, and adds the line."""
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    job, run = Job(**asked["job"]), Path(asked["run"])
    course: list[float] = []
    with open_extractor(asked["extractor"], threads=1) as extractor:
        judge = Judge(extractor, open_pictures(asked["data"], SIZE, subset="test").images)
        score = scoring(judge, ON_THE_WAY)

        def watched(generator: nn.Module) -> dict[str, float]:
            scores = score(generator)
            course.append(scores[extractor.kid_name])
            return scores

        settings: dict[str, Any] = {name: value for name, value in job.key.items() if name != "phase"}
        config = GenerateConfig(data=asked["data"], subset="train", half="a", classes=True, size=SIZE,
                                evaluations=TIMES, clock="cpu", **settings)
        metrics = train_generate(config, run, score=watched, resume=(run / checkpoint.LAST).is_file(), quiet=True)
        scores = judge(pictures_of(checkpoint.load_trained(run).network, SAMPLES, seed=1))
    append(Path(asked["results"]), {
        **job.key, "kid": scores.kid.value, "se": scores.kid.se, "fd": scores.fd, "precision": scores.precision,
        "recall": scores.recall, "floor_recall": scores.floor.recall, "course": course, "name": scores.kid_name,
        "healthy": metrics["healthy"], "rollbacks": metrics["rollbacks"], "steps": metrics["steps"],
        "images": metrics["images"]})
    print(f"{job.name}: {scores.kid_name} {scores.kid.value:.5f}, {metrics['images']} pictures seen", flush=True)


if __name__ == "__main__":
    main()
