"""Digits that fly straight and bounce: clips whose motion is known, and a regressor that reads it off two frames.

scikit-learn's digits, 14 pixels high in frames of 32, light on dark grey, at a constant speed of 1 to 2.5 pixels a
frame, reflected at the borders; 12 frames a clip. Half a of the digits makes what an animator learns from, half b what
the regressor is trained on and what generated clips are compared with (see `stacks` for the halves).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ...train.clips import Clips
from .stacks import load_digits

SIZE, DIGIT, FRAMES = 32, 14, 12
SPEEDS, DARK, LIGHT = (1.0, 2.5), 40, 230
MOST_APART = 3
"""Frames that two pictures shown to the regressor lie apart at most in its training."""

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Flights:
    """Clips with where the digit is.

    Attributes:
        images: (N, FRAMES, SIZE, SIZE, 3) uint8, BGR.
        places: (N, FRAMES, 2) float32, x and y of the digit's corner in pixels.
    """

    images: Images
    places: NDArray[np.float32]

    @property
    def clips(self) -> Clips:
        """As a training takes them."""
        return Clips(tuple(self.images))


def fly(half: str, count: int, seed: int, bounce: bool = True) -> Flights:
    """Draws clips.

    Args:
        half: of the digits, `a` or `b`.
        count: of clips.
        seed: of digits, places and directions.
        bounce: whether borders reflect; else digits fly out of the picture.
    """
    digits, rng = load_digits(half).images, np.random.default_rng(seed)
    room = SIZE - DIGIT
    places = np.empty((count, FRAMES, 2), np.float32)
    images = np.empty((count, FRAMES, SIZE, SIZE, 3), np.uint8)
    for clip in range(count):
        angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(*SPEEDS)
        way = rng.uniform(0, room, 2) + np.arange(FRAMES)[:, None] * speed * np.array([np.cos(angle), np.sin(angle)])
        places[clip] = room - np.abs(np.mod(way, 2 * room) - room) if bounce else way
        digit = cv2.resize(digits[rng.integers(len(digits))], (DIGIT, DIGIT), interpolation=cv2.INTER_LINEAR)
        digit = np.round(DARK + digit * ((LIGHT - DARK) / 255)).astype(np.uint8)
        for frame, (x, y) in enumerate(places[clip]):
            shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
            images[clip, frame] = cv2.warpAffine(digit, shift, (SIZE, SIZE), borderValue=DARK)[..., None]
    return Flights(images, places)


class Regressor(nn.Module):
    """How far a digit has moved between two frames.

    Input: (N, 2, SIZE, SIZE) float, grey, 0 to 1.
    Output: (N, 2) x and y in pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 24, 5, 2, 2), nn.ReLU(), nn.Conv2d(24, 48, 3, 2, 1), nn.ReLU(), nn.Conv2d(48, 64, 3, 2, 1),
            nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, 96), nn.ReLU(), nn.Linear(96, 2))

    def forward(self, x: Tensor) -> Tensor:
        moved: Tensor = self.layers(x)
        return moved


def train_regressor(flights: Flights, steps: int, seed: int = 0, batch: int = 128) -> Regressor:
    """Trains it on pairs of frames up to MOST_APART apart."""
    torch.manual_seed(seed)
    rng, regressor = np.random.default_rng(seed), Regressor()
    grey = flights.images[..., 0]
    optimizer = torch.optim.Adam(regressor.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        clip, first = rng.integers(len(grey), size=batch), rng.integers(FRAMES - MOST_APART, size=batch)
        second = first + rng.integers(MOST_APART + 1, size=batch)
        pairs = torch.from_numpy(np.stack([grey[clip, first], grey[clip, second]], 1)).float() / 255
        moved = torch.from_numpy(flights.places[clip, second] - flights.places[clip, first])
        optimizer.zero_grad()
        F.smooth_l1_loss(regressor(pairs), moved).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return regressor.eval()


@torch.no_grad()
def velocities(regressor: Regressor, images: Images) -> NDArray[np.float32]:
    """(N, T - 1, 2) float32, pixels a frame, of clips (N, T, SIZE, SIZE, 3) uint8, BGR."""
    grey = torch.from_numpy(images.astype(np.float32).mean(-1)) / 255
    pairs = torch.stack([grey[:, :-1], grey[:, 1:]], 2)  # (N, T - 1, 2, SIZE, SIZE)
    return regressor(pairs.flatten(0, 1)).reshape(len(images), -1, 2).numpy()


def shuffled(images: Images, seed: int = 0) -> Images:
    """Clips whose frames stand in another order each."""
    rng = np.random.default_rng(seed)
    return np.stack([clip[rng.permutation(len(clip))] for clip in images])


def frozen(images: Images) -> Images:
    """Clips that show their first frame all the time."""
    return np.repeat(images[:, :1], images.shape[1], 1)
