"""Things as small sets of flat faces in metres, and the ones that walk: people."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .classes import PERSON
from .look import Colour, Look, Rng, any_colour, hsv
from .view import NEAR_M, SUBPIXEL_BITS, View, lit


class Solid:
    """Faces in metres, x across, y up, z along; the order is the order of painting."""

    def __init__(self, label: int) -> None:
        self.label = label
        self.faces: list[np.ndarray] = []
        self.colours: list[np.ndarray] = []
        self.sizes: list[float] = []
        self.hulls: list[bool] = []
        self.joined = np.zeros((0, 3))
        self.ends: list[int] = []
        self.palette = np.zeros((0, 3))

    def add(self, face: object, colour: np.ndarray, size_m: float = 9.0, hull: bool = False) -> None:
        """Adds a convex face (N, 3).

        Args:
            face: its corners.
            colour: BGR, 0 to 255.
            size_m: the face is left out where this is about a pixel or less.
            hull: paint the outline of all the points instead: a body under its faces, so that no seam shows through.
        """
        self.faces.append(np.asarray(face, dtype=float))
        self.colours.append(colour)
        self.sizes.append(size_m)
        self.hulls.append(hull)

    def freeze(self) -> Solid:
        """Joins the faces, so that they project in one go."""
        self.joined = np.concatenate(self.faces)
        self.ends = np.cumsum([len(face) for face in self.faces]).tolist()
        self.palette = np.array(self.colours)
        return self

    def paint(self, view: View, x: float, ahead: float, scale: float = 1.0) -> None:
        """Paints it standing at `x`, `ahead` of the camera, in full size or scaled."""
        points = self.joined if scale == 1 else self.joined * scale
        pixels = view.project(x + points[:, 0], points[:, 1], np.maximum(ahead + points[:, 2], NEAR_M))
        if pixels[:, 0].max() < 0 or pixels[:, 0].min() >= view.w:
            return
        fixed = view.fixed(pixels)
        least, start = 1.7 * ahead / view.focal, 0
        colours = view.hazed(self.palette, ahead)
        for end, colour, size, hull in zip(self.ends, colours, self.sizes, self.hulls, strict=True):
            if size >= least:
                face = fixed[start:end]
                outline = cv2.convexHull(face) if hull else face
                cv2.fillConvexPoly(view.canvas, outline, (*colour, self.label), cv2.LINE_8, SUBPIXEL_BITS)
            start = end


def disc(x: float, y: float, z: float, radius: float, along: bool = False, corners: int = 12) -> np.ndarray:
    """A disc (N, 3) that faces the camera, or the side of the street if it stands `along` it, like a wheel."""
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    flat, zero = radius * np.cos(turn), np.zeros(corners)
    return np.stack((x + (zero if along else flat), y + radius * np.sin(turn), z + (flat if along else zero)), axis=1)


@dataclass(frozen=True)
class PersonDesign:
    """A walker's measures in metres, and clothes."""

    tall: float
    broad: float
    coat: Colour
    legs: Colour
    skin: Colour
    hair: Colour
    long_coat: bool
    bag: Colour | None


def person_design(rng: Rng) -> PersonDesign:
    """Anybody, of any age."""
    return PersonDesign(
        tall=float(rng.uniform(1.3, 1.5) if rng.random() < 0.15 else rng.uniform(1.7, 2.0)),
        broad=float(rng.uniform(1.35, 1.7)),
        coat=any_colour(rng),
        legs=hsv(rng.uniform(0.5, 0.72), rng.uniform(0.0, 0.5), rng.uniform(0.1, 0.38)),
        skin=hsv(rng.uniform(0.04, 0.08), rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.9)),
        hair=hsv(rng.uniform(0.04, 0.12), rng.uniform(0.1, 0.6), rng.uniform(0.08, 0.6)),
        long_coat=bool(rng.random() < 0.3),
        bag=any_colour(rng) if rng.random() < 0.5 else None,
    )


def person(design: PersonDesign, look: Look, phase: float) -> Solid:
    """A walker at a phase of the step, in turns."""
    d, t, b = design, design.tall, design.broad * design.tall
    swing = float(np.sin(2 * np.pi * phase))
    out = Solid(PERSON)

    def limb(
        top: tuple[float, float],
        foot: tuple[float, float],
        wide: tuple[float, float],
        colour: np.ndarray,
        size: float = 9,
    ) -> None:
        (x0, y0), (x1, y1) = top, foot
        face = [(x0 - wide[0], y0, 0), (x0 + wide[0], y0, 0), (x1 + wide[1], y1, 0), (x1 - wide[1], y1, 0)]
        out.add(face, colour, size)

    for leg in (-1, 1):
        colour = lit(d.legs, look, 0.72 if leg < 0 else 1.0)
        forward = leg * swing
        knee = (leg * 0.04 * b + forward * 0.07 * t, 0.27 * t)
        foot = (leg * 0.045 * b + forward * 0.12 * t, max(-forward, 0) * 0.05 * t)
        limb((leg * 0.035 * b, 0.5 * t), knee, (0.05 * b, 0.042 * b), colour)
        limb((knee[0], 0.285 * t), foot, (0.042 * b, 0.034 * b), colour)
        toe = (foot[0] + 0.02 * t, foot[1])
        limb((toe[0], toe[1] + 0.045 * t), toe, (0.04 * b, 0.055 * b), lit((38, 36, 40), look), 0.08)
    back = -swing * 0.05 * t
    hem = 0.30 if d.long_coat else 0.46
    limb((-0.135 * b, 0.79 * t), (-0.15 * b + back, 0.48 * t), (0.035 * b, 0.028 * b), lit(d.coat, look, 0.62))
    torso = [
        (-0.12, 0.81),
        (-0.05, 0.845),
        (0.05, 0.845),
        (0.12, 0.81),
        (0.1, 0.6),
        (0.12, hem),
        (-0.12, hem),
        (-0.1, 0.6),
    ]
    out.add([(x * b, y * t, 0) for x, y in torso], lit(d.coat, look))
    limb((-0.07 * b, 0.82 * t), (-0.08 * b, hem * t), (0.04 * b, 0.035 * b), lit(d.coat, look, 0.78), 0.12)
    limb((0.135 * b, 0.79 * t), (0.15 * b - back, 0.48 * t), (0.037 * b, 0.03 * b), lit(d.coat, look, 0.86), 0.12)
    for x in (-0.15 * b + back, 0.15 * b - back):
        out.add(disc(x, 0.465 * t, 0, 0.026 * t, corners=6), lit(d.skin, look), 0.08)
    if d.bag is not None:
        limb((0.11 * b, 0.62 * t), (0.12 * b, 0.42 * t), (0.06 * b, 0.075 * b), lit(d.bag, look, 0.9), 0.15)
    limb((0, 0.87 * t), (0, 0.83 * t), (0.03 * b, 0.035 * b), lit(d.skin, look, 0.75))
    out.add(disc(0, 0.925 * t, 0, 0.078 * t, corners=10), lit(d.hair, look))
    out.add(disc(0.012 * t, 0.908 * t, 0, 0.062 * t, corners=9), lit(d.skin, look, 0.98), 0.1)
    return out.freeze()
