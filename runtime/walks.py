"""Ways through a generator's latents: walks from one keyframe to the next, independent draws, and an animator's noise.

A latent is drawn by a seed and its own number alone, so that the same seed gives the same pictures in every run, on
every backend and in every grid.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FEWEST_LEGS = 3
"""Legs that a closed walk has at least: with two it would come back the way it went."""
STRAIGHT = 1e-6
"""Below this sine of the angle two directions are (anti)parallel, and their great circle is not defined."""


class Way(Protocol):
    """What a source of latents follows; asked for one index after another, on one thread at a time."""

    def latents(self, index: int) -> NDArray[np.float32]:
        """(n, Z) float32, of frame `index`; nothing writes into it."""
        ...

    def turns(self, index: int) -> NDArray[np.int64]:
        """(n,) int64: which of the chosen classes it is each latent's turn to be, to be taken modulo their count."""
        ...


def draw(seed: int, number: int, tile: int, size: int) -> NDArray[np.float32]:
    """(size,) float32, standard normal: the latent of that number, of that place in a grid.

    Args:
        seed, number, tile: 0 or more each.
    """
    return np.random.default_rng([seed, number, tile]).standard_normal(size, np.float32)


class Seeds:
    """Independent latents: picture i, counted through all frames and their grids, is drawn by (seed, i).

    Args:
        size: length Z of a latent.
        tiles: latents a frame, n.
    """

    def __init__(self, seed: int, size: int, tiles: int) -> None:
        self._seed, self._size, self._tiles = seed, size, tiles

    def latents(self, index: int) -> NDArray[np.float32]:
        """See Way."""
        first = index * self._tiles
        return np.stack([draw(self._seed, first + i, 0, self._size) for i in range(self._tiles)])

    def turns(self, index: int) -> NDArray[np.int64]:
        """See Way: picture after picture."""
        return index * self._tiles + np.arange(self._tiles)


class Noise:
    """What moves an animator: a new latent with each frame, frame k's of tile i drawn by (seed, k, i).

    Args:
        size: length Z of a latent.
        tiles: latents a frame, n.
        loop: after so many frames the same latents come again; 0 never repeats them.
    """

    def __init__(self, seed: int, size: int, tiles: int, loop: int = 0) -> None:
        self._seed, self._size, self._tiles, self._loop = seed, size, tiles, loop

    def latents(self, index: int) -> NDArray[np.float32]:
        """See Way."""
        number = index % self._loop if self._loop else index
        return np.stack([draw(self._seed, number, tile, self._size) for tile in range(self._tiles)])

    def turns(self, index: int) -> NDArray[np.int64]:
        """See Way: each tile keeps its own."""
        return np.arange(self._tiles)


class Walk:
    """Latents that wander along great circles from keyframe to keyframe; keyframe k of tile i is drawn by (seed, k, i).

    Args:
        size: length Z of a latent.
        tiles: latents a frame, n; each wanders by itself.
        leg: frames from one keyframe to the next.
        loop: after so many frames the walk is where it began, and begins anew; it then has the number of legs, 3 or
            more, whose length is nearest to `leg`. 0 never closes it.
        sweep: whether each leg has another class; else each tile keeps its own, and nothing jumps.
    """

    def __init__(self, seed: int, size: int, tiles: int, leg: int, loop: int = 0, sweep: bool = False) -> None:
        self._seed, self._size, self._tiles, self._loop, self._sweep = seed, size, tiles, loop, sweep
        self._legs = max(FEWEST_LEGS, round(loop / leg)) if loop else 1
        self._frames = loop or leg
        self._arc: tuple[int, Arc] | None = None

    def latents(self, index: int) -> NDArray[np.float32]:
        """See Way."""
        leg, share = self._place(index)
        if self._arc is None or self._arc[0] != leg:
            self._arc = leg, Arc(self._keyframe(leg), self._keyframe(leg + 1))
        return self._arc[1].at(share)

    def turns(self, index: int) -> NDArray[np.int64]:
        """See Way: a tile is one class ahead of the tile before it, and with a sweep a leg of the leg before it."""
        return (self._place(index)[0] if self._sweep else 0) + np.arange(self._tiles)

    def _place(self, index: int) -> tuple[int, float]:
        """The leg that a frame is on, and which share of it lies behind, 0 to below 1."""
        leg, rest = divmod((index % self._loop if self._loop else index) * self._legs, self._frames)
        return leg, rest / self._frames

    def _keyframe(self, number: int) -> NDArray[np.float32]:
        number = number % self._legs if self._loop else number
        return np.stack([draw(self._seed, number, tile, self._size) for tile in range(self._tiles)])


class Arc:
    """The great circles from some latents to others.

    Spherical linear interpolation (Shoemake 1985, "Animating rotation with quaternion curves") of the directions
    u = a / |a| and v = b / |b|, which are w apart, times lengths that change evenly:

        z(t) = ((1 - t) |a| + t |b|) (sin((1 - t) w) u + sin(t w) v) / sin(w),  cos(w) = u . v

    Gaussian latents of many dimensions all have about the same length. A straight line would lead through shorter ones,
    which the network has never seen. Where w is 0 or pi, u and v are mixed evenly instead.

    Args:
        a, b: (n, Z) float32, no row all zeros.
    """

    def __init__(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
        self._ends = [np.linalg.norm(z.astype(np.float64), axis=1, keepdims=True) for z in (a, b)]
        self._u, self._v = (z / length for z, length in zip((a, b), self._ends, strict=True))
        self._angle = np.arccos(np.clip((self._u * self._v).sum(1, keepdims=True), -1, 1))  # (n, 1)
        self._straight = np.sin(self._angle) < STRAIGHT
        self._sine = np.where(self._straight, 1, np.sin(self._angle))

    def at(self, share: float) -> NDArray[np.float32]:
        """(n, Z) float32, so far on the way: `a` at 0, `b` at 1."""
        rest = 1 - share
        from_a = np.where(self._straight, rest, np.sin(rest * self._angle) / self._sine)
        from_b = np.where(self._straight, share, np.sin(share * self._angle) / self._sine)
        length = rest * self._ends[0] + share * self._ends[1]
        return (length * (from_a * self._u + from_b * self._v)).astype(np.float32)
