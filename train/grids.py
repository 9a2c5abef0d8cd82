"""Pictures of fixed latents, drawn again and again over a training, and the video that they make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..runtime.errors import MissingExtra, TrainingError
from ..runtime.frames import Frame, Result
from ..runtime.manifest import Manifest
from ..runtime.sinks import SinkInfo
from ..runtime.sinks.mp4 import Mp4Sink
from .metrics import Journal

COLUMNS = 8
MOST_ROWS = 16
VIDEO_FPS = 10.0
SHOWN = 64
"""Smaller pictures are shown this large."""
VIDEO = "training.mp4"


@dataclass(frozen=True)
class FixedLatents:
    """The latents that are watched.

    Attributes:
        z: (rows * COLUMNS, Z) float32, standard normal; with labels each column has the same latents in every row.
        labels: (rows * COLUMNS,) int64, a class a row; or None.
    """

    z: Tensor
    labels: Tensor | None


def fixed_latents(z: int, classes: int, device: torch.device) -> FixedLatents:
    """8x8 latents, or with labels a row of 8 for each of up to 16 classes; the same in every run."""
    rows = min(classes, MOST_ROWS) or COLUMNS
    chance = torch.Generator().manual_seed(0)
    latents = torch.randn(rows * COLUMNS, z, generator=chance)
    if not classes:
        return FixedLatents(latents.to(device), None)
    latents = latents[:COLUMNS].repeat(rows, 1)
    return FixedLatents(latents.to(device), torch.arange(rows).repeat_interleave(COLUMNS).to(device))


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) float, BGR, -1 to 1 -> (N, H, W, 3) uint8, BGR."""
    scaled = images.float().add(1.0).mul(127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def to_floats(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """(N, H, W, 3) uint8, BGR -> (N, 3, H, W) float32, BGR, -1 to 1, channels last in memory."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


@torch.no_grad()
def draw_grid(generator: nn.Module, latents: FixedLatents) -> NDArray[np.uint8]:
    """(rows h, COLUMNS w, 3) uint8, BGR: the pictures of the latents, small ones enlarged."""
    images = to_bytes(generator(latents.z, latents.labels))
    n, h, w, _ = images.shape
    grid = images.reshape(n // COLUMNS, COLUMNS, h, w, 3).swapaxes(1, 2).reshape(n // COLUMNS * h, COLUMNS * w, 3)
    scale = max(1, SHOWN // h)
    return np.ascontiguousarray(grid.repeat(scale, 0).repeat(scale, 1))


def keep_picture(run: Path, journal: Journal, step: int, name: str, image: NDArray[np.uint8]) -> None:
    """Keeps what is drawn at a step: a PNG in the run, and in TensorBoard. Raises TrainingError where the disk is full.

    Args:
        run: its folder.
        journal: of the run.
        step: of the training.
        name: in TensorBoard.
        image: (H, W, 3) uint8, BGR.
    """
    path = run / "pictures" / f"step-{step:08d}.png"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise TrainingError(f"cannot write '{path}'", got=error.strerror or str(error),
                            do="free some space, then go on with --resume") from None
    journal.picture(step, name, image)


def forget_after(run: Path, step: int) -> None:
    """Removes grids of later steps: those of another training in this folder, or those that will come again."""
    for file in (run / "pictures").glob("step-*.png"):
        if int(file.stem.removeprefix("step-")) > step:
            file.unlink()


def save_video(run: Path) -> str:
    """Makes `training.mp4` of a run's grids. Gives '' when done, else why there is none."""
    files = sorted((run / "pictures").glob("step-*.png"))
    manifest = Manifest("training", "generate", (), (), ())
    try:
        with Mp4Sink(str(run / VIDEO), SinkInfo("training", manifest, fps=VIDEO_FPS)) as sink:
            for index, file in enumerate(files):
                image: Any = cv2.imread(str(file))
                sink.write(Result(Frame(image, index), {"image": image}, manifest))
    except MissingExtra as error:
        return str(error)
    return ""
