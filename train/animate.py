"""`epee train animate`: the loop, from top to bottom."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..runtime.errors import DataError, TrainingError
from ..runtime.manifest import Fit
from . import checkpoint
from .clips import ClipBatches, Clips, open_clips
from .config import save_config
from .course import Course, chance, ema_decay
from .devices import pick_device, use_bf16
from .gan import gan_step
from .gan_losses import LOSSES
from .grids import forget_after, keep_picture, save_video, to_floats
from .metrics import Journal, Progress
from .motion_pictures import draw_clips, motion_of, save_motion, watched_noise
from .networks.animator import Animator, ClipMaker
from .networks.clip_discriminator import ClipDiscriminator
from .presets.animate import AnimateConfig
from .schedule import Budget, cosine
from .state import PairState
from .watch import REFERENCE, Watch


def train_animate(config: AnimateConfig, out: Path, *, clips: Clips | None = None, resume: bool = False,
                  quiet: bool = False) -> dict[str, Any]:
    """Trains an animator and leaves config.toml, checkpoints, metrics, pictures and videos in `out`.

    Args:
        config: what to train; sizes of the networks are filled in.
        out: the run's folder.
        clips: what to learn from; None reads `config.data`.
        resume: go on from `out/last.safetensors`.
        quiet: no progress on standard error.

    Returns:
        `healthy` and `problem` (why it was given up, else ''), `diversity` (of the averaged animator's frames, as a
        share of the real ones'), `motion` (mean difference of neighbouring frames, as a share of the real clips'),
        `rollbacks`, the last means of what a step measures, `steps`, `clips_seen`, `epochs`, `minutes`, `clips_per_s`,
        `parameters`, `clips`, `skipped`, `out`.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; `last.safetensors` was written first.
        TrainingError: a checkpoint cannot be written or does not fit.
        DataError: the clips do not fit.
    """
    device, progress = pick_device(), Progress(quiet)
    clips = clips or open_clips(config.data, config.size, config.frames, config.crop)
    config = complete(config, clips)
    batches = ClipBatches(clips, config.frames, config.batch, config.seed)
    state = new_state(config, device)
    if resume:
        check_same(state.restore(out / checkpoint.LAST), batches, out)
        progress.note(f"going on from step {state.step}, after {state.elapsed_s / 60:.1f} minutes")
    noise = watched_noise(state.generator.network.config.z, device)  # type: ignore[union-attr, arg-type]
    watch = watch_of(config, batches, state, noise, device)
    save_config(out, config)
    forget_after(out, state.step if resume else -1)
    tell(clips, batches, state, config, device, progress)
    budget = Budget(steps=config.steps, seconds=None if config.minutes is None else 60.0 * config.minutes)

    with Course(state, watch, config.limits.rollbacks, budget, out, progress, config.clock) as course:
        if state.step == 0:
            grid(state, noise, out, course.journal)
        for fraction in course:
            rate = state.calm * cosine(config.rate_first, config.rate_last, fraction)
            for learner in (state.generator, state.partner):
                learner.set_rate(rate)
            real = to_clips(batches(state.step), device)
            values = gan_step(state, real, None, config, chance(config.seed, state.step))
            state.step += 1
            state.generator.average(ema_decay(config, state.step))
            if not course.took(values, rate, f"diversity {watch.share:.2f}"):
                continue
            if course.due("grid", config.grids):
                grid(state, noise, out, course.journal)
            if course.due("video", config.videos):
                save_motion(animator_of(state.generator.averaged), out)
            if course.save_due():
                save(state, config, batches, out, {})
        course.end(lambda: save(state, config, batches, out, {}), f"epee train animate --out {out} --resume")
        grid(state, noise, out, course.journal)
        scores = {"diversity": watch.share_of(state.generator.averaged),
                  "motion": motion_share(state, batches, noise, device)}
        course.journal.write(state.step, state.elapsed_s, scores)
        save(state, config, batches, out, scores)
    for why in (save_motion(animator_of(state.generator.averaged), out), save_video(out)):
        if why:
            progress.note(f"no video: {why}")
    return {**course.facts(), **scores, "clips_seen": state.step * config.batch,
            "epochs": round(state.step / batches.steps_per_epoch, 2),
            "clips_per_s": round(course.steps_per_s * config.batch, 1),
            "parameters": sum(p.numel() for p in state.generator.network.parameters()), "clips": len(clips.runs),
            "skipped": len(clips.skipped), "out": str(out)}


def complete(config: AnimateConfig, clips: Clips) -> AnimateConfig:
    """Fills in what the data decides. Raises DataError where frames have another size than the configuration."""
    h, w = clips.runs[0].shape[1:3]
    if (h, w) != (config.size, config.size):
        raise DataError(f"clips '{config.data}'", got=f"{w}x{h}", expected=f"{config.size}x{config.size}")
    generator = dataclasses.replace(config.animator.generator, size=config.size)
    judges = {name: dataclasses.replace(getattr(config.discriminator, name), size=config.size)
              for name in ("picture", "motion")}
    return dataclasses.replace(config, animator=dataclasses.replace(config.animator, generator=generator),
                               discriminator=dataclasses.replace(config.discriminator, **judges))


def new_state(config: AnimateConfig, device: torch.device) -> PairState:
    """Networks and optimizers that have not learned, by the configuration's seed."""
    torch.manual_seed(config.seed)
    maker, judge = ClipMaker(Animator(config.animator), config.frames), ClipDiscriminator(config.discriminator)
    for network in (maker, judge):
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PairState.new(maker, judge, config.rate_first, (0.0, config.beta2))


def animator_of(network: torch.nn.Module) -> Animator:
    """The animator alone, which is what is exported."""
    assert isinstance(network, ClipMaker)
    return network.animator


def to_clips(images: np.ndarray[Any, np.dtype[np.uint8]], device: torch.device) -> Tensor:
    """(N, T, size, size, 3) uint8, BGR -> (N, 3 T, size, size) float32, BGR frame after frame, -1 to 1."""
    n, t = images.shape[:2]
    frames = to_floats(images.reshape(n * t, *images.shape[2:]), device)
    return frames.reshape(n, t * frames.shape[1], *frames.shape[2:])


def watch_of(config: AnimateConfig, batches: ClipBatches, state: PairState, noise: Tensor,
             device: torch.device) -> Watch:
    """Compares the first frames that the animator makes of fixed noise with some of the real ones."""
    chosen = np.random.default_rng((config.seed, 1 << 22)).permutation(len(batches))[:REFERENCE]
    real = to_floats(np.stack([batches.clip(int(i))[0] for i in chosen]), device)
    return Watch(state, config.limits, config.batch, real, lambda maker: maker(noise)[:, :3],
                 says_gap=LOSSES[config.loss].says_gap)


def motion_share(state: PairState, batches: ClipBatches, noise: Tensor, device: torch.device) -> float:
    """How much the averaged animator's clips move, as a share of real ones."""
    chosen = np.linspace(0, len(batches) - 1, min(REFERENCE, len(batches))).astype(int)
    real = to_clips(np.stack([batches.clip(int(i)) for i in chosen]), device)
    with torch.no_grad():
        made = state.generator.averaged(noise)
    return motion_of(made) / max(motion_of(real), 1e-9)


def grid(state: PairState, noise: Tensor, out: Path, journal: Journal) -> None:
    """Draws clips of the fixed noise with the averaged animator, a row each, as a PNG and in TensorBoard."""
    image = draw_clips(state.generator.averaged, noise)
    keep_picture(out, journal, state.step, "fixed noise", image)


def save(state: PairState, config: AnimateConfig, batches: ClipBatches, out: Path, scores: dict[str, float]) -> None:
    """Writes `last.safetensors`, to go on from, and `generator.safetensors`, the averaged animator."""
    state.save_run(out, facts_of(config, batches), scores, animator_of(state.generator.averaged))


def facts_of(config: AnimateConfig, batches: ClipBatches) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    from importlib.metadata import version

    return {"task": "animate", "network": dataclasses.asdict(config.animator), "size_wh": (config.size, config.size),
            "names": (), "colours": (), "ignore": 255, "fit": dataclasses.asdict(Fit()), "data": config.data,
            "clips": len(batches),
            "provenance": {"preset": config.preset, "data": Path(config.data).name, "seed": config.seed,
                           "loss": config.loss, "frames": config.frames, "budget_minutes": config.minutes,
                           "budget_steps": config.steps, "torch": torch.__version__, "epee": version("epee")}}


def check_same(facts: dict[str, Any], batches: ClipBatches, out: Path) -> None:
    """Raises TrainingError where a run is resumed with other clips."""
    if facts.get("clips") != len(batches):
        raise TrainingError(f"run '{out}' was trained on other clips", got=f"{len(batches)} clips",
                            expected=str(facts.get("clips")), do="bring them back, or start a new run")


def tell(clips: Clips, batches: ClipBatches, state: PairState, config: AnimateConfig, device: torch.device,
         progress: Progress) -> None:
    """Says what is about to be trained, and which clips were skipped."""
    for name, reason in clips.skipped[:10]:
        progress.note(f"skipped {name}: {reason}")
    if len(clips.skipped) > 10:
        progress.note(f"skipped {len(clips.skipped) - 10} more")
    made, judged = (sum(p.numel() for p in learner.network.parameters()) / 1e6
                    for learner in (state.generator, state.partner))
    progress.note(f"{len(batches)} clips of {config.frames} frames at {config.size}x{config.size} in {len(clips.runs)} "
                  f"runs, animator {made:.2f} M parameters, discriminators {judged:.2f} M, "
                  f"{device.type}{', bf16' if use_bf16(device) else ''}")
