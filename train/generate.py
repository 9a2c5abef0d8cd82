"""`epee train generate`: the loop, from top to bottom."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..runtime.errors import DataError, TrainingError
from ..runtime.manifest import Fit
from ..runtime.picture_sets import ArrayPictures, Pictures, open_pictures
from . import checkpoint
from .config import save_config
from .course import Course, chance, ema_decay
from .data import Order
from .devices import pick_device, use_bf16
from .gan import gan_step
from .gan_losses import LOSSES
from .grids import FixedLatents, draw_grid, fixed_latents, forget_after, keep_picture, save_video, to_floats
from .metrics import Journal, Progress
from .networks.discriminator import Discriminator, Encoder
from .networks.generator import Generator
from .presets.generate import GenerateConfig
from .schedule import Budget, cosine
from .state import PairState
from .vae import vae_step
from .watch import REFERENCE, Watch

Score = Callable[[nn.Module], dict[str, float]]
"""Takes the averaged generator, in eval mode; gives scores by name, e.g. `{"KID-half": 0.02}`."""


def train_generate(config: GenerateConfig, out: Path, *, pictures: Pictures | None = None, score: Score | None = None,
                   resume: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Trains a generator and leaves config.toml, checkpoints, metrics, pictures and a video in `out`.

    Args:
        config: what to train; sizes and classes of the networks are filled in from the data.
        out: the run's folder.
        pictures: what to learn from; None reads `config.data`.
        score: computed `config.evaluations` times over the budget, the last time at the end.
        resume: go on from `out/last.safetensors`.
        quiet: no progress on standard error.

    Returns:
        `healthy` and `problem` (why it was given up, else ''), `diversity` (of the averaged generator, as a share of
        the real pictures'), `rollbacks`, the last means of what a step measures, `scores`, `steps`, `images`,
        `epochs`, `minutes`, `images_per_s`, `parameters`, `pictures`, `skipped`, `classes`, `out`.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; `last.safetensors` was written first.
        TrainingError: a checkpoint cannot be written or does not fit.
        DataError: the pictures do not fit.
    """
    device, progress = pick_device(), Progress(quiet)
    if pictures is None:
        pictures = open_pictures(config.data, config.size, classes=config.classes, subset=config.subset,
                                 half=config.half)
    config = complete(config, pictures)
    state = new_state(config, device)
    if resume:
        check_same(state.restore(out / checkpoint.LAST), pictures, out)
        progress.note(f"going on from step {state.step}, after {state.elapsed_s / 60:.1f} minutes")
    latents = fixed_latents(config.generator.z, config.generator.classes, device)
    watch = watch_of(config, pictures, state, latents, device)
    save_config(out, config)
    forget_after(out, state.step if resume else -1)
    tell(pictures, state, config, device, progress)
    order, teach = Order(len(pictures), config.batch, config.seed), gan_step if config.method == "gan" else vae_step
    budget = Budget(steps=config.budget_steps, seconds=None if config.minutes is None else 60.0 * config.minutes)

    with Course(state, watch, config.limits.rollbacks, budget, out, progress, config.clock) as course:
        if state.step == 0:
            grid(state, latents, out, course.journal)
        for fraction in course:
            rate = state.calm * cosine(config.rate_first, config.rate_last, fraction)
            for learner in (state.generator, state.partner):
                learner.set_rate(rate)
            indices = order(state.step)
            labels = None if pictures.labels is None else torch.from_numpy(pictures.labels[indices]).to(device)
            real = to_floats(pictures.batch(indices), device)
            values = teach(state, real, labels, config, chance(config.seed, state.step))
            state.step += 1
            state.generator.average(ema_decay(config, state.step))
            if not course.took(values, rate, f"diversity {watch.share:.2f}"):
                continue
            if course.due("grid", config.grids):
                grid(state, latents, out, course.journal)
            if score is not None and course.due("scores", config.evaluations):
                course.journal.write(state.step, state.elapsed_s, score(state.generator.averaged))
            if course.save_due():
                save(state, config, pictures, out, {})
        course.end(lambda: save(state, config, pictures, out, {}), f"epee train generate --out {out} --resume")
        grid(state, latents, out, course.journal)
        scores = {} if score is None else dict(score(state.generator.averaged))
        scores["diversity"] = watch.share_of(state.generator.averaged)
        course.journal.write(state.step, state.elapsed_s, scores)
        save(state, config, pictures, out, scores)
    if no_video := save_video(out):
        progress.note(f"no video of the training: {no_video}")
    return {**course.facts(), "diversity": scores.pop("diversity"), "scores": scores,
            "images": state.step * config.batch, "epochs": round(state.step / order.steps_per_epoch, 2),
            "images_per_s": round(course.steps_per_s * config.batch, 1), "parameters": count(state.generator.network),
            "pictures": len(pictures), "skipped": len(skipped_of(pictures)), "classes": len(pictures.names),
            "out": str(out)}


def complete(config: GenerateConfig, pictures: Pictures) -> GenerateConfig:
    """Fills in what the data decides. Raises DataError where the pictures have another size than the configuration."""
    h, w = pictures.batch(np.zeros(1, np.int64)).shape[1:3]
    if (h, w) != (config.size, config.size):
        raise DataError(f"pictures '{config.data}'", got=f"{w}x{h}", expected=f"{config.size}x{config.size}")
    classes = len(pictures.names) if pictures.labels is not None else 0
    return dataclasses.replace(
        config, generator=dataclasses.replace(config.generator, size=config.size, classes=classes),
        discriminator=dataclasses.replace(config.discriminator, size=config.size, classes=classes))


def new_state(config: GenerateConfig, device: torch.device) -> PairState:
    """Networks and optimizers that have not learned, by the configuration's seed."""
    torch.manual_seed(config.seed)
    generator = Generator(config.generator)
    gan = config.method == "gan"
    partner = Discriminator(config.discriminator) if gan else Encoder(config.discriminator, config.generator.z)
    for network in (generator, partner):
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PairState.new(generator, partner, config.rate_first, (0.0 if gan else 0.9, config.beta2))


def watch_of(config: GenerateConfig, pictures: Pictures, state: PairState, latents: FixedLatents,
             device: torch.device) -> Watch:
    """Compares what the generator makes of the fixed latents with some of the pictures, class by class."""
    chosen = np.random.default_rng((config.seed, 1 << 22)).permutation(len(pictures))[:REFERENCE]
    labels = None if pictures.labels is None else torch.from_numpy(pictures.labels[chosen]).to(device)
    return Watch(state, config.limits, config.batch, to_floats(pictures.batch(chosen), device),
                 lambda generator: generator(latents.z, latents.labels), real_labels=labels,
                 made_labels=latents.labels, says_gap=config.method == "gan" and LOSSES[config.loss].says_gap)


def grid(state: PairState, latents: FixedLatents, out: Path, journal: Journal) -> None:
    """Draws the fixed latents with the averaged generator, as a PNG and in TensorBoard."""
    image = draw_grid(state.generator.averaged, latents)
    keep_picture(out, journal, state.step, "fixed latents", image)


def save(state: PairState, config: GenerateConfig, pictures: Pictures, out: Path, scores: dict[str, float]) -> None:
    """Writes `last.safetensors`, to go on from, and `generator.safetensors`, the averaged generator."""
    state.save_run(out, facts_of(config, pictures), scores, state.generator.averaged)


def facts_of(config: GenerateConfig, pictures: Pictures) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    from importlib.metadata import version

    return {"task": "generate", "network": dataclasses.asdict(config.generator), "size_wh": (config.size, config.size),
            "names": pictures.names, "colours": (), "ignore": 255, "fit": dataclasses.asdict(Fit()),
            "data": config.data, "pictures": len(pictures),
            "provenance": {"preset": config.preset, "data": Path(config.data).name, "seed": config.seed,
                           "method": config.method, "loss": config.loss if config.method == "gan" else "evidence",
                           "budget_minutes": config.minutes, "budget_steps": config.budget_steps,
                           "half": config.half, "torch": torch.__version__, "epee": version("epee")}}


def check_same(facts: dict[str, Any], pictures: Pictures, out: Path) -> None:
    """Raises TrainingError where a run is resumed with other pictures."""
    if (facts.get("pictures"), tuple(facts.get("names", ()))) != (len(pictures), pictures.names):
        raise TrainingError(f"run '{out}' was trained on other pictures",
                            got=f"{len(pictures)} in {len(pictures.names)} classes",
                            expected=f"{facts.get('pictures')} in {len(facts.get('names', ()))}",
                            do="bring them back, or start a new run")


def tell(pictures: Pictures, state: PairState, config: GenerateConfig, device: torch.device,
         progress: Progress) -> None:
    """Says what is about to be trained, and which pictures were skipped."""
    skipped = skipped_of(pictures)
    for name, reason in skipped[:10]:
        progress.note(f"skipped {name}: {reason}")
    if len(skipped) > 10:
        progress.note(f"skipped {len(skipped) - 10} more")
    progress.note(f"{len(pictures)} pictures at {config.size}x{config.size}"
                  + (f" in {len(pictures.names)} classes" if pictures.names else "")
                  + f", generator {count(state.generator.network) / 1e6:.2f} M parameters, "
                  f"{'discriminator' if config.method == 'gan' else 'encoder'} "
                  f"{count(state.partner.network) / 1e6:.2f} M, {device.type}{', bf16' if use_bf16(device) else ''}")


def skipped_of(pictures: Pictures) -> tuple[tuple[str, str], ...]:
    """(name, reason) of each file that could not be read; an array of one's own has none."""
    return pictures.skipped if isinstance(pictures, ArrayPictures) else ()


def count(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in network.parameters())
