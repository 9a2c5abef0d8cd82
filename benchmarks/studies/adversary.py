"""Whether a discriminator helps a segmenter of few labels on a drive that was never seen.

    python -m epee.benchmarks.studies.adversary --data camvid.yaml --out RUNS --jobs 2 --pilot confidence
    python -m epee.benchmarks.studies.adversary --data camvid.yaml --out RUNS --jobs 2 [--confidence 0.9] \
        --pilot features,holistic,pixels
    python -m epee.benchmarks.studies.adversary --data camvid.yaml --out RUNS --jobs 2 [--confidence 0.9] \
        [--seeds 0,1,2,3,4,5,6,7] [--minutes 5]

Three arms that differ in nothing else and have equal minutes of processor time on one thread: `plain` learns from 46
labels; `unlabelled` from the other pictures of the same two drives as well, by what its averaged network is sure of;
`adversary` from all that and a discriminator. Each drive of CamVid is left out in turn: none of its frames is in either
list, and val, which is of drive 0016E5, is in none. Which labels are kept is said in `few_labels`. The averaged weights
of the last step are scored on the train frames of the drive that was left out; nothing is chosen by that score. The
frames of the three folds are pooled into one confusion matrix, and mIoU and boundary F (see `boundaries`) are compared
within pairs of one seed. A difference is claimed only where its 95% interval, by Student's t over the seeds, holds no
zero; table and plot are written either way.

What may be chosen is chosen before, by pilots on a seed that the study does not use: the confidence of pseudo labels,
which is named for both arms that have them, then the form of the discriminator and its weight, each form with the same
factors on its usual weight. Pilots see the same drives, so that what they choose may suit these a little too well. Each
run is a line of `--results`, and what is there is not run again: the study goes on where it stopped. `--arms none` only
tells what is known.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch

from ...runtime.cli import parse_size
from ...runtime.errors import ConfigError, near
from ...train.adversary import FORMS, form_of
from ...train.presets.segment import check_preset
from ...train.pseudo import PseudoConfig
from . import ledger
from .adversary_runs import ADVERSARY, ARMS, PLAIN, UNLABELLED, Run, Study, trial_of
from .adversary_table import drawn, pilot_table, table
from .few_labels import LABELS, few_labels
from .folds import FOLDS
from .ledger import append, pooled

FACTORS = (0.3, 1.0, 3.0)
"""On the usual weights of each form, in the pilot."""
CONFIDENCE, CONFIDENCES = "confidence", (0.7, 0.9, 0.97)
"""Of pseudo labels, in the pilot of that name."""
PILOT_SEED = 1000
RESULTS = ledger.FOLDER / "adversary.jsonl"


def main() -> None:
    """Runs what is not done yet, and tells what is known."""
    args = parsed()
    study = Study(args.data, args.out, args.results, parse_size(args.size),
                  ("minutes", args.minutes) if args.steps is None else ("steps", args.steps), args.labels, args.preset)
    check_preset(study.preset)
    folds, seeds = args.folds.split(","), [int(word) for word in args.seeds.split(",")]
    if args.pilot:
        known = pilot_runs([*FORMS, CONFIDENCE], folds, args.confidence)
        wanted = pilot_runs(args.pilot.split(","), folds, args.confidence)
        run_all(study, [run for runs in wanted.values() for run in runs], args.jobs)
        print(pilot_table(piloted(study, known)))
        return
    if PILOT_SEED in seeds:
        raise ConfigError("--seeds", got=PILOT_SEED, expected="seeds other than the pilot's")
    arms = [] if args.arms == "none" else args.arms.split(",")
    for arm in arms:
        if arm not in ARMS:
            raise ConfigError(f"arm '{arm}'", got="no such arm", expected=", ".join(ARMS), do=near(arm, list(ARMS)))
    trial = args.trial or best_trial(study, folds, args.confidence, needed=ADVERSARY in arms)
    if trial:
        trial_of(trial)
    runs = {(arm, seed): [Run.of(arm, fold, seed, trial, args.confidence) for fold in folds]
            for seed in seeds for arm in ARMS}
    run_all(study, [runs[arm, seed][i] for seed in seeds for i in range(len(folds)) for arm in arms], args.jobs)
    found = {arm: {seed: rows for seed in seeds if (rows := study.all_of(runs[arm, seed])) is not None}
             for arm in ARMS}
    text = table(found, trial)
    print(text)
    print(ledger.machines(row for rows in found.values() for each in rows.values() for row in each))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "adversary.txt").write_text(text + "\n", encoding="utf-8")
    if (figure := drawn(found, args.out / "adversary.png")) is not None:
        print(f"plot: {figure}")


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, type=Path, metavar="RUNS")
    parser.add_argument("--arms", default=",".join(ARMS), help="with commas, or none (default: %(default)s)")
    parser.add_argument("--seeds", default="0,1,2,3,4,5,6,7", help="with commas (default: %(default)s)")
    parser.add_argument("--pilot", metavar="FORM,...", help=f"compare instead: {', '.join(FORMS)}, or {CONFIDENCE}")
    parser.add_argument("--confidence", type=float, default=PseudoConfig.confidence, help="default: %(default)s")
    parser.add_argument("--trial", metavar="FORM:FACTOR", help="the adversary's (default: the pilot's best)")
    parser.add_argument("--folds", default=",".join(FOLDS), help="with commas (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=5, help="of each run, on one thread (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of each run, in place of minutes")
    parser.add_argument("--size", default="240x180", help="default: %(default)s")
    parser.add_argument("--labels", type=int, default=LABELS, help="that are kept (default: %(default)s)")
    parser.add_argument("--preset", default="small", help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: beside this package")
    return parser.parse_args()


def run_all(study: Study, runs: Sequence[Run], jobs: int) -> None:
    """Runs what has no line yet, each in a process of one thread, in the given order; adds a line as each ends."""
    waiting = [run for run in runs if study.known(run) is None]
    for fold in dict.fromkeys(run.fold for run in waiting):
        few_labels(study.data, fold, study.labels, study.runs / "data")
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(study.train, run): run for run in waiting}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                run, row = futures[future], future.result()
                append(study.results, row)
                print(f"{done} of {len(waiting)}: {run.trial or run.arm}, without {run.fold}, seed {run.seed}: mIoU "
                      f"{row['miou']:.4f}, boundary F {row['boundary_f']:.4f}, {row['steps_done']} steps", flush=True)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def pilot_runs(names: Sequence[str], folds: Sequence[str], confidence: float) -> dict[str, list[Run]]:
    """What is compared -> its runs: the arms without a discriminator, then all settings of what is named.

    Raises:
        ConfigError: neither a form nor `confidence`.
    """
    def runs(arm: str, trial: str = "", confidence: float = confidence) -> list[Run]:
        return [Run.of(arm, fold, PILOT_SEED, trial, confidence) for fold in folds]

    found = {PLAIN: runs(PLAIN), f"{UNLABELLED} {confidence:g}": runs(UNLABELLED)}
    for name in names:
        if name == CONFIDENCE:
            found |= {f"{UNLABELLED} {each:g}": runs(UNLABELLED, confidence=each) for each in CONFIDENCES}
        else:
            trials = [f"{form_of(name).form}:{factor:g}" for factor in FACTORS]
            found |= {trial: runs(ADVERSARY, trial) for trial in trials}
    return found


def piloted(study: Study, runs: Mapping[str, Sequence[Run]]) -> dict[str, list[dict[str, Any]]]:
    """What was compared -> the lines of all its folds, where all are done."""
    return {name: rows for name, each in runs.items() if (rows := study.all_of(each)) is not None}


def best_trial(study: Study, folds: Sequence[str], confidence: float, *, needed: bool) -> str:
    """The pilot's trial with the highest pooled mIoU; "" where there was none and none is needed.

    Raises:
        ConfigError: there was no pilot, and one is needed.
    """
    known = piloted(study, pilot_runs(list(FORMS), folds, confidence))
    found = {name: pooled(rows).miou() for name, rows in known.items() if ":" in name}
    if not found and needed:
        raise ConfigError("arm 'adversary'", got=f"no pilot of confidence {confidence:g} in the results",
                          do="run --pilot first, or name a --trial")
    return max(found, key=lambda name: found[name]) if found else ""


if __name__ == "__main__":
    main()
