"""What stands and moves where: an endless street, each stretch drawn from the seed and its own number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from zlib import crc32

import numpy as np

from .look import Look, Rng

PLOT_M = 14.0
CELL_M = 6.5
SIGHT_M = 170.0
STANDING_M = 75.0
SIGNS_M = 38.0
WALKERS_M = 30.0
DESIGNS = 6
T = TypeVar("T")


@dataclass(frozen=True)
class Plot:
    """A stretch behind the pavement: a house, a hedge or garden wall, or open ground."""

    kind: str
    near: float
    far: float
    setback: float
    design: int
    floors: int
    roof_m: float

    def covers(self, behind: Plot) -> bool:
        """Whether this plot hides the near side of the next one behind it."""
        touching = behind.near - self.far < 0.1 and self.setback <= behind.setback
        if self.kind != "house":
            return touching and behind.kind != "house" and self.floors >= behind.floors
        return touching and (behind.kind != "house" or (self.floors >= behind.floors and self.roof_m >= behind.roof_m))


@dataclass(frozen=True)
class Standing:
    """A parked car, tree or pole: where it stands and which of the designs it is."""

    kind: str
    x: float
    z: float
    design: int
    size: float


@dataclass(frozen=True)
class Moving:
    """A car or walker: its place now, its design, its heading and how far it has gone."""

    kind: str
    x: float
    z: float
    design: int
    heading: int
    gone: float


class Town:
    """The street's contents by place and time; every answer depends on the seed alone."""

    def __init__(self, seed: int, look: Look) -> None:
        self.seed, self.look = seed, look
        self.known: dict[tuple[str, int, int], object] = {}

    def recall(self, name: str, side: int, k: int, make: Callable[[Rng], T]) -> T:
        """What `make` draws for stretch `k` of a side; kept until the drive has gone far past."""
        key = (name, side, k)
        found = self.known.get(key)
        if found is None:
            if len(self.known) > 4000:
                self.known = {}
            found = make(np.random.default_rng((self.seed, crc32(name.encode()), side + 1, k + (1 << 20))))
            self.known[key] = found
        return found  # type: ignore[return-value]

    def plots(self, side: int, z: float) -> Iterator[Plot]:
        """The plots of a side in sight of `z`, from near to far."""
        for k in range(int(np.floor(z / PLOT_M)), int((z + SIGHT_M) / PLOT_M) + 1):
            yield self.recall("plot", side, k, partial(self.plot, side=side, k=k))

    def plot(self, rng: Rng, side: int, k: int) -> Plot:
        """Draws one plot."""
        share = self.look.filled[(side + 1) // 2]
        gap = float(rng.choice([0.0, 0.0, 1.5, 4.0]))
        near, far = k * PLOT_M + gap / 2, (k + 1) * PLOT_M - gap / 2
        draw = rng.random()
        kind = "house" if draw < share else str(rng.choice(["hedge", "wall", "open"], p=[0.4, 0.2, 0.4]))
        setback = float(rng.choice([0.0, 0.0, 1.0, 3.0]))
        design = int(rng.integers(DESIGNS))
        built = np.random.default_rng((self.seed, 5, side + 1, design))
        floors, roof = int(built.integers(1, 6)), float(built.choice([0.0, 2.2, 3.2]))
        return Plot(kind, near, far, setback, design, floors, roof)

    def standing(self, side: int, z: float) -> Iterator[Standing]:
        """Parked cars, trees and poles of a side in sight of `z`."""
        for k in range(int(np.floor(z / CELL_M)), int((z + STANDING_M) / CELL_M) + 1):
            yield from self.recall("cell", side, k, partial(self.cell, side=side, k=k))

    def cell(self, rng: Rng, side: int, k: int) -> list[Standing]:
        """Draws what stands on one stretch of kerb and behind the pavement."""
        look, z = self.look, (k + 0.5) * CELL_M
        pavement = look.pavement_m[(side + 1) // 2]
        kerb = look.road_half_m
        out: list[Standing] = []
        design = int(rng.integers(DESIGNS))
        if look.road_half_m - look.lane_m > 1 and rng.random() < look.parked:
            out.append(Standing("car", side * (kerb - 1.05), z + rng.uniform(-0.4, 0.4), int(rng.integers(DESIGNS)), 0))
        if rng.random() < look.trees * 0.5:
            out.append(Standing("tree", side * (kerb + 0.9), z, design, float(rng.uniform(4.2, 7.5))))
        elif rng.random() < look.signs * 0.7:
            x = side * (kerb + 0.5)
            out.append(
                Standing(
                    str(rng.choice(["lamp", "plate", "lights", "column", "board"], p=[0.22, 0.28, 0.14, 0.18, 0.18])),
                    x,
                    z - 2.5,
                    design,
                    0,
                )
            )
        if rng.random() < look.trees * 0.4:
            x = side * (kerb + pavement + rng.uniform(2.0, 6.0))
            out.append(
                Standing("tree", x, z + rng.uniform(-2, 2), int(rng.integers(DESIGNS)), float(rng.uniform(4, 9)))
            )
        return out

    def moving(self, z: float, index: int) -> Iterator[Moving]:
        """Walkers and driving cars in sight of `z` at frame `index`."""
        look = self.look
        lane = look.drive_side * look.lane_m / 2
        oncoming, ahead = -lane, lane
        for k, gone, place in self.stream("oncoming", 0, z, index, -0.33, 24.0, 120.0):
            draw = self.recall("oncoming", 0, k, lambda rng: rng.random(3))
            if draw[0] < look.traffic * 0.7:
                yield Moving("car", oncoming, place + draw[1] * 8, int(draw[2] * DESIGNS), -1, gone)
        lead = self.recall("lead", 0, 0, lambda rng: rng.random(6))
        if lead[0] < 0.25 + 0.5 * look.traffic:
            near = 13 + 12 * lead[1] + 3.5 * np.sin(index * 0.011 + 6.28 * lead[2]) + 1.5 * np.sin(index * 0.029)
            yield Moving("car", ahead, z + near, int(lead[3] * DESIGNS), 1, 0.0)
            if lead[4] < 0.6:
                further = near + 13 + 8 * lead[5] + 4 * np.sin(index * 0.007)
                yield Moving("car", ahead, z + further, int(lead[4] * DESIGNS / 0.6), 1, 0.0)
        for side in (-1, 1):
            pavement = look.pavement_m[(side + 1) // 2]
            for heading in (-1, 1):
                pace = heading * 0.055
                name = "walk+" if heading > 0 else "walk-"
                for k, gone, place in self.stream(name, side, z, index, pace, 4.5, WALKERS_M):
                    draw = self.recall(name, side, k, lambda rng: rng.random(4))
                    if draw[0] < look.people * 0.6:
                        x = side * (look.road_half_m + 0.3 + (min(pavement, 3.0) - 0.7) * draw[1])
                        yield Moving("person", x, place + 3 * draw[2], int(draw[3] * DESIGNS * 2), heading, gone)

    def stream(
        self, name: str, side: int, z: float, index: int, pace: float, spacing: float, sight: float
    ) -> Iterator[tuple[int, float, float]]:
        """Numbers, ways gone and places of an endless line of movers that are in sight."""
        gone = pace * index
        for k in range(int(np.floor((z - gone) / spacing)) - 1, int((z + sight - gone) / spacing) + 1):
            yield k, gone, k * spacing + gone
