"""Stills of many streets, in splits that share no seed."""

from __future__ import annotations

import threading

import numpy as np

from ..errors import EpeeError
from .classes import COLOURS, NAMES
from .scene import Street

SEEDS_PER_SPLIT = 1_000_000
SPLITS: dict[str, tuple[int, int]] = {"train": (1, 2000), "val": (2, 100), "test": (3, 100)}
"""Split to (block of seeds, default count). Block 0, seeds below a million, is left for live drives."""
VIEWS, APART = 4, 211
"""A train street is shown in four views, so many frames apart: building its town takes ten times as long as drawing
it. Streets of val and test are shown once each."""


class StreetDataset:
    """Pictures of streets with their masks; item i of a split is always the same picture.

    Args:
        split: 'train', 'val' or 'test'.
        size_wh: width and height of the pictures.
        count: how many items; None is the split's default (2000, 100, 100).

    Raises:
        EpeeError: the split has no such name, or the count is out of range.
    """

    names = NAMES
    colours = COLOURS
    ignore = 255

    def __init__(self, split: str, size_wh: tuple[int, int], count: int | None = None) -> None:
        if split not in SPLITS:
            raise EpeeError("split of the street", got=repr(split), expected=", ".join(SPLITS), do="name one of these")
        block, default = SPLITS[split]
        self.split = split
        self.size_wh = size_wh
        self.count = default if count is None else count
        if not 0 < self.count <= SEEDS_PER_SPLIT:
            raise EpeeError(
                "count of street pictures", got=str(count), expected=f"1 to {SEEDS_PER_SPLIT}", do="ask for fewer"
            )
        self.first_seed = block * SEEDS_PER_SPLIT
        self.views = VIEWS if split == "train" else 1
        self._drawn: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """The i-th picture, (H, W, 3) uint8 BGR, and its mask, (H, W) uint8 class ids."""
        if not -self.count <= i < self.count:
            raise IndexError(f"street item | got {i} | expected below {self.count}")
        i %= self.count
        with self._lock:
            drawn = self._drawn.pop(i, None)
        return drawn if drawn is not None else self._draw(i)

    def _draw(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws item i, and keeps the other views of its street until they are asked for."""
        first = i - i % self.views
        seed = self.first_seed + first // self.views
        street = Street(seed, self.size_wh)
        pairs = {first + view: street.render(seed * 37 % 1009 + view * APART)
                 for view in range(self.views) if first + view < self.count}
        with self._lock:
            self._drawn.update({k: pair for k, pair in pairs.items() if k != i})
        return pairs[i]
