"""`epee train features`: the loop, from top to bottom.

The extractor learns classes on one half of the pictures and then scores generators that learned from the other half.
It is shown flipped, shifted and partly hidden pictures, and never blurred, noisy or compressed ones: a network that
has learned to overlook such damage cannot see it in generated pictures either.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..runtime.errors import ConfigError, TrainingError
from ..runtime.manifest import Fit
from ..runtime.picture_sets import ArrayPictures, open_pictures
from . import checkpoint
from .checks import check_budget, check_least, check_multiple
from .config import save_config
from .course import chance
from .data import Order
from .devices import pick_device, use_bf16
from .diffaug import DiffAugment
from .grids import to_floats
from .metrics import Journal, Progress
from .networks.extractor import Extractor, ExtractorConfig
from .schedule import Clock, Interrupt, Schedule
from .state import State

FIT = Fit("crop", "area")
SAVE_EVERY_S = 60.0
SMOOTHING = 0.1
"""Of the labels (Szegedy 2015, arXiv 1512.00567)."""


@dataclass(frozen=True)
class FeaturesConfig:
    """An extractor's training.

    Attributes:
        data: a folder or a .zip with a folder a class in each of the two splits.
        subset: the split to learn from.
        test: the split to be scored on, once, at the end.
        half: which half of `subset` to learn from (see `pictures.half_of`); None takes all of it.
        size: height and width of the pictures.
        epochs: budget in passes over the pictures; or
        minutes: budget in wall time of the training loop.
        batch: pictures a step.
        learning_rate: peak of AdamW's, after warm-up.
        weight_decay: AdamW's, on matrices and kernels only.
        warmup_steps: steps over which the learning rate rises linearly.
        ema_decay: of the averaged weights, which are what is scored and exported.
        seed: of initial weights, order and augmentation.
        network, augment: their own configurations.
    """

    data: str
    subset: str = "train"
    test: str = "test"
    half: str | None = None
    size: int = 32
    epochs: int | None = None
    minutes: float | None = None
    batch: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    warmup_steps: int = 100
    ema_decay: float = 0.998
    seed: int = 0
    network: ExtractorConfig = field(default_factory=lambda: ExtractorConfig(classes=2))
    augment: DiffAugment = field(default_factory=DiffAugment)

    def __post_init__(self) -> None:
        check_budget(epochs=self.epochs, minutes=self.minutes)
        check_least("batch", self.batch, 2)
        check_multiple("size", self.size, 8, 16)


def train_features(config: FeaturesConfig, out: Path, *, resume: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Trains an extractor and leaves config.toml, checkpoints and metrics in `out`.

    Args:
        config: what to train; `network.classes` and `network.size` are filled in from the data.
        out: the run's folder.
        resume: go on from `out/last.safetensors`.
        quiet: no progress on standard error.

    Returns:
        `accuracy` on the test split, which has no say in the training, 0 to 1; `steps`, `epochs`, `minutes`,
        `images_per_s`, `parameters`, `features`, `pictures`, `classes`, `out`.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; `last.safetensors` was written first.
        TrainingError: the loss became NaN, or a checkpoint cannot be written or does not fit.
        DataError: the pictures do not fit.
    """
    device, progress = pick_device(), Progress(quiet)
    pictures = open_pictures(config.data, config.size, classes=True, subset=config.subset, half=config.half)
    test = open_pictures(config.data, config.size, classes=True, subset=config.test)
    if test.names != pictures.names:
        raise ConfigError(f"classes of '{config.test}'", got=", ".join(test.names), expected=", ".join(pictures.names))
    config = dataclasses.replace(
        config, network=dataclasses.replace(config.network, classes=len(pictures.names), size=config.size))
    torch.manual_seed(config.seed)
    network = Extractor(config.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = State.new(network, config.learning_rate, config.weight_decay)
    if resume:
        state.restore(out / checkpoint.LAST)
        progress.note(f"going on from step {state.step}, after {state.elapsed_s / 60:.1f} minutes")
    save_config(out, config)
    order = Order(len(pictures), config.batch, config.seed)
    schedule = Schedule(peak=config.learning_rate, warmup_steps=config.warmup_steps, power=1.0,
                        steps=None if config.epochs is None else config.epochs * order.steps_per_epoch,
                        seconds=None if config.minutes is None else 60.0 * config.minutes)
    parameters = sum(p.numel() for p in network.parameters())
    progress.note(f"{len(pictures)} pictures at {config.size}x{config.size} in {len(pictures.names)} classes, "
                  f"{parameters / 1e6:.2f} M parameters, {device.type}{', bf16' if use_bf16(device) else ''}")

    with Journal(out, state.step) as journal, Interrupt() as interrupt:
        clock, first_step = Clock(state.elapsed_s), state.step
        first_fraction, saved_s = schedule.fraction(state.step, state.elapsed_s), clock.elapsed_s
        while (fraction := schedule.fraction(state.step, clock.elapsed_s)) < 1.0 and not interrupt.asked:
            loss = train_step(state, pictures, order, config, schedule.learning_rate(state.step, fraction), device)
            if not math.isfinite(loss):
                raise TrainingError(f"the loss became {loss} at step {state.step}",
                                    do=f"the last good state is in {out}; try a smaller --learning-rate")
            state.step += 1
            state.average(min(config.ema_decay, state.step / (10 + state.step)))
            state.elapsed_s = clock.elapsed_s
            journal.write(state.step, state.elapsed_s, {"loss": loss})
            speed = (state.step - first_step) * config.batch / clock.here_s
            progress.show(fraction, schedule.left_s(fraction, fraction - first_fraction, clock.here_s),
                          f"step {state.step}  loss {loss:.3f}  {speed:.0f} images/s")
            if clock.elapsed_s - saved_s > SAVE_EVERY_S:
                saved_s = clock.elapsed_s
                state.save(out / checkpoint.LAST, facts_of(config, pictures))
        here_s, state.elapsed_s = clock.here_s, clock.elapsed_s
        state.save(out / checkpoint.LAST, facts_of(config, pictures))
        if interrupt.asked:
            progress.note(f"stopped at step {state.step}; go on with: epee train features --out {out} --resume")
            raise KeyboardInterrupt
        accuracy = accuracy_of(state.averaged, test, device)
        journal.write(state.step, state.elapsed_s, {"accuracy": accuracy})
        facts = facts_of(config, pictures)
        facts["provenance"] |= {"scores": {"accuracy": accuracy}, "step": state.step,
                                "minutes": round(state.elapsed_s / 60, 2)}
        checkpoint.write(out / checkpoint.BEST, checkpoint.pack("ema", state.averaged.state_dict()), facts)
    return {"accuracy": accuracy, "steps": state.step, "epochs": round(state.step / order.steps_per_epoch, 2),
            "minutes": round(state.elapsed_s / 60, 2),
            "images_per_s": round((state.step - first_step) * config.batch / max(here_s, 1e-9), 1),
            "parameters": parameters, "features": config.network.channels[-1], "pictures": len(pictures),
            "classes": len(pictures.names), "out": str(out)}


def train_step(state: State, pictures: ArrayPictures, order: Order, config: FeaturesConfig, rate: float,
               device: torch.device) -> float:
    """One step of AdamW on the batch of the state's step; gives the loss. What is drawn depends on (seed, step)."""
    state.set_rate(rate)
    indices = order(state.step)
    images = config.augment(to_floats(pictures.batch(indices), device), chance(config.seed, state.step))
    labels = torch.from_numpy(labels_of(pictures)[indices]).to(device)
    state.network.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=use_bf16(device)):
        _, logits = state.network(images.add(1.0).mul(0.5).contiguous(memory_format=torch.channels_last))
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=SMOOTHING)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    return float(loss.detach())


@torch.inference_mode()
def accuracy_of(network: nn.Module, pictures: ArrayPictures, device: torch.device, batch: int = 250) -> float:
    """Share of pictures whose class has the largest logit, 0 to 1."""
    right, labels = 0, labels_of(pictures)
    for start in range(0, len(pictures), batch):
        images = to_floats(pictures.images[start:start + batch], device)
        _, logits = network(images.add(1.0).mul(0.5))
        right += int((logits.argmax(1).cpu().numpy() == labels[start:start + batch]).sum())
    return right / len(pictures)


def labels_of(pictures: ArrayPictures) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The labels. Raises ConfigError where pictures were opened without them."""
    if pictures.labels is None:
        raise ConfigError("labels", got="none", expected="a folder a class")
    return pictures.labels


def facts_of(config: FeaturesConfig, pictures: ArrayPictures) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    from importlib.metadata import version

    return {"task": "features", "network": dataclasses.asdict(config.network), "size_wh": (config.size, config.size),
            "names": pictures.names, "colours": (), "ignore": 255, "fit": dataclasses.asdict(FIT),
            "data": config.data,
            "provenance": {"data": Path(config.data).name, "subset": config.subset, "half": config.half,
                           "pictures": len(pictures), "seed": config.seed, "epochs": config.epochs,
                           "budget_minutes": config.minutes, "torch": torch.__version__, "epee": version("epee")}}
