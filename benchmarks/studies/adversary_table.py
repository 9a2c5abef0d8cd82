"""What the study of the adversary tells: a table, a verdict for each pair of arms, and a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import need
from ..statistics import mean_interval
from . import boundaries
from .ledger import pooled

PAIRS = (("unlabelled", "plain"), ("adversary", "unlabelled"), ("adversary", "plain"))
"""Arms that are compared: the first minus the second."""
PARTS = 8
"""Of a run, in each of which the mean of a measure is noted."""
Rows = Sequence[Mapping[str, Any]]
Found = Mapping[str, Mapping[int, Rows]]
"""Arm -> seed -> a line a fold."""


def scores(rows: Rows) -> dict[str, float]:
    """Pooled mIoU and boundary F of the folds of one seed, 0 to 1."""
    return {"mIoU": pooled(rows).miou(),
            "boundary F": boundaries.score(np.sum([np.asarray(row["borders"], np.int64) for row in rows], axis=0))}


def differences(found: Found, ours: str, theirs: str, measure: str) -> list[float]:
    """Paired differences of a measure over the seeds that both arms have done."""
    return [scores(found[ours][seed])[measure] - scores(found[theirs][seed])[measure]
            for seed in sorted(found[ours].keys() & found[theirs].keys())]


def table(found: Found, trial: str) -> str:
    """The study's table and verdicts."""
    seeds = sorted({seed for rows in found.values() for seed in rows})
    if not seeds:
        return "no seed has all its folds yet"
    head = f"{'seed':<8}" + "".join(f"{arm:>24}" for arm in found)
    lines = [f"adversary: {trial or 'none yet'}; pooled mIoU and boundary F of the drives left out", head]
    for seed in seeds:
        told = [scores(found[arm][seed]) if seed in found[arm] else None for arm in found]
        lines.append(f"{seed:<8}" + "".join(
            f"{'':>24}" if each is None else f"{each['mIoU']:>14.4f}{each['boundary F']:>10.4f}" for each in told))
    means = [[scores(rows) for rows in found[arm].values()] for arm in found]
    lines.append(f"{'mean':<8}" + "".join(
        f"{np.mean([e['mIoU'] for e in each]):>14.4f}{np.mean([e['boundary F'] for e in each]):>10.4f}"
        if each else f"{'':>24}" for each in means))
    for ours, theirs in PAIRS:
        lines += [verdict(found, ours, theirs, measure) for measure in ("mIoU", "boundary F")]
        lines += by_drive(found, ours, theirs)
    return "\n".join(lines)


def verdict(found: Found, ours: str, theirs: str, measure: str) -> str:
    """Mean paired difference, its 95% interval, and what may be claimed."""
    away = differences(found, ours, theirs, measure)
    if len(away) < 2:
        return f"{ours} - {theirs}, {measure}: {len(away)} seeds in both, an interval needs 2"
    mean, low, high = mean_interval(away)
    claim = (f"{ours} is better" if low > 0 else f"{ours} is worse" if high < 0 else
             "no difference is shown: the interval holds zero")
    return (f"{ours} - {theirs}, {measure}: {mean:+.4f}, 95% {low:+.4f} to {high:+.4f}, {len(away)} seeds, "
            f"{sum(x > 0 for x in away)} of them above zero: {claim}")


def by_drive(found: Found, ours: str, theirs: str) -> list[str]:
    """For each drive the mean difference of its own mIoU, with its sign, and how many seeds are above zero."""
    away: dict[str, list[float]] = {}
    for seed in found[ours].keys() & found[theirs].keys():
        for a, b in zip(found[ours][seed], found[theirs][seed], strict=True):
            away.setdefault(a["fold"], []).append(a["miou"] - b["miou"])
    return [f"  without {fold}: {np.mean(each):+.4f}, {sum(x > 0 for x in each)} of {len(each)} seeds above zero"
            for fold, each in away.items()]


def pilot_table(found: Mapping[str, Rows]) -> str:
    """A line a trial whose folds are all done, the best first."""
    if not found:
        return "no trial has all its folds yet"
    told = {name: scores(rows) for name, rows in found.items()}
    lines = [f"{'trial':<16}{'mIoU':>8}{'boundary F':>12}{'accuracy':>10}{'steps':>8}"]
    for name in sorted(told, key=lambda n: -told[n]["mIoU"]):
        last = [row["discriminator_accuracy"][-1] for row in found[name] if row["discriminator_accuracy"]]
        steps = np.mean([row["steps_done"] for row in found[name]])
        lines.append(f"{name:<16}{told[name]['mIoU']:>8.4f}{told[name]['boundary F']:>12.4f}"
                     f"{f'{np.mean(last):.3f}' if last else '':>10}{steps:>8.0f}")
    return "\n".join(lines)


def course(run: Path, name: str) -> list[float]:
    """Means of a measure over PARTS equal parts of the steps that have it; empty where none has."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    values = [line[name] for line in lines if name in line]
    return [round(float(part.mean()), 4) for part in np.array_split(np.asarray(values), PARTS) if part.size]


def drawn(found: Found, path: Path) -> Path | None:
    """Draws each seed's pooled mIoU by arm, and the paired differences with their intervals; None without seeds."""
    if not any(found.values()):
        return None
    need("matplotlib").use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for seed in sorted({seed for rows in found.values() for seed in rows}):
        there = [(x, scores(found[arm][seed])["mIoU"]) for x, arm in enumerate(found) if seed in found[arm]]
        left.plot(*zip(*there, strict=True), "o-", alpha=0.6, linewidth=1, label=f"seed {seed}")
    left.set_xticks(range(len(found)), list(found))
    left.set_ylabel("pooled mIoU on drives left out")
    for y, (ours, theirs) in enumerate(PAIRS):
        for shift, measure, colour in ((-0.12, "mIoU", "C0"), (0.12, "boundary F", "C1")):
            away = differences(found, ours, theirs, measure)
            right.plot(away, [y + shift] * len(away), "|", color=colour, label=measure if y == 0 else None)
            if len(away) > 1:
                mean, low, high = mean_interval(away)
                right.errorbar(mean, y + shift, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=3)
    right.axvline(0, color="0.6", linewidth=1)
    right.set_yticks(range(len(PAIRS)), [f"{ours} - {theirs}" for ours, theirs in PAIRS])
    right.set_xlabel("paired difference, mean and 95% interval")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(path, dpi=120)
    return path
