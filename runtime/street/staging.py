"""Puts the town into the view: one job a thing with its distance, and the shade each throws on the ground."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from zlib import crc32

import numpy as np

from . import cars, facades, models, signs
from .classes import BUILDING, ROAD, VEGETATION
from .look import Look, Rng, any_colour, leaf_colour
from .town import DESIGNS, SIGHT_M, SIGNS_M, STANDING_M, WALKERS_M, Moving, Plot, Standing, Town
from .view import NEAR_M, View, lit, pyramid

STEPS = 16
T = TypeVar("T")
Job = Callable[[], None]


class Stage:
    """Keeps the textures and models of a scene and queues what a frame shows of them.

    Args:
        seed: draws every texture and model.
        view: where the jobs paint.
        ppm: pixels a metre in textures.
    """

    def __init__(self, seed: int, view: View, ppm: float) -> None:
        self.seed, self.view, self.ppm = seed, view, ppm
        self.look: Look = view.look
        self.made: dict[tuple[str, int, int], object] = {}
        self.jobs: list[tuple[float, Job]] = []
        self.shade: list[np.ndarray] = []

    def part(self, name: str, design: int, side: int, make: Callable[[Rng], T]) -> T:
        """A texture or model, made the first time it is needed."""
        key = (name, design, side)
        if key not in self.made:
            self.made[key] = make(np.random.default_rng((self.seed, crc32(name.encode()), design, side + 1)))
        return self.made[key]  # type: ignore[return-value]

    def queue(self, town: Town, index: int) -> None:
        """Fills `jobs` and `shade` for frame `index`."""
        self.jobs, self.shade = [], []
        z = self.view.z
        for side in (-1, 1):
            nearer: Plot | None = None
            for plot in town.plots(side, z):
                self.plot(plot, nearer, side)
                nearer = plot
            for thing in town.standing(side, z):
                self.standing(thing, side)
        for mover in town.moving(z, index):
            self.moving(mover)

    def paint(self) -> None:
        """Paints all jobs from far to near."""
        for _, job in sorted(self.jobs, key=lambda pair: -pair[0]):
            job()

    def plot(self, plot: Plot, nearer: Plot | None, side: int) -> None:
        """Queues a house, hedge or garden wall; `nearer` is its neighbour on the camera's side."""
        view, look = self.view, self.look
        near, far = max(plot.near - view.z, NEAR_M), plot.far - view.z
        if far <= NEAR_M or plot.kind == "open":
            return
        house = plot.kind == "house"
        wall_x = side * (look.road_half_m + look.pavement_m[(side + 1) // 2] + plot.setback)
        deep = wall_x + side * (11.0 if house else 0.7)
        grow = min(max((SIGHT_M - 5 - near) / 40, 0.05), 1.0)
        high = grow * (plot.floors * facades.FLOOR_M if house else 0.8 + 0.25 * plot.floors)
        sunny = look.light.sun == 0 or side != look.sun_side
        begin = (near - (plot.near - view.z)) / (plot.far - plot.near)
        corners = view.upright((wall_x, wall_x), (near, far), high)
        if not sunny:
            self.shade.append(view.floor(wall_x, wall_x - side * high * 0.55, near, far))
        hidden = nearer is not None and nearer.covers(plot)
        light = (1.0 if sunny else 0.66) if look.light.sun else 0.9
        roofed = house and plot.roof_m > 0
        top, ridge = high + grow * plot.roof_m, (wall_x + deep) / 2

        def paint() -> None:
            if roofed:
                tile = self.part("tile", plot.design, side, lambda rng: lit(any_colour(rng), look, 0.8))
                (x0, y0), (x1, y1) = corners[:2]
                (ridge_x0, ridge_y0), (ridge_x1, ridge_y1) = view.upright((ridge, ridge), (near, far), top)[:2]
                eave = np.array([(x0, y0), (x1, y1), (ridge_x1, ridge_y1), (ridge_x0, ridge_y0)])
                view.fill(eave, view.hazed(tile, (near + far) / 2), BUILDING)
            if plot.near - view.z > NEAR_M and not hidden:
                edge = view.upright((wall_x, deep), (near, near), high)
                view.wall(self.flank(plot, side), edge, near, (0.0, 1.0))
                if roofed:
                    gable = np.array([edge[0], edge[1], (ridge_x0, ridge_y0)])
                    view.fill(gable, view.hazed(tile * 0.8, near), BUILDING)
            if max(corners[0][0], corners[1][0]) >= 0 and min(corners[0][0], corners[1][0]) < view.w:
                view.wall(self.front(plot, side, light), corners, (near * 2 + far) / 3, (begin, 1.0))

        self.jobs.append((far, paint))

    def front(self, plot: Plot, side: int, light: float) -> list[np.ndarray]:
        """Textures of a plot's wall along the street."""
        look, ppm = self.look, self.ppm
        if plot.kind == "house":
            make = lambda rng: pyramid(facades.facade(rng, look, 13.0, plot.floors, ppm, light))  # noqa: E731
        elif plot.kind == "hedge":
            make = lambda rng: pyramid(facades.hedge(rng, look, 13.0, 1.5, ppm))  # noqa: E731
        else:
            make = lambda rng: pyramid(facades.bare_wall(rng, look, (13.0, 1.5), ppm, light))  # noqa: E731
        return self.part(f"{plot.kind} front", plot.design, side, make)

    def flank(self, plot: Plot, side: int) -> list[np.ndarray]:
        """Textures of a plot's wall that faces the camera."""
        look, ppm = self.look, self.ppm
        if plot.kind == "house":
            make = lambda rng: pyramid(facades.side_wall(rng, look, ppm, 0.85))  # noqa: E731
        elif plot.kind == "hedge":
            make = lambda rng: pyramid(facades.hedge(rng, look, 0.7, 1.5, ppm))  # noqa: E731
        else:
            make = lambda rng: pyramid(facades.bare_wall(rng, look, (0.7, 1.5), ppm, 0.8))  # noqa: E731
        return self.part(f"{plot.kind} flank", plot.design % 3, side, make)

    def standing(self, thing: Standing, side: int) -> None:
        """Queues a parked car, a tree or a sign."""
        view, look = self.view, self.look
        ahead = thing.z - view.z
        if thing.kind == "car" and ahead < STANDING_M:
            self.car(thing.x, ahead, thing.design, look.drive_side * side)
        elif thing.kind == "tree" and ahead > NEAR_M:
            self.tree(thing, ahead)
        elif thing.kind in signs.KINDS and NEAR_M < ahead < SIGNS_M and self.seen(thing.x, ahead, 1.5):
            make = lambda rng: signs.sign(thing.kind, look, rng)  # noqa: E731
            sign = self.part(thing.kind, thing.design, side, make)
            self.jobs.append((ahead, lambda: sign.paint(view, thing.x, ahead, min((SIGNS_M - ahead) / 10, 1.0))))

    def seen(self, x: float, ahead: float, reach_m: float) -> bool:
        """Whether something so wide is in the picture's width."""
        across, _, scale = self.view.foot(x, ahead)
        return -reach_m * scale < across < self.view.w + reach_m * scale

    def tree(self, tree: Standing, ahead: float) -> None:
        """Queues a tree: trunk and crown."""
        view, look = self.view, self.look
        size = tree.size * min(max((STANDING_M - ahead) / 25, 0.1), 1.0)
        if look.light.sun:
            turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)
            spots_x = tree.x - look.sun_side * size * 0.45 + 0.38 * size * np.cos(turn)
            spots_z = np.maximum(ahead + 0.3 * size * np.sin(turn), NEAR_M)
            self.shade.append(view.project(spots_x, np.zeros(10), spots_z))
        if not self.seen(tree.x, ahead, 0.4 * size):
            return
        across, foot, scale = view.foot(tree.x, ahead)
        pixels = int(np.clip(self.ppm * 9, 48, 240))
        make = lambda rng: [pyramid(part) for part in facades.crown(rng, look, pixels)]  # noqa: E731
        textures, shapes = self.part("crown", tree.design % 4, 0, make)
        bark = self.part(
            "bark", tree.design % 4, 0, lambda rng: lit(leaf_colour(rng), look, 0.25) + lit((30, 38, 46), look)
        )

        def paint() -> None:
            wide, top = max(0.045 * size * scale, 1.2), foot - 0.5 * size * scale
            trunk = [
                (across - wide, foot),
                (across + wide, foot),
                (across + wide * 0.6, top),
                (across - wide * 0.6, top),
            ]
            view.fill(np.array(trunk), view.hazed(bark * 0.6, ahead), VEGETATION)
            trunk[0], trunk[3] = (across - wide * 0.2, foot), (across, top)
            view.fill(np.array(trunk), view.hazed(bark, ahead), VEGETATION)
            half = 0.36 * size * scale
            view.sprite(
                textures, shapes, (across - half, foot - size * scale, across + half, foot - 0.28 * size * scale), ahead
            )

        self.jobs.append((ahead, paint))

    def car(self, x: float, ahead: float, number: int, heading: int) -> None:
        """Queues a car; a heading of -1 comes towards the camera."""
        view, look = self.view, self.look
        design = self.part("design", number, 0, cars.car_design)
        reach, half = design.long / 2, design.half
        if ahead < reach * 0.6 + NEAR_M or not self.seen(x, ahead + reach, 2.0):
            return
        near, far = view.foot(x, max(ahead - reach, NEAR_M)), view.foot(x, ahead + reach)
        visible = 1 if near[0] + near[2] * half < far[0] + far[2] * half else -1
        make = lambda rng: cars.car(design, look, visible, heading < 0)  # noqa: E731
        solid = self.part("rear" if heading > 0 else "front", number, visible, make)
        if look.light.sun:
            shift = -look.sun_side * design.roof * 0.75
            self.shade.append(
                view.floor(x - half + min(shift, 0), x + half + max(shift, 0), ahead - reach, ahead + reach)
            )
        under = view.floor(x - half * 1.03, x + half * 1.03, ahead - reach * 0.97, ahead + reach)

        def paint() -> None:
            view.fill(under, view.hazed(lit((30, 28, 28), look), ahead), ROAD)
            solid.paint(view, x, ahead)

        self.jobs.append((ahead, paint))

    def moving(self, mover: Moving) -> None:
        """Queues a driving car or a walker, who comes out of a door at the back of the pavement."""
        view, look = self.view, self.look
        ahead = mover.z - view.z
        if mover.kind == "car":
            longer = self.part("design", mover.design % DESIGNS, 0, cars.car_design).long / 2 - 2
            self.car(mover.x, ahead + longer, mover.design % DESIGNS, mover.heading)
            return
        side = 1 if mover.x > 0 else -1
        door = side * (look.road_half_m + look.pavement_m[(side + 1) // 2])
        x = mover.x + (door + side - mover.x) * min(max((ahead - WALKERS_M + 10) / 10, 0.0), 1.0)
        if not 1.6 < ahead < WALKERS_M or abs(x) > abs(door) or not self.seen(x, ahead, 0.8):
            return
        design = self.part("walker", mover.design, 0, models.person_design)
        step = int((abs(mover.gone) / 1.3 + mover.design * 0.37) % 1.0 * STEPS)
        make = lambda rng: models.person(design, look, step / STEPS)  # noqa: E731
        person = self.part("step", mover.design, step, make)
        if look.light.sun:
            self.shade.append(view.floor(x - 0.2, x - look.sun_side * 1.5, ahead - 0.12, ahead + 0.12))
        self.jobs.append((ahead, lambda: person.paint(view, x, ahead, min((WALKERS_M - ahead) / 4 + 0.5, 1.0))))
