"""`epee train enhance`: the loop, from top to bottom."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..runtime.errors import TrainingError
from ..runtime.manifest import Fit
from . import checkpoint
from .comparisons import answers, mean_psnr, rows, to_unit
from .config import save_config
from .course import Course
from .crops import Crops, Pair, whole
from .degrade import resize
from .devices import pick_device, use_bf16
from .enhance_steps import adversarial_step, pixel_step
from .gan_losses import LOSSES
from .grids import forget_after, keep_picture
from .metrics import Journal, Progress
from .networks.unet_discriminator import UNetDiscriminator
from .networks.upscaler import Upscaler
from .presets.enhance import EnhanceConfig
from .scenes import Scenes, open_scenes
from .schedule import Budget, cosine
from .state import PairState, misfit
from .watch import Watch

PIXEL = "pixel.safetensors"
"""What the pixel stage ended with, where an adversarial one came after it."""
SCORED, SHOWN, WATCHED = 12, 4, 32
"""Held-out pictures that are scored and drawn, and crops that are watched."""


def train_enhance(config: EnhanceConfig, out: Path, *, resume: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Trains an enhancer and leaves config.toml, checkpoints, metrics and pictures in `out`.

    Args:
        config: what to train.
        out: the run's folder.
        resume: go on from `out/last.safetensors`.
        quiet: no progress on standard error.

    Returns:
        `psnr` of held-out pictures in dB, and `input_psnr` of what went in, enlarged bicubically; `healthy`, `problem`
        (why it was given up, else ''), `rollbacks`, the last means of what a step measures, `steps`, `epochs`,
        `minutes`, `steps_per_s`, `parameters`, `pictures`, `held_out`, `skipped`, `out`.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; `last.safetensors` was written first.
        TrainingError: a checkpoint cannot be written or does not fit.
        DataError: the pictures do not fit.
    """
    device, progress = pick_device(), Progress(quiet)
    train, held = open_data(config)
    scale = config.network.scale
    crops = Crops(train, config.crop, scale, config.damage, config.batch, config.seed)
    exam = whole(held, scale, config.damage, config.seed)
    state = new_state(config, device)
    if resume:
        state.restore(out / checkpoint.LAST)
        progress.note(f"going on from step {state.step}, after {state.elapsed_s / 60:.1f} minutes")
    watch = watch_of(config, train, state, device)
    save_config(out, config)
    forget_after(out, state.step if resume else -1)
    tell(train, held, state, device, progress)
    budget = Budget(steps=config.steps, seconds=None if config.minutes is None else 60.0 * config.minutes)

    with Course(state, watch, config.limits.rollbacks, budget, out, progress, config.clock) as course:
        psnr = float("nan")
        for fraction in course:
            adversarial = fraction >= 1.0 - config.adversarial
            if adversarial and not state.partner.optimizer.state:
                begin_adversarial(state, config, train, out, progress)
            rate = state.calm * rate_of(config, fraction)
            for learner in (state.generator, state.partner):
                learner.set_rate(rate)
            bad, good = (to_unit(images, device) for images in crops(state.step))
            if adversarial:
                values = adversarial_step(state, bad, good, config, taught(state) < config.warm_steps)
            else:
                values = pixel_step(state, bad, good)
            state.step += 1
            state.generator.average(min(config.ema_decay, state.step / (10 + state.step)))
            said = f"{'adversarial' if adversarial else 'pixels'}  held-out PSNR {psnr:.2f} dB"
            if not course.took(values, rate, said):
                continue
            if course.due("scores", config.evaluations):
                psnr = score(state, exam, course.journal, device)
            if course.due("grid", config.grids):
                grid(state, exam, out, course.journal, device)
            if course.save_due():
                state.save(out / checkpoint.LAST, facts_of(config, train))
        course.end(lambda: state.save(out / checkpoint.LAST, facts_of(config, train)),
                   f"epee train enhance --out {out} --resume")
        if taught(state):
            towards(state.generator.averaged, out / PIXEL, config.interpolation)
        psnr = score(state, exam, course.journal, device)
        grid(state, exam, out, course.journal, device)
        state.save_averaged(out / checkpoint.GENERATOR, facts_of(config, train), {"psnr": psnr},
                            state.generator.averaged)
    return {"psnr": round(psnr, 4), "input_psnr": round(mean_psnr(*enlarged(exam)), 4), **course.facts(),
            "epochs": round(state.step / crops.steps_per_epoch, 2), "steps_per_s": round(course.steps_per_s, 2),
            "parameters": sum(p.numel() for p in state.generator.network.parameters()), "pictures": len(train),
            "held_out": len(held), "skipped": len(train.skipped), "out": str(out)}


def open_data(config: EnhanceConfig) -> tuple[Scenes, Scenes]:
    """Training and held-out pictures. Raises DataError where there are too few."""
    if config.val is not None:
        return open_scenes(config.data, config.crop), open_scenes(config.val, config.crop).spread(SCORED)
    train, held = open_scenes(config.data, config.crop, fewest=2).split()
    return train, held.spread(SCORED)


def new_state(config: EnhanceConfig, device: torch.device) -> PairState:
    """Networks and optimizers, by the configuration's seed, with the weights of `start` where it is given."""
    torch.manual_seed(config.seed)
    generator, partner = Upscaler(config.network), UNetDiscriminator(config.discriminator)
    if config.start is not None:
        trained = checkpoint.load_trained(config.start)
        if trained.task != "enhance":
            raise TrainingError(f"checkpoint '{config.start}'", got=f"task {trained.task}", expected="task enhance")
        try:
            generator.load_state_dict(trained.network.state_dict())
        except RuntimeError as error:
            raise misfit(Path(config.start), error) from None
    for network in (generator, partner):
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PairState.new(generator, partner, config.rate_first, (0.9, 0.99))


def rate_of(config: EnhanceConfig, fraction: float) -> float:
    """Each stage has half a cosine of its own."""
    pixels = 1.0 - config.adversarial
    if fraction < pixels:
        return cosine(config.rate_first, config.rate_last, fraction / pixels)
    return cosine(config.adversarial_rate, config.adversarial_rate / 10, (fraction - pixels) / config.adversarial)


def begin_adversarial(state: PairState, config: EnhanceConfig, train: Scenes, out: Path, progress: Progress) -> None:
    """Goes on from the averaged weights of the pixel stage, which are kept in a file of their own."""
    state.generator.network.load_state_dict(state.generator.averaged.state_dict())
    state.save_averaged(out / PIXEL, facts_of(config, train), {}, state.generator.averaged)
    progress.note(f"step {state.step}: a discriminator joins; what there is so far: {out / PIXEL}")


@torch.no_grad()
def towards(averaged: torch.nn.Module, pixel: Path, share: float) -> None:
    """Leaves weights so far from the pixel stage's towards their own, 0 to 1.

    Wang 2018, ESRGAN, arXiv 1809.00219, equation 9.

    Raises:
        TrainingError: the pixel stage's file is gone or does not fit.
    """
    first = checkpoint.load_trained(pixel).network.state_dict()
    for name, value in averaged.state_dict().items():
        value.lerp_(first[name].to(value.device), 1.0 - share)


def taught(state: PairState) -> int:
    """Steps that the discriminator has learned."""
    first = next(iter(state.partner.optimizer.state.values()), None)
    return 0 if first is None else int(first["step"])


def watch_of(config: EnhanceConfig, train: Scenes, state: PairState, device: torch.device) -> Watch:
    """Compares what the enhancer makes of some crops with the good crops."""
    crops = Crops(train, config.crop, config.network.scale, config.damage, WATCHED, config.seed + 1)
    bad, good = (to_unit(images, device) for images in crops(0))
    return Watch(state, config.limits, config.batch, good.mul(2.0).sub(1.0),
                 lambda generator: generator(bad).mul(2.0).sub(1.0), says_gap=LOSSES[config.loss].says_gap)


def enlarged(exam: list[Pair]) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """The damaged pictures at the good ones' size, bicubically, and the good ones."""
    return ([bad if bad.shape == good.shape else resize(bad, good.shape[:2]) for bad, good in exam],
            [good for _, good in exam])


def score(state: PairState, exam: list[Pair], journal: Journal, device: torch.device) -> float:
    """PSNR of the averaged network on whole held-out pictures, in dB."""
    made = answers(state.generator.averaged, [bad for bad, _ in exam], device)
    psnr = mean_psnr(made, [good for _, good in exam])
    journal.write(state.step, state.elapsed_s, {"psnr": psnr})
    return psnr


def grid(state: PairState, exam: list[Pair], out: Path, journal: Journal, device: torch.device) -> None:
    """Draws held-out pictures: what went in, what came out, what it should be."""
    shown = exam[:SHOWN]
    made = answers(state.generator.averaged, [bad for bad, _ in shown], device)
    image = rows(([bad for bad, _ in shown], made, [good for _, good in shown]))
    keep_picture(out, journal, state.step, "input, output, target", image)


def facts_of(config: EnhanceConfig, train: Scenes) -> dict[str, Any]:
    """What a checkpoint says of itself; its size is that of the damaged pictures."""
    from importlib.metadata import version

    h, w = (n // config.network.scale for n in train.images[0].shape[:2])
    return {"task": "enhance", "network": dataclasses.asdict(config.network), "size_wh": (w, h), "names": (),
            "colours": (), "ignore": 255, "fit": dataclasses.asdict(Fit()), "data": config.data,
            "provenance": {"preset": config.preset, "data": Path(config.data).name, "seed": config.seed,
                           "damage": dataclasses.asdict(config.damage), "adversarial": config.adversarial,
                           "budget_minutes": config.minutes, "budget_steps": config.steps,
                           "torch": torch.__version__, "epee": version("epee")}}


def tell(train: Scenes, held: Scenes, state: PairState, device: torch.device, progress: Progress) -> None:
    """Says what is about to be trained, and which pictures were skipped."""
    for name, reason in train.skipped[:10]:
        progress.note(f"skipped {name}: {reason}")
    if len(train.skipped) > 10:
        progress.note(f"skipped {len(train.skipped) - 10} more")
    parameters = sum(p.numel() for p in state.generator.network.parameters())
    progress.note(f"{len(train)} pictures, {len(held)} held out, {parameters / 1e3:.1f} k parameters, "
                  f"{device.type}{', bf16' if use_bf16(device) else ''}")
