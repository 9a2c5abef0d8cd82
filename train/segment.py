"""`epee train segment`: the loop, from top to bottom."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..runtime.dataset import Dataset, open_dataset
from ..runtime.errors import DataError, TrainingError
from ..runtime.manifest import Fit
from . import checkpoint
from .config import save_config
from .data import Batches, Remembered, Store, class_frequency
from .devices import pick_device, use_bf16
from .losses import class_weights, cross_entropy
from .metrics import Journal, Progress, evaluate, predict, save_grid, to_input
from .networks.segmenter import Segmenter
from .presets import SegmentConfig
from .schedule import Clock, Interrupt, Schedule
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
        `miou`, `pixel_accuracy`, `iou` by class (the best weights on val; None without a val split), `steps`,
        `epochs`, `minutes`, `images_per_s`, `parameters`, `out`.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; `last.safetensors` was written first.
        TrainingError: the loss became NaN, or a checkpoint cannot be written or does not fit.
        DataError: the data set does not fit.
    """
    device = pick_device()
    progress = Progress(quiet)
    train, val = open_splits(config)
    config = complete(config, train)
    size_wh = config.size_wh or (0, 0)
    store = Store(train, size_wh, FIT)
    torch.manual_seed(config.seed)
    network = Segmenter(config.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = State.new(network, config.learning_rate, config.weight_decay)
    if resume:
        state.restore(out / checkpoint.LAST)
        progress.note(f"going on from step {state.step}, after {state.elapsed_s / 60:.1f} minutes")
    save_config(out, config)
    weights = torch.from_numpy(class_weights(class_frequency(store), config.weight_floor)).to(device)
    parameters = sum(p.numel() for p in network.parameters())
    progress.note(f"{len(train)} pictures at {size_wh[0]}x{size_wh[1]}, {parameters / 1e6:.2f} M parameters, "
                  f"{device.type}{', bf16' if use_bf16(device) else ''}")

    with Journal(out, state.step) as journal, Interrupt() as interrupt, \
            Batches(store, config.batch, config.seed, config.augment, state.step,
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
            loss = train_step(state, images, masks, weights, train.ignore, rate, config.seed, device)
            if not math.isfinite(loss):
                raise TrainingError(f"the loss became {loss} at step {state.step}",
                                    do=f"the last good state is in {out}; try a smaller --learning-rate")
            state.step += 1
            state.average(min(config.ema_decay, state.step / (10 + state.step)))
            state.elapsed_s = clock.elapsed_s
            journal.write(state.step, state.elapsed_s, {"loss": loss, "learning_rate": rate})
            speed = (state.step - first_step) * config.batch / (clock.here_s - scoring_s)
            progress.show(fraction, schedule.left_s(fraction, fraction - first_fraction, clock.here_s),
                          f"step {state.step}  loss {loss:.3f}  {speed:.0f} images/s  val mIoU "
                          + (f"{state.best:.3f}" if state.best >= 0 else "not yet"))
            if val is not None and fraction - scored >= 1.0 / config.evaluations:
                scored, before_s = fraction, clock.here_s
                score(state, val, config, out, journal, progress, device)
                scoring_s += clock.here_s - before_s
            if clock.elapsed_s - saved_s > SAVE_EVERY_S:
                saved_s = clock.elapsed_s
                state.save(out / checkpoint.LAST, facts_of(config, train))
        state.elapsed_s = clock.elapsed_s
        state.save(out / checkpoint.LAST, facts_of(config, train))
        if interrupt.asked:
            progress.note(f"stopped at step {state.step}; go on with: epee train segment --out {out} --resume")
            raise KeyboardInterrupt
        if val is None:
            save_best(state, config, train, out, {})
        elif state.step > first_step or state.best < 0:
            score(state, val, config, out, journal, progress, device)
    trained = checkpoint.load_trained(out)
    return {**trained.provenance["scores"], "steps": state.step,
            "epochs": round(state.step / batches.steps_per_epoch, 2), "minutes": round(state.elapsed_s / 60, 2),
            "images_per_s": round(speed, 1) if state.step > first_step else 0.0,
            "parameters": parameters, "out": str(out)}


def train_step(state: State, images: NDArray[Any], masks: NDArray[Any], weights: Tensor, ignore: int, rate: float,
               seed: int, device: torch.device) -> float:
    """One step of AdamW on one batch; gives the loss.

    Args:
        state: changed in place.
        images: (N, H, W, 3) uint8, BGR.
        masks: (N, H, W) uint8 class ids.
        weights: (C,) class weights.
        ignore: the label id to leave out.
        rate: learning rate.
        seed: with the step it decides which half-size grid is compared.
        device: where to compute.
    """
    state.set_rate(rate)
    phase = np.random.default_rng((seed, 1 << 21, state.step)).integers(0, 2, 2)
    x = to_input(torch.from_numpy(images).to(device, non_blocking=True))
    labels = torch.from_numpy(masks).to(device, non_blocking=True).long()
    state.network.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=use_bf16(device)):
        logits = state.network(x)
    loss = cross_entropy(logits, labels, weights, ignore, (int(phase[0]), int(phase[1])))
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    return float(loss.detach())


def score(state: State, val: Dataset, config: SegmentConfig, out: Path, journal: Journal, progress: Progress,
          device: torch.device) -> None:
    """Scores the averaged weights on val, keeps them if they are the best, and draws a picture of predictions."""
    size_wh = config.size_wh or (0, 0)
    confusion = evaluate(state.averaged, val, size_wh, FIT, device)
    miou = confusion.miou()
    journal.write(state.step, state.elapsed_s, {"miou": miou, "pixel_accuracy": confusion.pixel_accuracy()})
    shown = [val[int(i)] for i in np.linspace(0, len(val) - 1, min(4, len(val)))]
    images = [image for image, _ in shown]
    save_grid(out / "pictures" / f"step-{state.step:06d}.png", images, [label for _, label in shown],
              list(predict(state.averaged, images, size_wh, FIT, device)), val.colours)
    progress.note(f"step {state.step}: val mIoU {miou:.4f}")
    if miou > state.best:
        state.best = miou
        save_best(state, config, val, out, {
            "miou": miou, "pixel_accuracy": confusion.pixel_accuracy(),
            "iou": {n: None if math.isnan(v) else float(v) for n, v in zip(val.names, confusion.iou(), strict=True)}})


def save_best(state: State, config: SegmentConfig, data: Dataset, out: Path, scores: dict[str, Any]) -> None:
    """Writes the averaged weights as `best.safetensors`."""
    facts = facts_of(config, data)
    facts["provenance"] |= {"scores": scores or {"miou": None, "pixel_accuracy": None, "iou": None},
                            "step": state.step, "minutes": round(state.elapsed_s / 60, 2)}
    checkpoint.write(out / checkpoint.BEST, checkpoint.pack("ema", state.averaged.state_dict()), facts)


def open_splits(config: SegmentConfig) -> tuple[Dataset, Dataset | None]:
    """Opens train and, where the data set has one, val."""
    size_wh = config.size_wh
    train = open_dataset(config.data, "train", size_wh=size_wh, count=config.train_count)
    try:
        return train, Remembered(open_dataset(config.data, "val", size_wh=size_wh, count=config.val_count))
    except DataError as error:
        if error.got == "not in the file":
            return train, None
        raise


def complete(config: SegmentConfig, train: Dataset) -> SegmentConfig:
    """Fills in what the data decides: the number of classes, and the size where none was asked for."""
    h, w = train[0][1].shape
    return dataclasses.replace(config, size_wh=config.size_wh or (w, h),
                               network=dataclasses.replace(config.network, classes=len(train.names)))


def make_schedule(config: SegmentConfig, steps_per_epoch: int) -> Schedule:
    """The schedule of a configuration's budget."""
    return Schedule(peak=config.learning_rate, warmup_steps=config.warmup_steps, power=config.poly_power,
                    steps=None if config.epochs is None else config.epochs * steps_per_epoch,
                    seconds=None if config.minutes is None else 60.0 * config.minutes)


def facts_of(config: SegmentConfig, data: Dataset) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    from importlib.metadata import version

    return {"task": "segment", "network": dataclasses.asdict(config.network), "size_wh": config.size_wh,
            "names": data.names, "colours": data.colours, "ignore": data.ignore, "fit": dataclasses.asdict(FIT),
            "data": config.data,
            "provenance": {"preset": config.preset, "data": Path(config.data).name, "seed": config.seed,
                           "epochs": config.epochs, "budget_minutes": config.minutes,
                           "torch": torch.__version__, "epee": version("epee")}}
