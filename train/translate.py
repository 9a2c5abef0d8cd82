"""`epee train translate`: the loop, from top to bottom."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..runtime.manifest import Fit
from . import checkpoint
from .comparisons import answers, mean_l1, mean_psnr, rows, to_unit
from .config import save_config
from .contrast import Contrasted
from .course import Course, chance, ema_decay
from .devices import pick_device, use_bf16
from .gan_losses import LOSSES
from .grids import forget_after, keep_picture, save_video
from .metrics import Journal, Progress
from .networks.patch_discriminator import PatchDiscriminator
from .networks.translator import Translator
from .pairs import CropPairs, Image, Sides, centre, open_sides
from .presets.translate import TranslateConfig
from .schedule import Budget, cosine
from .state import PairState
from .translate_steps import paired_step, pixel_step, signed, unpaired_step
from .watch import Watch

SCORED, SHOWN, WATCHED = 48, 6, 32
"""Held-out pictures that are scored and drawn, and crops that are watched."""

Exam = tuple[list[Image], list[Image]]


def train_translate(config: TranslateConfig, out: Path, *, resume: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Trains a translator and leaves config.toml, checkpoints, metrics, pictures and a video in `out`.

    Args:
        config: what to train.
        out: the run's folder.
        resume: go on from `out/last.safetensors`.
        quiet: no progress on standard error.

    Returns:
        `l1` (0 to 1) and `psnr` in dB of held-out pairs, None without pairs; `healthy` and `problem` (why it was given
        up, else ''), `diversity` (of the averaged translator's pictures, as a share of the targets'), `rollbacks`,
        the last means of what a step measures, `steps`, `images`, `epochs`, `minutes`, `images_per_s`, `parameters`,
        `inputs`, `targets`, `held_out`, `skipped`, `out`.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; `last.safetensors` was written first.
        TrainingError: a checkpoint cannot be written or does not fit.
        DataError: the pictures do not fit.
    """
    device, progress = pick_device(), Progress(quiet)
    train, exam = open_data(config)
    crops = CropPairs(train, config.size, config.batch, config.flip, config.seed)
    state = new_state(config, device)
    if resume:
        state.restore(out / checkpoint.LAST)
        progress.note(f"going on from step {state.step}, after {state.elapsed_s / 60:.1f} minutes")
    watch = watch_of(config, train, state, device)
    save_config(out, config)
    forget_after(out, state.step if resume else -1)
    tell(train, exam, state, config, device, progress)
    budget = Budget(steps=config.steps, seconds=None if config.minutes is None else 60.0 * config.minutes)

    with Course(state, watch, config.limits.rollbacks, budget, out, progress, config.clock) as course:
        for fraction in course:
            rate = state.calm * cosine(config.rate_first, config.rate_last, fraction)
            for learner in (state.generator, state.partner):
                learner.set_rate(rate)
            x, y = (to_unit(images, device) for images in crops(state.step))
            if not config.adversarial:
                values = pixel_step(state, x, y)
            else:
                teach = paired_step if config.paired else unpaired_step
                values = teach(state, x, y, config, chance(config.seed, state.step))
            state.step += 1
            state.generator.average(ema_decay(config, state.step))
            if not course.took(values, rate, f"diversity {watch.share:.2f}"):
                continue
            if config.paired and course.due("scores", config.evaluations):
                course.journal.write(state.step, state.elapsed_s, score(state, exam, device))
            if course.due("grid", config.grids):
                grid(state, exam, out, course.journal, device)
            if course.save_due():
                save(state, config, out, {})
        course.end(lambda: save(state, config, out, {}), f"epee train translate --out {out} --resume")
        grid(state, exam, out, course.journal, device)
        scores = score(state, exam, device) if config.paired else {}
        diversity = watch.share_of(state.generator.averaged)
        course.journal.write(state.step, state.elapsed_s, {**scores, "diversity": diversity})
        save(state, config, out, scores)
    if no_video := save_video(out):
        progress.note(f"no video of the training: {no_video}")
    return {"l1": None, "psnr": None, **scores, **course.facts(), "diversity": diversity,
            "images": state.step * config.batch, "epochs": round(state.step / crops.steps_per_epoch, 2),
            "images_per_s": round(course.steps_per_s * config.batch, 1),
            "parameters": count(translator_of(state.generator.network)), "inputs": len(train.inputs),
            "targets": len(train.targets), "held_out": len(exam[0]), "skipped": len(train.skipped), "out": str(out)}


def open_data(config: TranslateConfig) -> tuple[Sides, Exam]:
    """Training pictures, and held-out inputs and targets at the training size (no targets without pairs)."""
    def read(data: str, target: str | None, short: int) -> Sides:
        return open_sides(data, target, short, least=config.size, side=config.input, paired=config.paired)

    train = read(config.data, config.target, config.short)
    if config.val is not None:
        target = config.val_target if config.paired else config.target
        held = read(config.val, target, config.size)
    else:
        train, held = train.split()[0], read(config.data, config.target, config.size).split()[1]
    chosen = np.unique(np.linspace(0, len(held.inputs) - 1, min(SCORED, len(held.inputs))).round().astype(int))
    targets = [centre(held.targets[i], config.size) for i in chosen] if config.paired else []
    return train, ([centre(held.inputs[i], config.size) for i in chosen], targets)


def new_state(config: TranslateConfig, device: torch.device) -> PairState:
    """Networks and optimizers that have not learned, by the configuration's seed."""
    torch.manual_seed(config.seed)
    generator: nn.Module = Translator(config.network)
    if not config.paired:
        generator = Contrasted(Translator(config.network), config.vector)
    partner = PatchDiscriminator(dataclasses.replace(config.discriminator, conditional=config.paired))
    for network in (generator, partner):
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PairState.new(generator, partner, config.rate_first, (config.beta1, config.beta2))


def translator_of(network: nn.Module) -> nn.Module:
    """The translator alone, which is what is exported."""
    return network.translator if isinstance(network, Contrasted) else network


def watch_of(config: TranslateConfig, train: Sides, state: PairState, device: torch.device) -> Watch:
    """Compares what the translator makes of some crops with crops of targets."""
    x, y = (to_unit(images, device) for images in CropPairs(train, config.size, WATCHED, 0.0, config.seed + 1)(0))
    return Watch(state, config.limits, config.batch, signed(y), lambda generator: signed(generator(x)),
                 says_gap=LOSSES[config.loss].says_gap)


def score(state: PairState, exam: Exam, device: torch.device) -> dict[str, float]:
    """`l1` and `psnr` of the averaged translator on held-out pairs."""
    made = answers(state.generator.averaged, exam[0], device)
    return {"l1": mean_l1(made, exam[1]), "psnr": mean_psnr(made, exam[1])}


def grid(state: PairState, exam: Exam, out: Path, journal: Journal, device: torch.device) -> None:
    """Draws held-out pictures: what went in, what came out, and of pairs what it should be."""
    inputs, targets = exam[0][:SHOWN], exam[1][:SHOWN]
    made = answers(state.generator.averaged, inputs, device)
    image = rows([inputs, made, targets] if targets else [inputs, made])
    keep_picture(out, journal, state.step, "input, output, target", image)


def save(state: PairState, config: TranslateConfig, out: Path, scores: dict[str, float]) -> None:
    """Writes `last.safetensors`, to go on from, and `generator.safetensors`, the averaged translator."""
    state.save_run(out, facts_of(config), scores, translator_of(state.generator.averaged))


def facts_of(config: TranslateConfig) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    from importlib.metadata import version

    return {"task": "translate", "network": dataclasses.asdict(config.network), "size_wh": (config.size, config.size),
            "names": (), "colours": (), "ignore": 255, "fit": dataclasses.asdict(Fit("crop", "area")),
            "data": config.data,
            "provenance": {"preset": config.preset, "data": Path(config.data).name, "seed": config.seed,
                           "target": None if config.target is None else Path(config.target).name,
                           "input": config.input, "paired": config.paired, "adversarial": config.adversarial,
                           "budget_minutes": config.minutes, "budget_steps": config.steps,
                           "torch": torch.__version__, "epee": version("epee")}}


def tell(train: Sides, exam: Exam, state: PairState, config: TranslateConfig, device: torch.device,
         progress: Progress) -> None:
    """Says what is about to be trained, and which pictures were skipped."""
    for name, reason in train.skipped[:10]:
        progress.note(f"skipped {name}: {reason}")
    if len(train.skipped) > 10:
        progress.note(f"skipped {len(train.skipped) - 10} more")
    progress.note((f"{len(train.inputs)} pairs" if train.paired else
                   f"{len(train.inputs)} inputs and {len(train.targets)} targets")
                  + f" at {config.size}x{config.size}, {len(exam[0])} held out, translator "
                  f"{count(translator_of(state.generator.network)) / 1e6:.2f} M parameters, discriminator "
                  f"{count(state.partner.network) / 1e6:.2f} M, {device.type}{', bf16' if use_bf16(device) else ''}")


def count(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in network.parameters())
