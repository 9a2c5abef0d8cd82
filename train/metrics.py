"""What a training tells while it runs: metrics.jsonl, TensorBoard, a progress line, and pictures of predictions."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..runtime import pixels
from ..runtime.dataset import Dataset
from ..runtime.errors import TrainingError
from ..runtime.manifest import Fit
from ..runtime.scores import Confusion
from .networks.segmenter import resize_logits


class Journal:
    """Writes metrics.jsonl and TensorBoard events. A context manager.

    metrics.jsonl has one JSON object a line with `step` and `elapsed_s`: steps with the loss, the learning rate and
    what else the task measures, scores with theirs.
    """

    def __init__(self, run: Path, resume_at: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path = run / "metrics.jsonl"
        try:
            if resume_at:
                self._cut(resume_at)
            self._file: TextIO = self._path.open("a" if resume_at else "w", encoding="utf-8")
            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=resume_at or None)
        except OSError as error:
            raise TrainingError(f"cannot write into '{run}'", got=error.strerror or str(error),
                                do="name another --out") from None

    def write(self, step: int, elapsed_s: float, values: dict[str, float]) -> None:
        """Adds one line, and each value as a TensorBoard scalar."""
        self._line({"step": step, "elapsed_s": round(elapsed_s, 3), **{k: round(v, 6) for k, v in values.items()}})
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def event(self, step: int, elapsed_s: float, text: str) -> None:
        """Adds a line {"step", "elapsed_s", "event"}, e.g. where a training went back."""
        self._line({"step": step, "elapsed_s": round(elapsed_s, 3), "event": text})
        self._board.add_text("event", text, step)

    def picture(self, step: int, name: str, image: NDArray[Any]) -> None:
        """Adds a picture to TensorBoard. `image` is (H, W, 3) uint8, BGR."""
        self._board.add_image(name, image[..., ::-1], step, dataformats="HWC")

    def _line(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise TrainingError(f"cannot write '{self._path}'", got=error.strerror or str(error),
                                do="free some space, then go on with --resume") from None

    def _cut(self, step: int) -> None:
        """Drops lines after the checkpoint that a resumed training goes on from; they will come again."""
        if self._path.is_file():
            lines = self._path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if json.loads(line)["step"] <= step]
            self._path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        self._board.close()


class Progress:
    """One line on standard error with the time left: rewritten on a terminal, a new one every 15 s elsewhere."""

    def __init__(self, quiet: bool = False) -> None:
        self._live = sys.stderr.isatty()
        self._quiet = quiet
        self._every_s = 0.5 if self._live else 15.0
        self._next_s = 0.0

    def show(self, fraction: float, left_s: float, text: str) -> None:
        """Shows the line if it is time for it. `fraction` is 0 to 1."""
        now = time.monotonic()
        if self._quiet or now < self._next_s:
            return
        self._next_s = now + self._every_s
        bar = "█" * int(24 * fraction) + "·" * (24 - int(24 * fraction))
        line = f"{bar} {fraction:4.0%}  {_clock(left_s)} left  {text}"
        sys.stderr.write(f"\r\x1b[2K{line}" if self._live else line + "\n")
        sys.stderr.flush()

    def note(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            sys.stderr.write(("\r\x1b[2K" if self._live else "") + text + "\n")
            sys.stderr.flush()


def evaluate(network: nn.Module, data: Dataset, size_wh: tuple[int, int], fit: Fit, device: torch.device,
             batch: int = 8) -> Confusion:
    """Scores a network in eval mode on a data set: pictures fitted as on the device, labels at their own size."""
    confusion = Confusion(len(data.names), data.ignore)
    for start in range(0, len(data), batch):
        pairs = [data[i] for i in range(start, min(start + batch, len(data)))]
        for answer, (image, label) in zip(predict(network, [p[0] for p in pairs], size_wh, fit, device), pairs,
                                          strict=True):
            confusion.add(label, pixels.unfit_mask(answer, image.shape[:2], fit))
    return confusion


@torch.inference_mode()
def predict(network: nn.Module, images: Sequence[NDArray[Any]], size_wh: tuple[int, int], fit: Fit,
            device: torch.device) -> NDArray[np.uint8]:
    """(N, H, W) uint8 class ids at the network's size for (H, W, 3) uint8 BGR pictures of any size."""
    size_hw = (size_wh[1], size_wh[0])
    frames = torch.from_numpy(np.stack([pixels.fit(image, size_hw, fit) for image in images]))
    logits = network(to_input(frames.to(device)))
    return resize_logits(logits.float(), size_hw).argmax(1).to(torch.uint8).cpu().numpy()


def to_input(frames: torch.Tensor) -> torch.Tensor:
    """(N, H, W, 3) uint8 BGR -> (N, 3, H, W) float32, 0 to 1, channels last in memory."""
    return frames.permute(0, 3, 1, 2).float().div_(255.0)


def save_grid(path: Path, images: Sequence[NDArray[Any]], labels: Sequence[NDArray[Any]],
              answers: Sequence[NDArray[Any]], colours: Sequence[tuple[int, int, int]]) -> None:
    """Writes a PNG with a row a picture: the picture, its label, the answer. Ids outside the classes are black."""
    table = np.zeros((256, 3), np.uint8)
    table[:len(colours)] = np.asarray(colours, np.uint8)[:, ::-1]
    rows = [np.hstack([image, table[label], table[cv2.resize(answer, image.shape[1::-1],
                                                             interpolation=cv2.INTER_NEAREST)]])
            for image, label, answer in zip(images, labels, answers, strict=True)]
    width = min(row.shape[1] for row in rows)
    rows = [cv2.resize(row, (width, round(row.shape[0] * width / row.shape[1]))) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.vstack(rows))[1].tobytes())


def _clock(seconds: float) -> str:
    minutes, s = divmod(int(max(0.0, seconds)), 60)
    h, m = divmod(minutes, 60)
    return f"{h}:{m:02d}:{s:02d}" if h else f"{m}:{s:02d}"
