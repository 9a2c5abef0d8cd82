"""Scores generated pictures against real ones: KID, Fréchet distance, precision, recall, and what they are at best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .distances import Kid, frechet, kid
from .neighbours import Memory
from .precision_recall import precision_recall

SPLITS = 10
"""Times that the real pictures are split in halves for the floor."""


class Look(Protocol):
    """What turns pictures into features.

    Attributes:
        kid_name, fd_name: what distances in these features are called; no `fd_name` for features so many that a
            Fréchet distance would mean nothing.
    """

    kid_name: str
    fd_name: str | None

    def __call__(self, images: Iterable[NDArray[Any]]) -> NDArray[np.float32]:
        """Gives (N, D) float32 for pictures (H, W, 3) uint8, BGR."""
        ...


@dataclass(frozen=True)
class Floor:
    """What real pictures score against real ones: halves of the set, split at random again and again.

    Attributes:
        kid: mean over the splits, which is 0 but for chance.
        kid_sd: standard deviation over the splits: what differs by less is the same.
        fd, precision, recall: means over the splits; they depend on the counts.
        images: pictures in a half.
    """

    kid: float
    kid_sd: float
    fd: float | None
    precision: float
    recall: float
    images: int


@dataclass(frozen=True)
class Scores:
    """What generated pictures score.

    Attributes:
        kid: of all samples against all real pictures.
        fd: squared Fréchet distance at equal counts; None where there are no more pictures than features.
        precision, recall: at equal counts, 0 to 1.
        samples, images: generated and real pictures.
        compared: pictures of each in what is measured at equal counts.
        floor: real against real.
        kid_name, fd_name: what the distances are called.
        memory: distances to training pictures, where these were given.
    """

    kid: Kid
    fd: float | None
    precision: float
    recall: float
    samples: int
    images: int
    compared: int
    floor: Floor
    kid_name: str
    fd_name: str | None
    memory: Memory | None = None

    def to_json(self) -> dict[str, Any]:
        """The contract's fields."""
        floor = {self.kid_name: {"value": self.floor.kid, "sd": self.floor.kid_sd}, "precision": self.floor.precision,
                 "recall": self.floor.recall, "images": self.floor.images, "splits": SPLITS}
        found = {self.kid_name: self.kid.to_json(), "precision": self.precision, "recall": self.recall,
                 "floor": floor, "samples": self.samples, "images": self.images, "compared": self.compared}
        if self.fd_name is not None:
            found[self.fd_name], floor[self.fd_name] = self.fd, self.floor.fd
        if self.memory is not None:
            found["memory"] = vars(self.memory)
        return found


class Judge:
    """Scores sets of generated pictures against one set of real ones, whose features are computed once.

    Args:
        look: the features.
        real: real pictures, (H, W, 3) uint8, BGR; 8 or more.
        seed: of splits, bootstrap and of which pictures are compared at equal counts.

    Attributes:
        look: as given.
        real: (N, D) float32 features of the real pictures, shuffled.

    Raises:
        DataError: too few real pictures.
    """

    def __init__(self, look: Look, real: Iterable[NDArray[Any]], seed: int = 0) -> None:
        self.look, self._seed = look, seed
        features = look(real)
        if len(features) < 8:
            raise DataError("real pictures", got=len(features), expected="8 or more")
        self.real = features[np.random.default_rng(seed).permutation(len(features))]

    def __call__(self, images: Iterable[NDArray[Any]]) -> Scores:
        """Scores pictures, (H, W, 3) uint8, BGR, in any order."""
        return self.score(self.look(images))

    def score(self, fake: NDArray[Any], memory: Memory | None = None) -> Scores:
        """Scores features (M, D) float of generated pictures."""
        n = min(len(fake), len(self.real))
        mixed = fake[np.random.default_rng(self._seed).permutation(len(fake))]
        precision, recall = precision_recall(self.real[:n], mixed[:n])
        fd = self._frechet(self.real[:n], mixed[:n])
        return Scores(kid(fake, self.real, seed=self._seed), fd, precision, recall, len(fake), len(self.real), n,
                      self.floor, self.look.kid_name, self.look.fd_name, memory)

    @cached_property
    def floor(self) -> Floor:
        """See Floor; a second or so for thousands of pictures, once."""
        rng, half = np.random.default_rng(self._seed), len(self.real) // 2
        kids, fds, shares = [], [], []
        for _ in range(SPLITS):
            order = rng.permutation(len(self.real))
            a, b = self.real[order[:half]], self.real[order[half:2 * half]]
            kids.append(kid(a, b, resamples=0).value)
            shares.append(precision_recall(a, b))
            fds.append(self._frechet(a, b))
        precision, recall = np.mean(shares, axis=0)
        return Floor(float(np.mean(kids)), float(np.std(kids, ddof=1)),
                     None if None in fds else float(np.mean([fd for fd in fds if fd is not None])),
                     float(precision), float(recall), half)

    def _frechet(self, a: NDArray[Any], b: NDArray[Any]) -> float | None:
        """The distance, or None where there are not more pictures than features."""
        return frechet(a, b) if self.look.fd_name is not None and len(a) > a.shape[1] else None


def render(scores: Scores) -> str:
    """A few lines that a person reads."""
    kid, floor = scores.kid, scores.floor
    lines = [f"{scores.kid_name:<24} {kid.value:.5f} ± {kid.se:.5f}, 95% {kid.interval[0]:.5f} to "
             f"{kid.interval[1]:.5f}; real against real {floor.kid:.5f} ± {floor.kid_sd:.5f}"]
    if scores.fd_name is not None:
        few = "none: it needs more pictures than features"
        ours, best = (few if fd is None else f"{fd:.3f}" for fd in (scores.fd, floor.fd))
        lines.append(f"{scores.fd_name:<24} {ours}; real against real {best}")
    lines += [f"{'precision':<24} {scores.precision:.3f}; real against real {floor.precision:.3f}",
              f"{'recall':<24} {scores.recall:.3f}; real against real {floor.recall:.3f}"]
    if scores.memory is not None:
        m = scores.memory
        lines.append(f"{'copies':<24} {m.copies:.4f} (about 0.01 where nothing is remembered); distance to the nearest "
                     f"training picture {m.samples:.3f}, of unseen real pictures {m.unseen:.3f}")
    lines.append(f"{scores.samples} samples against {scores.images} real pictures, {scores.compared} of each where "
                 f"counts matter, {floor.images} in real against real")
    return "\n".join(lines)
