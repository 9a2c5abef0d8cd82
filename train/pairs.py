"""Pictures with a counterpart, for translators: side by side in one file, in two folders, or two folders without pairs.

All are held in memory as bytes, their shorter side at a common length, so that crops fit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import DataError
from ..runtime.picture_files import PICTURES
from .data import Order
from .scenes import read_picture

HALVES = ("left", "right")
FEWEST = 2
"""Of inputs and of targets: one to learn from, one to look at."""

F = TypeVar("F")
R = TypeVar("R")
Image = NDArray[np.uint8]
Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True)
class Sides:
    """What goes in and what should come out.

    Attributes:
        inputs, targets: (H, W, 3) uint8, BGR, each at its own size.
        paired: whether input i belongs to target i, and has its size.
        skipped: (name, reason) of what could not be used.
    """

    inputs: tuple[Image, ...]
    targets: tuple[Image, ...]
    paired: bool
    skipped: tuple[tuple[str, str], ...] = ()

    def split(self, share: float = 0.05, most: int = 24) -> tuple[Sides, Sides]:
        """Train and held-out, the end being held out."""
        counts = [min(most, max(1, round(share * len(side)))) for side in (self.inputs, self.targets)]
        return (Sides(self.inputs[:-counts[0]], self.targets[:-counts[1]], self.paired, self.skipped),
                Sides(self.inputs[-counts[0]:], self.targets[-counts[1]:], self.paired))


def open_sides(data: str | os.PathLike[str], target: str | os.PathLike[str] | None, short: int, *, least: int = 0,
               side: str = "left", paired: bool = True) -> Sides:
    """Reads pictures with a counterpart.

    Args:
        data: a folder of inputs; without `target`, of pictures whose halves are input and target.
        target: a folder of targets. Those of pairs have the inputs' names, whatever their suffix.
        short: length that the shorter side is brought to, of what goes in and of what should come out.
        least: pictures whose shorter side is below this are skipped; 0 for `short`.
        side: which half is the input.
        paired: whether the two folders belong together by name.

    Raises:
        DataError: nothing there, a picture without a counterpart, or too few that can be used.
    """
    one, least = Path(data), least or short
    if side not in HALVES:
        raise DataError("input half", got=repr(side), expected=" or ".join(HALVES))
    if target is None:
        return _enough(_halves(_files(one), short, least, side), one)
    two = Path(target)
    first, second = _files(one), _files(two)
    if paired:
        _check_names(first, second, one, two)
        return _enough(_pairs(first, second, short, least), one)
    found = [_read(files.items(), lambda file: _single(file, short, least)) for files in (first, second)]
    return _enough(Sides(tuple(found[0][0]), tuple(found[1][0]), False, (*found[0][1], *found[1][1])), one)


class CropPairs:
    """Batches of square crops, by (seed, step) alone.

    Args:
        sides: what crops are taken from, no picture being smaller than `size`.
        size: height and width of the crops.
        batch: crops a step.
        flip: probability of a left-right flip.
        seed: of order, places and flips.
    """

    def __init__(self, sides: Sides, size: int, batch: int, flip: float, seed: int) -> None:
        self._sides, self._size, self._flip, self._seed = sides, size, flip, seed
        self._order = Order(len(sides.inputs), batch, seed)
        self._other = self._order if sides.paired else Order(len(sides.targets), batch, seed + (1 << 24))

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each input is seen once."""
        return self._order.steps_per_epoch

    def __call__(self, step: int) -> Batch:
        """Gives inputs and targets, (N, size, size, 3) uint8, BGR, each; pairs are cropped and flipped alike."""
        inputs, targets = [], []
        for slot, (i, j) in enumerate(zip(self._order(step), self._other(step), strict=True)):
            of_target = (self._seed, step, slot) if self._sides.paired else (self._seed, step, slot, 1)
            inputs.append(self._crop(self._sides.inputs[i], np.random.default_rng((self._seed, step, slot))))
            targets.append(self._crop(self._sides.targets[j], np.random.default_rng(of_target)))
        return np.stack(inputs), np.stack(targets)

    def _crop(self, image: Image, rng: np.random.Generator) -> Image:
        y, x = (int(rng.integers(n - self._size + 1)) for n in image.shape[:2])
        crop = image[y:y + self._size, x:x + self._size]
        return crop[:, ::-1] if rng.random() < self._flip else crop


def centre(image: Image, size: int) -> Image:
    """The centre square of a picture that is no smaller."""
    y, x = ((n - size) // 2 for n in image.shape[:2])
    return np.ascontiguousarray(image[y:y + size, x:x + size])


def _files(folder: Path) -> dict[str, Path]:
    """Name without suffix -> file."""
    if not folder.is_dir():
        raise DataError(f"pictures '{folder}'", got="nothing there", expected="a folder of pictures")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
    return {p.relative_to(folder).with_suffix("").as_posix(): p for p in found}


def _check_names(first: dict[str, Path], second: dict[str, Path], one: Path, two: Path) -> None:
    for lone, here, there in ((sorted(first.keys() - second.keys()), one, two),
                              (sorted(second.keys() - first.keys()), two, one)):
        if lone:
            raise DataError(f"pairs: {len(lone)} of '{here}' have no counterpart in '{there}'",
                            got=", ".join(lone[:3]) + (", …" if len(lone) > 3 else ""),
                            expected="equal names in both", do="or say --unpaired")


def _halves(files: dict[str, Path], short: int, least: int, side: str) -> Sides:
    def read(file: Path) -> tuple[Image, Image] | str:
        image = read_picture(file)
        if isinstance(image, str):
            return image
        width = image.shape[1]
        if width % 2:
            return f"{width} pixels wide, which has no two halves"
        halves = (image[:, :width // 2], image[:, width // 2:])
        return _pair(*(halves if side == "left" else halves[::-1]), short, least)

    return _paired(*_read(files.items(), read))


def _pairs(first: dict[str, Path], second: dict[str, Path], short: int, least: int) -> Sides:
    def read(files: tuple[Path, Path]) -> tuple[Image, Image] | str:
        a, b = read_picture(files[0]), read_picture(files[1])
        if isinstance(a, str):
            return a
        if isinstance(b, str):
            return b
        if abs(a.shape[0] * b.shape[1] - a.shape[1] * b.shape[0]) > max(*a.shape, *b.shape):
            sizes = " and ".join(f"{i.shape[1]}x{i.shape[0]}" for i in (a, b))
            return f"{sizes}, which are of different proportions"
        return _pair(a, b, short, least)

    return _paired(*_read(((name, (first[name], second[name])) for name in first), read))


def _pair(a: Image, b: Image, short: int, least: int) -> tuple[Image, Image] | str:
    first, second = _at(a, short, least), _at(b, short, least)
    if isinstance(first, str):
        return first
    if isinstance(second, str):
        return second
    h, w = (min(i.shape[axis] for i in (first, second)) for axis in (0, 1))  # a pixel apart at most, by rounding
    return first[:h, :w], second[:h, :w]


def _paired(found: list[tuple[Image, Image]], skipped: list[tuple[str, str]]) -> Sides:
    return Sides(tuple(a for a, _ in found), tuple(b for _, b in found), True, tuple(skipped))


def _single(file: Path, short: int, least: int) -> Image | str:
    image = read_picture(file)
    return image if isinstance(image, str) else _at(image, short, least)


def _at(image: Image, short: int, least: int) -> Image | str:
    """With the shorter side at a length: areas averaged, or cubic where it grows."""
    h, w = image.shape[:2]
    if min(h, w) < least:
        return f"{w}x{h}, smaller than {least}"
    scale = short / min(h, w)
    if scale == 1.0:
        return image
    size = (max(short, round(w * scale)), max(short, round(h * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8)


def _read(files: Iterable[tuple[str, F]], read: Callable[[F], R | str]) -> tuple[list[R], list[tuple[str, str]]]:
    """What `read` gives of each, and the names and reasons of those for which it gave a sentence."""
    named = list(files)
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        results = list(pool.map(lambda item: read(item[1]), named))
    return ([r for r in results if not isinstance(r, str)],
            [(name, r) for (name, _), r in zip(named, results, strict=True) if isinstance(r, str)])


def _enough(sides: Sides, folder: Path) -> Sides:
    for what, images in (("inputs", sides.inputs), ("targets", sides.targets)):
        if len(images) < FEWEST:
            told = ", ".join(f"{name}: {reason}" for name, reason in sides.skipped[:3])
            raise DataError(f"pictures '{folder}'", got=f"{len(images)} {what} that can be used"
                            + (f" and {len(sides.skipped)} that cannot ({told})" if sides.skipped else ""),
                            expected=f"{FEWEST} or more")
    return sides
