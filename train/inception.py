"""The features that FID is named after: Inception with the papers' weights, and the clean resize."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..runtime.bundle import sha256
from ..runtime.errors import DataError, need
from .devices import pick_device
from .networks.inception import SIZE, Inception

WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of `pt_inception-2015-12-05-6726825d.pth`, TensorFlow's weights as pytorch-fid and torch-fidelity publish them."""
BATCH = 32


class Inceptions:
    """Looks at pictures as FID does. A context manager; see `runtime.quality.scoring.Look`.

    Only these weights give FID and KID without a name behind them.

    Attributes:
        kid_name, fd_name: `kid` and `fid`.
        size_hw: of the network's input; smaller pictures are enlarged to it.
    """

    kid_name = "kid"
    fd_name: str | None = "fid"
    size_hw = (SIZE, SIZE)

    def __init__(self, network: Inception) -> None:
        self._device = pick_device()
        self._network = network.eval().to(self._device)

    def __call__(self, images: Iterable[NDArray[Any]]) -> NDArray[np.float32]:
        """Gives (N, 2048) float32 features of pictures, (H, W, 3) uint8, BGR."""
        parts: list[NDArray[np.float32]] = []
        batch: list[NDArray[Any]] = []
        for image in images:
            batch.append(clean_resize(image))
            if len(batch) == BATCH:
                parts.append(self._look(batch))
                batch = []
        if batch:
            parts.append(self._look(batch))
        if not parts:
            raise DataError("pictures to score", got="none", expected="one or more")
        return np.concatenate(parts)

    @torch.inference_mode()
    def _look(self, batch: list[NDArray[Any]]) -> NDArray[np.float32]:
        x: Tensor = torch.from_numpy(np.stack(batch)).to(self._device).permute(0, 3, 1, 2)
        features: Tensor = self._network((x - 128) / 128)
        return features.cpu().numpy()

    def __enter__(self) -> Inceptions:
        return self

    def __exit__(self, *exc: object) -> None:
        del self._network


def open_inception(path: str | os.PathLike[str]) -> Inceptions:
    """Opens the papers' weights, and no others.

    Raises:
        DataError: nothing there, or another file.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"Inception weights '{file}'", got="nothing there",
                        expected="pt_inception-2015-12-05-6726825d.pth", do="download it where pytorch-fid has it")
    if (got := sha256(file)) != WEIGHTS_SHA256:
        raise DataError(f"Inception weights '{file}'", got=f"SHA-256 {got[:12]}…", expected=f"{WEIGHTS_SHA256[:12]}…",
                        do="only the papers' weights give FID; score by --extractor instead")
    network = Inception()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return Inceptions(network)


def clean_resize(image: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W, 3) uint8, BGR -> (299, 299, 3) float32, RGB, 0 to 255 (clean-fid, Parmar 2021, arXiv 2104.11222).

    Pillow's bicubic filter, which averages where it shrinks, on floats: nothing is rounded to bytes in between.
    """
    pillow = need("PIL.Image")
    channels = [pillow.fromarray(image[..., c].astype(np.float32)).resize((SIZE, SIZE), pillow.Resampling.BICUBIC)
                for c in (2, 1, 0)]
    return np.clip(np.stack([np.asarray(channel, np.float32) for channel in channels], -1), 0, 255)
