"""`epee train segment`: the loop, from top to bottom."""

from __future__ import annotations

import dataclasses
import functools
import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..runtime.dataset import Dataset
from ..runtime.errors import TrainingError
from ..runtime.manifest import Fit
from ..runtime.scores import Confusion
from . import checkpoint
from .adversary import Adversary
from .config import save_config
from .data import Batches, Chosen, Store, class_frequency
from .devices import use_bf16
from .initial import load_initial, take
from .losses import class_weights
from .metrics import Journal, Progress, evaluate, predict, save_grid
from .networks.segmenter import Segmenter
from .objective import Objective
from .presets.segment import SegmentConfig
from .processes import Processes, alone
from .schedule import Clock, Interrupt, Schedule
from .segment_steps import Teaching, train_step
from .shares import Share, digest, share_of
from .splits import Splits, complete, left_out_of, open_splits
from .state import State
from .unlabelled import Unlabelled, UnlabelledViews, open_unlabelled

FIT = Fit("stretch", "linear")
SAVE_EVERY_S = 120.0


def train_segment(config: SegmentConfig, out: Path, *, resume: bool = False, quiet: bool = False,
                  processes: Processes | None = None) -> dict[str, Any]:
    """Trains a segmentation network and leaves config.toml, checkpoints, metrics and pictures in `out`.

    Args:
        config: what to train; `network.classes` and `size_wh` are filled in from the data.
        out: the run's folder.
        resume: go on from `out/last.safetensors`.
        quiet: no progress on standard error.
        processes: that train together, each with the same configuration; None: this one alone. Only the first reads
            and writes `out`.

    Returns:
        `miou`, `pixel_accuracy`, `iou` by class (of the best weights; None where nothing is scored), `scored` (on
        which pictures), `steps`, `epochs`, `minutes`, `images_per_s`, `parameters`, `processes`, `init` (what was
        taken of the weights it began from, or None), `unlabelled` (`pictures` and how many were `skipped`, or None),
        `out`.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; `last.safetensors` was written first.
        TrainingError: the loss became NaN, a checkpoint cannot be written or does not fit, or another process ended.
        DataError: the data set does not fit.
        ConfigError: a batch cannot be divided among the processes.
    """
    processes = processes or alone()
    device, share = processes.device, share_of(config.batch, config.accumulate, processes)
    progress = Progress(quiet or not processes.first)
    splits = open_splits(config)
    train, config = splits.train, complete(config, splits.train)
    size_wh = config.size_wh or (0, 0)
    store = Store(train, size_wh, FIT)
    torch.manual_seed(config.seed)
    network = Segmenter(config.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    frequency = class_frequency(store)
    objective = make_objective(config, network, train, frequency, device)
    taken = None
    if config.init and not resume:
        taken = take(network, train.names, load_initial(config.init))
        progress.note(taken.render(config.init))
    unlabelled = None
    if config.unlabelled:
        unlabelled = open_unlabelled(config.unlabelled, size_wh, FIT, left_out_of(config))
        progress.note(unlabelled.told())
    adversary = Adversary(config.adversary, len(train.names), device) if config.adversarial else None
    state = State.new(network, config.learning_rate, config.weight_decay, objective.heads,
                      None if adversary is None else adversary.learner)
    if resume:
        state.restore(out / checkpoint.LAST, functools.partial(processes.from_first, checkpoint.read))
        progress.note(f"going on from step {state.step}, after {state.elapsed_s / 60:.1f} minutes")
    counts = [len(pictures or ()) for pictures in (train, splits.scored, unlabelled)]
    processes.check_alike("what the processes begin from", digest(network, frequency, counts),
                          do="give each machine the same pictures, labels and weights")
    processes.from_first(save_config, out, config)
    parameters = sum(p.numel() for p in network.parameters())
    progress.note(f"{len(train)} pictures at {size_wh[0]}x{size_wh[1]}, {parameters / 1e6:.2f} M parameters, "
                  f"{device.type}{', bf16' if use_bf16(device) else ''}; scored on {splits.name}"
                  + (f"; {processes.count} processes" if processes.count > 1 else ""))

    with open_journal(out, state.step, processes) as journal, Interrupt() as interrupt, \
            Batches(store, config.batch, config.seed, config.augment, state.step, frequency=frequency,
                    ahead=0 if device.type == "cpu" else 16, slots=share.slots) as batches, \
            open_views(unlabelled, config, share, ahead=device.type != "cpu") as views:
        teaching = Teaching(objective, views, adversary)
        schedule = make_schedule(config, batches.steps_per_epoch)
        clock = Clock(state.elapsed_s, config.clock)
        first_step, first_fraction = state.step, schedule.fraction(state.step, state.elapsed_s)
        scored, saved_s, scoring_s = first_fraction, clock.elapsed_s, 0.0
        for images, masks in batches:
            elapsed_s, stop = processes.agree(clock.elapsed_s, interrupt.asked)
            fraction = schedule.fraction(state.step, elapsed_s)
            if fraction >= 1.0 or stop:
                break
            rate = schedule.learning_rate(state.step, fraction)
            state.set_rate(rate)
            values = train_step(state, teaching, images, masks, config, fraction, processes)
            loss = values["loss"]
            if wild := [f"{name.replace('_', ' ')} became {v}" for name, v in values.items() if not math.isfinite(v)]:
                raise TrainingError(f"the {wild[0]} at step {state.step}",
                                    do=f"the last good state is in {out}; try a smaller --learning-rate")
            state.step += 1
            state.average(min(config.ema_decay, state.step / (10 + state.step)))
            state.elapsed_s = clock.elapsed_s
            if journal is not None:
                journal.write(state.step, state.elapsed_s, {**values, "learning_rate": rate})
            speed = (state.step - first_step) * config.batch / (clock.here_s - scoring_s)
            done = schedule.fraction(state.step, clock.elapsed_s)
            progress.show(done, schedule.left_s(done, done - first_fraction, clock.here_s),
                          f"step {state.step}  loss {loss:.3f}  {speed:.0f} images/s  mIoU "
                          + (f"{state.best:.3f}" if state.best >= 0 else "not yet"))
            if splits.scored is not None and fraction - scored >= 1.0 / config.evaluations:
                scored, before_s = fraction, clock.here_s
                score(state, splits, config, out, journal, progress, processes)
                scoring_s += clock.here_s - before_s
            if processes.first and clock.elapsed_s - saved_s > SAVE_EVERY_S:
                saved_s = clock.elapsed_s
                state.save(out / checkpoint.LAST, facts_of(config, train))
        state.elapsed_s = clock.elapsed_s
        processes.from_first(state.save, out / checkpoint.LAST, facts_of(config, train))
        _, stop = processes.agree(clock.elapsed_s, interrupt.asked)
        if stop:
            progress.note(f"stopped at step {state.step}; go on with: epee train segment --out {out} --resume")
            raise KeyboardInterrupt
        if splits.scored is None:
            nothing = {"miou": None, "pixel_accuracy": None, "iou": None, "scored": splits.name}
            processes.from_first(save_best, state, config, train, out, nothing)
        elif state.step > first_step or state.best < 0:
            score(state, splits, config, out, journal, progress, processes)
    scores = processes.from_first(lambda: checkpoint.load_trained(out).provenance["scores"])
    return {**scores, "steps": state.step,
            "epochs": round(state.step / batches.steps_per_epoch, 2), "minutes": round(state.elapsed_s / 60, 2),
            "images_per_s": round(speed, 1) if state.step > first_step else 0.0,
            "parameters": parameters, "processes": processes.count, "init": None if taken is None else taken.to_json(),
            "unlabelled": None if unlabelled is None else {"pictures": len(unlabelled),
                                                           "skipped": len(unlabelled.skipped)}, "out": str(out)}


def make_objective(config: SegmentConfig, network: Segmenter, train: Dataset, frequency: NDArray[np.float64],
                   device: torch.device) -> Objective:
    """The terms of a configuration, with the heads and the teacher that they need.

    Raises:
        TrainingError: the teacher is missing or knows other classes.
    """
    teacher: Any = None
    if config.teacher:
        trained = load_initial(config.teacher)
        if trained.names != train.names:
            raise TrainingError(f"teacher '{config.teacher}'", got="classes " + ", ".join(trained.names),
                                expected=", ".join(train.names), do="train it on the same data")
        teacher = trained.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        teacher.requires_grad_(False)
    heads = config.terms.heads(config.network)
    weights = torch.from_numpy(class_weights(frequency, config.weight_floor)).to(device)
    return Objective(network, config.terms, weights, train.ignore, None if heads is None else heads.to(device), teacher)


def score(state: State, splits: Splits, config: SegmentConfig, out: Path, journal: Journal | None, progress: Progress,
          processes: Processes) -> None:
    """Scores the averaged weights, a share of the pictures in each process.

    The first process keeps them if they are the best, and draws a picture of predictions.
    """
    data = splits.scored
    if data is None:
        return
    size_wh = config.size_wh or (0, 0)
    mine = Chosen(data, range(processes.rank, len(data), processes.count))
    confusion = sum(processes.gather(evaluate(state.averaged, mine, size_wh, FIT, processes.device)),
                    Confusion(len(data.names), data.ignore))
    if journal is None:
        return
    miou = confusion.miou()
    journal.write(state.step, state.elapsed_s, {"miou": miou, "pixel_accuracy": confusion.pixel_accuracy()})
    shown = [data[int(i)] for i in np.linspace(0, len(data) - 1, min(4, len(data)))]
    images = [image for image, _ in shown]
    save_grid(out / "pictures" / f"step-{state.step:06d}.png", images, [label for _, label in shown],
              list(predict(state.averaged, images, size_wh, FIT, processes.device)), data.colours)
    progress.note(f"step {state.step}: mIoU {miou:.4f} on {splits.name}")
    if miou > state.best:
        state.best = miou
        save_best(state, config, splits.train, out, {
            "miou": miou, "pixel_accuracy": confusion.pixel_accuracy(), "scored": splits.name,
            "iou": {n: None if math.isnan(v) else float(v) for n, v in zip(data.names, confusion.iou(), strict=True)}})


def save_best(state: State, config: SegmentConfig, data: Dataset, out: Path, scores: dict[str, Any]) -> None:
    """Writes the averaged weights as `best.safetensors`."""
    facts = facts_of(config, data)
    facts["provenance"] |= {"scores": scores, "step": state.step,
                            "minutes": round(state.elapsed_s / 60, 2)}
    checkpoint.write(out / checkpoint.BEST, checkpoint.pack("ema", state.averaged.state_dict()), facts)


def open_journal(out: Path, step: int, processes: Processes) -> AbstractContextManager[Journal | None]:
    """The run's journal, from a step on; None where another process writes it."""
    return Journal(out, step) if processes.first else nullcontext()


def open_views(unlabelled: Unlabelled | None, config: SegmentConfig, share: Share, *,
               ahead: bool) -> AbstractContextManager[UnlabelledViews | None]:
    """As many views a step as there are labelled pictures; None without unlabelled ones."""
    if unlabelled is None:
        return nullcontext()
    return UnlabelledViews(unlabelled, config.batch, config.seed, config.augment, ahead=ahead, slots=share.slots)


def make_schedule(config: SegmentConfig, steps_per_epoch: int) -> Schedule:
    """The schedule of a configuration's budget."""
    return Schedule(peak=config.learning_rate, warmup_steps=config.warmup_steps, power=config.poly_power,
                    steps=config.steps if config.epochs is None else config.epochs * steps_per_epoch,
                    seconds=None if config.minutes is None else 60.0 * config.minutes)


def facts_of(config: SegmentConfig, data: Dataset) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    from importlib.metadata import version

    return {"task": "segment", "network": dataclasses.asdict(config.network), "size_wh": config.size_wh,
            "names": data.names, "colours": data.colours, "ignore": data.ignore, "fit": dataclasses.asdict(FIT),
            "data": config.data,
            "provenance": {"preset": config.preset, "data": Path(config.data).name, "seed": config.seed,
                           "epochs": config.epochs, "budget_steps": config.steps, "budget_minutes": config.minutes,
                           "leave_out": config.leave_out, "init": Path(config.init).name,
                           "teacher": Path(config.teacher).name,
                           "unlabelled": [Path(folder).name for folder in config.unlabelled],
                           "adversarial": config.adversarial,
                           "torch": torch.__version__, "epee": version("epee")}}
