"""Quality beside speed: what a variant answers, against the goldens in every process, and on data once."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.backends import Session
from ..runtime.bundle import Bundle
from ..runtime.errors import DataError
from ..runtime.manifest import Manifest, TensorSpec, Tolerance
from ..runtime.scores import psnr, ssim
from ..runtime.verify import Named, compare
from .rows import Settings
from .scenarios import Feeds

MOST_PSNR_DB = 100.0
"""Stands for more, and for equal pictures, whose PSNR is infinite."""
PICTURES, SSIM_WINDOW = 4, 11
"""Of the goldens, for PSNR and SSIM; SSIM's least height and width."""
SAMPLES = 2000
"""Pictures that a generator makes to be scored, where no limit is given."""


def of_goldens(session: Session, feeds: Feeds, expected: Named, tolerance: Tolerance, *,
               pictures: bool) -> dict[str, Any]:
    """Lets the session answer every feed, in the batch that it was timed with.

    Args:
        session: opened.
        feeds: the calls' inputs.
        expected: golden outputs in the order of the feeds.
        tolerance: the variant's.
        pictures: whether PSNR and SSIM of picture outputs are computed too.

    Returns:
        `golden_equal` (least share over the outputs, 0 to 1), `wrong` (lines), `quality`.
    """
    parts = [session.run(feed) for feed in feeds]
    for spec in session.outputs:
        lines = [f"output '{spec.name}': got {part[spec.name].shape}, expected {expected[spec.name][:size].shape}"
                 for part, size in zip(parts, map(_size, feeds), strict=True)
                 if part[spec.name].shape != expected[spec.name][:size].shape]
        if lines:
            return {"golden_equal": 0.0, "wrong": lines[:1], "quality": {}}
    answers = {spec.name: np.concatenate([part[spec.name] for part in parts]) for spec in session.outputs}
    checks = list(compare(session.outputs, answers, expected, tolerance))
    found = _likeness(session.outputs, answers, expected) if pictures else {}
    return {"golden_equal": min(share for _, share, _ in checks), "quality": found,
            "wrong": [f"output '{name}': {wrong}" for name, _, wrong in checks if wrong]}


def check_data(manifest: Manifest, settings: Settings) -> None:
    """Shows that the data can be scored on, before minutes are spent on measuring.

    Raises:
        DataError: there is none, or it does not fit the bundle.
    """
    if manifest.task == "segment":
        from ..runtime.evaluate import open_fitting

        open_fitting(manifest, settings.data, settings.split or "val", settings.limit)
    elif manifest.task != "generate":
        raise DataError(f"bundle '{manifest.name}'", got=f"task {manifest.task}", expected="segment or generate",
                        do="leave --data out: pictures are compared with the goldens")
    elif not Path(settings.data).exists():
        raise DataError(f"data '{settings.data}'", got="nothing there", expected="a folder or zip of pictures")


def of_data(bundle: Bundle, backend: str, variant: str, threads: int, settings: Settings) -> dict[str, float]:
    """Scores a variant on data: `miou` and `pixel_accuracy` of a segmenter, `kid-NAME` of a generator.

    Raises:
        EpeeError: the data is broken, or the variant does not open.
    """
    if bundle.manifest.task == "segment":
        from ..runtime.evaluate import evaluate

        scores = evaluate(bundle, settings.data, settings.split or "val", backend=backend, precision=variant,
                          threads=threads, limit=settings.limit)
        return {name: x for name, x in (("miou", scores.miou), ("pixel_accuracy", scores.pixel_accuracy)) if x == x}
    from ..runtime.quality import command

    made = command.score(Namespace(bundle=str(bundle.path), data=settings.data, split=settings.split or None,
                                   backend=backend, precision=variant, threads=threads, extractor=None, inception=None,
                                   neighbours=None, size=None, seed=0, samples=settings.limit or SAMPLES),
                         lambda done, count: None)
    return {made.kid_name: made.kid.value, f"{made.kid_name}-se": made.kid.se}


def _likeness(outputs: tuple[TensorSpec, ...], answers: Named, expected: Named) -> dict[str, float]:
    """PSNR and SSIM of the first pictures against the goldens' (the float reference's), means."""
    for spec in outputs:
        if spec.pixel == "bgr8":
            pairs = list(zip(answers[spec.name][:PICTURES], expected[spec.name], strict=False))
            found = {"psnr_db": float(np.mean([min(psnr(a, b), MOST_PSNR_DB) for a, b in pairs]))}
            if min(pairs[0][0].shape[:2]) >= SSIM_WINDOW:
                found["ssim"] = float(np.mean([ssim(a, b) for a, b in pairs]))
            return found
    return {}


def _size(feed: Any) -> int:
    return len(next(iter(feed.values())))
