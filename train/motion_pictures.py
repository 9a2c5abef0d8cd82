"""Clips of fixed noise, as a picture and as a video; and how much a clip moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..runtime.errors import MissingExtra
from ..runtime.frames import Frame, Result
from ..runtime.latents import Grid
from ..runtime.manifest import Manifest
from ..runtime.sinks import SinkInfo
from ..runtime.sinks.mp4 import Mp4Sink
from .grids import SHOWN, to_bytes
from .networks.animator import Animator

WATCHED, ROWS = 64, 8
"""Clips that are watched, and how many of them are drawn."""
VIDEO, VIDEO_FRAMES, VIDEO_FPS, STREAMS = "motion.mp4", 120, 12.0, Grid(4, 4)


def watched_noise(length: int, device: torch.device) -> Tensor:
    """(WATCHED, length) float32, standard normal; the same in every run."""
    return torch.randn(WATCHED, length, generator=torch.Generator().manual_seed(0)).to(device)


@torch.no_grad()
def draw_clips(maker: nn.Module, noise: Tensor) -> NDArray[np.uint8]:
    """(ROWS h, T w, 3) uint8, BGR: a clip a row, frame beside frame, small ones enlarged."""
    made = maker(noise[:ROWS]).unflatten(1, (-1, 3))  # (ROWS, T, 3, h, w)
    frames, height = made.shape[1], made.shape[-1]
    return Grid(frames, ROWS, max(1, SHOWN // height)).laid_out(to_bytes(made.flatten(0, 1)))


@torch.no_grad()
def save_motion(animator: Animator, run: Path) -> str:
    """Writes `motion.mp4`, several streams side by side as they go on. Gives '' when done, else why there is none."""
    device = next(animator.parameters()).device
    chance = torch.Generator().manual_seed(0)
    manifest = Manifest("motion", "animate", (), (), ())
    state = torch.zeros(STREAMS.count, animator.config.state, device=device)
    grid = Grid(STREAMS.columns, STREAMS.rows, max(1, SHOWN // animator.config.generator.size))
    try:
        with Mp4Sink(str(run / VIDEO), SinkInfo("motion", manifest, fps=VIDEO_FPS)) as sink:
            for index in range(VIDEO_FRAMES):
                noise = torch.randn(STREAMS.count, animator.config.z, generator=chance).to(device)
                pictures, state = animator(noise, state)
                image = grid.laid_out(to_bytes(pictures))
                sink.write(Result(Frame(image, index), {"image": image}, manifest))
    except MissingExtra as error:
        return str(error)
    return ""


def motion_of(clips: Tensor) -> float:
    """Mean absolute difference of neighbouring frames.

    Args:
        clips: (N, 3 T, size, size) float, frame after frame.
    """
    frames = clips.float().reshape(len(clips), -1, 3, *clips.shape[2:])
    return float((frames[:, 1:] - frames[:, :-1]).abs().mean())
