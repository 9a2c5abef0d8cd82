"""Stacked digits: three digits of 8x8, one a colour channel, which makes a thousand modes; and who counts them.

After StackedMNIST (Metz 2017, arXiv 1611.02163), on the 1,797 digits that scikit-learn ships. They are split by a hash
of their place: half a makes the stacks that a generator learns from, half b trains the classifier that counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.errors import need
from ...runtime.picture_sets import half_of

SIZE, DIGITS, CHANNELS = 8, 10, 3
MODES = DIGITS**CHANNELS
NO_DIGIT = DIGITS
"""What the classifier calls noise and shuffled pixels."""
SURE, FEWEST = 0.9, 5
"""How sure the classifier has to be of each channel, and of how many samples, for a mode to count."""
Images = NDArray[np.uint8]
Generate = Callable[[int], Images]
"""A number to so many pictures, (N, 8, 8, 3) uint8."""


@dataclass(frozen=True)
class Digits:
    """Real digits.

    Attributes:
        images: (N, 8, 8) uint8.
        labels: (N,) int64, 0 to 9.
    """

    images: Images
    labels: NDArray[np.int64]


def load_digits(half: str) -> Digits:
    """Reads one half, `a` or `b`."""
    found = need("sklearn.datasets").load_digits()
    mine = np.array([half_of(f"digit {i}") == half for i in range(len(found.target))])
    return Digits(np.round(found.images[mine] * (255 / 16)).astype(np.uint8), found.target[mine].astype(np.int64))


@dataclass(frozen=True)
class Stacks:
    """Stacks of three digits drawn at random, as a generator's `Pictures`, without labels.

    Attributes:
        digits: what they are made of.
        chosen: (len, 3) int64: the digit in each channel.
    """

    digits: Digits
    chosen: NDArray[np.int64]
    names: tuple[str, ...] = ()
    labels: NDArray[np.int64] | None = None

    @classmethod
    def draw(cls, digits: Digits, count: int, seed: int) -> Stacks:
        """Draws `count` of them, every digit as likely as every other."""
        return cls(digits, np.random.default_rng(seed).integers(0, len(digits.labels), (count, CHANNELS)))

    def __len__(self) -> int:
        return len(self.chosen)

    def batch(self, indices: NDArray[np.int64]) -> Images:
        """Gives (N, 8, 8, 3) uint8."""
        return np.ascontiguousarray(self.digits.images[self.chosen[indices]].transpose(0, 2, 3, 1))

    @property
    def modes(self) -> NDArray[np.int64]:
        """(len,) the mode of each, 0 to 999."""
        return mode_of(self.digits.labels[self.chosen])


def mode_of(digits: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, 3) digits -> (N,) modes."""
    return digits @ (DIGITS ** np.arange(CHANNELS))


class Classifier(nn.Module):
    """Ten digits, and an eleventh class for what is none.

    Input: (N, 1, 8, 8) float, 0 to 1.
    Output: (N, 11) logits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Dropout(0.4), nn.Linear(64 * 16, DIGITS + 1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


def train_classifier(digits: Digits, seed: int = 0, steps: int = 800, batch: int = 96) -> Classifier:
    """Trains the classifier on digits moved by a pixel and dimmed, on noise, and on shuffled pixels."""
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), Classifier()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(steps):
        x, y = _lesson(digits, batch, rng)
        loss = F.cross_entropy(network(torch.from_numpy(x)[:, None]), torch.from_numpy(y))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


def _lesson(digits: Digits, batch: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """(N, 8, 8) float32, 0 to 1, and (N,) int64: five sixths of them digits."""
    picked = rng.integers(0, len(digits.labels), batch)
    x, y = digits.images[picked].astype(np.float32) / 255, digits.labels[picked].copy()
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    for i, (top, left) in enumerate(rng.choice(3, (batch, 2), p=(0.2, 0.6, 0.2))):
        x[i] = wide[i, top:top + SIZE, left:left + SIZE]
    part = batch // 12
    x[part:2 * part] = rng.permuted(x[part:2 * part].reshape(part, -1), axis=1).reshape(part, SIZE, SIZE)
    x[:part] = rng.random((part, SIZE, SIZE)) ** rng.uniform(0.3, 3, (part, 1, 1))
    x *= rng.uniform(0.6, 1.0, (batch, 1, 1)).astype(np.float32)
    y[:2 * part] = NO_DIGIT
    return x, y


@dataclass(frozen=True)
class Coverage:
    """What a classifier counts.

    Attributes:
        modes: with FEWEST samples or more that it is sure of.
        kl: of the sure samples' modes to all modes alike, in nats; about 0.02 by chance alone at 25,600 samples.
        sure: share of samples that it is sure of, 0 to 1.
        samples: how many were counted.
    """

    modes: int
    kl: float
    sure: float
    samples: int


@torch.inference_mode()
def coverage(network: nn.Module, images: Images, batch: int = 1024) -> Coverage:
    """Counts modes in pictures, (N, 8, 8, 3) uint8."""
    modes: list[NDArray[np.int64]] = []
    for start in range(0, len(images), batch):
        x = torch.from_numpy(images[start:start + batch]).permute(0, 3, 1, 2).float().div(255)
        sure, digit = network(x.reshape(-1, 1, SIZE, SIZE)).softmax(1).max(1)
        kept = ((sure >= SURE) & (digit != NO_DIGIT)).view(-1, CHANNELS).all(1)
        modes.append(mode_of(digit.view(-1, CHANNELS)[kept].numpy()))
    counts = np.bincount(np.concatenate(modes), minlength=MODES)
    shares = counts[counts > 0] / max(1, counts.sum())
    kl = float((shares * np.log(shares * MODES)).sum()) if len(shares) else float("inf")
    return Coverage(int((counts >= FEWEST).sum()), kl, float(counts.sum() / len(images)), len(images))


def accuracy_of(network: nn.Module, digits: Digits) -> float:
    """Share of digits that are called by their name, 0 to 1."""
    with torch.inference_mode():
        logits: Any = network(torch.from_numpy(digits.images).float().div(255)[:, None])
    return float((logits.argmax(1).numpy() == digits.labels).mean())
