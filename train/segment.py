"""`epee train segment`: the loop, from top to bottom."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..runtime.dataset import Dataset
from ..runtime.errors import TrainingError
from ..runtime.manifest import Fit
from . import checkpoint
from .config import save_config
from .data import Batches, Store, class_frequency
from .devices import pick_device, use_bf16
from .initial import load_initial, take
from .losses import class_weights
from .metrics import Journal, Progress, evaluate, predict, save_grid, to_input
from .networks.segmenter import Segmenter
from .objective import Objective
from .presets import SegmentConfig
from .schedule import Clock, Interrupt, Schedule
from .splits import Splits, complete, open_splits
from .state import State

FIT = Fit("stretch", "linear")
SAVE_EVERY_S = 120.0


def train_segment(config: SegmentConfig, out: Path, *, resume: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Trains a segmentation network and leaves config.toml, checkpoints, metrics and pictures in `out`.

    Args:
        config: what to train; `network.classes` and `size_wh` are filled in from the data.
        out: the run's folder.
        resume: go on from `out/last.safetensors`.
        quiet: no progress on standard error.

    Returns:
        `miou`, `pixel_accuracy`, `iou` by class (of the best weights; None where nothing is scored), `scored` (on
        which pictures), `steps`, `epochs`, `minutes`, `images_per_s`, `parameters`, `init` (what was taken of the
        weights it began from, or None), `out`.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; `last.safetensors` was written first.
        TrainingError: the loss became NaN, or a checkpoint cannot be written or does not fit.
        DataError: the data set does not fit.
    """
    device = pick_device()
    progress = Progress(quiet)
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
    state = State.new(network, config.learning_rate, config.weight_decay, objective.heads)
    if resume:
        state.restore(out / checkpoint.LAST)
        progress.note(f"going on from step {state.step}, after {state.elapsed_s / 60:.1f} minutes")
    save_config(out, config)
    parameters = sum(p.numel() for p in network.parameters())
    progress.note(f"{len(train)} pictures at {size_wh[0]}x{size_wh[1]}, {parameters / 1e6:.2f} M parameters, "
                  f"{device.type}{', bf16' if use_bf16(device) else ''}; scored on {splits.name}")

    with Journal(out, state.step) as journal, Interrupt() as interrupt, \
            Batches(store, config.batch, config.seed, config.augment, state.step, frequency=frequency,
                    ahead=0 if device.type == "cpu" else 16) as batches:
        schedule = make_schedule(config, batches.steps_per_epoch)
        clock = Clock(state.elapsed_s)
        first_step, first_fraction = state.step, schedule.fraction(state.step, state.elapsed_s)
        scored, saved_s, scoring_s = first_fraction, clock.elapsed_s, 0.0
        for images, masks in batches:
            fraction = schedule.fraction(state.step, clock.elapsed_s)
            if fraction >= 1.0 or interrupt.asked:
                break
            rate = schedule.learning_rate(state.step, fraction)
            values = train_step(state, objective, images, masks, rate, config.seed, device)
            loss = values["loss"]
            if not math.isfinite(loss):
                raise TrainingError(f"the loss became {loss} at step {state.step}",
                                    do=f"the last good state is in {out}; try a smaller --learning-rate")
            state.step += 1
            state.average(min(config.ema_decay, state.step / (10 + state.step)))
            state.elapsed_s = clock.elapsed_s
            journal.write(state.step, state.elapsed_s, {**values, "learning_rate": rate})
            speed = (state.step - first_step) * config.batch / (clock.here_s - scoring_s)
            done = schedule.fraction(state.step, clock.elapsed_s)
            progress.show(done, schedule.left_s(done, done - first_fraction, clock.here_s),
                          f"step {state.step}  loss {loss:.3f}  {speed:.0f} images/s  mIoU "
                          + (f"{state.best:.3f}" if state.best >= 0 else "not yet"))
            if splits.scored is not None and fraction - scored >= 1.0 / config.evaluations:
                scored, before_s = fraction, clock.here_s
                score(state, splits, config, out, journal, progress, device)
                scoring_s += clock.here_s - before_s
            if clock.elapsed_s - saved_s > SAVE_EVERY_S:
                saved_s = clock.elapsed_s
                state.save(out / checkpoint.LAST, facts_of(config, train))
        state.elapsed_s = clock.elapsed_s
        state.save(out / checkpoint.LAST, facts_of(config, train))
        if interrupt.asked:
            progress.note(f"stopped at step {state.step}; go on with: epee train segment --out {out} --resume")
            raise KeyboardInterrupt
        if splits.scored is None:
            save_best(state, config, train, out, {"miou": None, "pixel_accuracy": None, "iou": None,
                                                  "scored": splits.name})
        elif state.step > first_step or state.best < 0:
            score(state, splits, config, out, journal, progress, device)
    trained = checkpoint.load_trained(out)
    return {**trained.provenance["scores"], "steps": state.step,
            "epochs": round(state.step / batches.steps_per_epoch, 2), "minutes": round(state.elapsed_s / 60, 2),
            "images_per_s": round(speed, 1) if state.step > first_step else 0.0,
            "parameters": parameters, "init": None if taken is None else taken.to_json(), "out": str(out)}


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


def train_step(state: State, objective: Objective, images: NDArray[Any], masks: NDArray[Any], rate: float, seed: int,
               device: torch.device) -> dict[str, float]:
    """One step of AdamW on one batch; gives the `loss` and, where there are several, its terms.

    Args:
        state: changed in place.
        objective: what to make smaller.
        images: (N, H, W, 3) uint8, BGR.
        masks: (N, H, W) uint8 class ids.
        rate: learning rate.
        seed: with the step it decides which half-size grid is compared.
        device: where to compute.
    """
    state.set_rate(rate)
    phase = np.random.default_rng((seed, 1 << 21, state.step)).integers(0, 2, 2)
    x = to_input(torch.from_numpy(images).to(device, non_blocking=True))
    labels = torch.from_numpy(masks).to(device, non_blocking=True).long()
    state.network.train()
    terms = objective(x, labels, (int(phase[0]), int(phase[1])), use_bf16(device))
    loss = torch.stack(list(terms.values())).sum()
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    each = {name: float(term.detach()) for name, term in terms.items()} if len(terms) > 1 else {}
    return {"loss": float(loss.detach()), **each}


def score(state: State, splits: Splits, config: SegmentConfig, out: Path, journal: Journal, progress: Progress,
          device: torch.device) -> None:
    """Scores the averaged weights, keeps them if they are the best, and draws a picture of predictions."""
    data = splits.scored
    if data is None:
        return
    size_wh = config.size_wh or (0, 0)
    confusion = evaluate(state.averaged, data, size_wh, FIT, device)
    miou = confusion.miou()
    journal.write(state.step, state.elapsed_s, {"miou": miou, "pixel_accuracy": confusion.pixel_accuracy()})
    shown = [data[int(i)] for i in np.linspace(0, len(data) - 1, min(4, len(data)))]
    images = [image for image, _ in shown]
    save_grid(out / "pictures" / f"step-{state.step:06d}.png", images, [label for _, label in shown],
              list(predict(state.averaged, images, size_wh, FIT, device)), data.colours)
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
                           "torch": torch.__version__, "epee": version("epee")}}
