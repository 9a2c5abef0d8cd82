"""Stills of many streets, each of a seed of its own, in splits that share no seed."""

import numpy as np

from ..errors import EpeeError
from .classes import COLOURS, NAMES
from .scene import Street

SEEDS_PER_SPLIT = 1_000_000
SPLITS: dict[str, tuple[int, int]] = {"train": (1, 2000), "val": (2, 100), "test": (3, 100)}
"""Split to (block of seeds, default count). Block 0, seeds below a million, is left for live drives."""


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

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """The i-th picture, (H, W, 3) uint8 BGR, and its mask, (H, W) uint8 class ids."""
        if not -self.count <= i < self.count:
            raise IndexError(f"street item | got {i} | expected below {self.count}")
        seed = self.first_seed + i % self.count
        return Street(seed, self.size_wh).render(seed * 37 % 1009)
