"""Differentiable augmentation: what the discriminator sees of real and of generated pictures alike.

DiffAugment (Zhao 2020, arXiv 2006.10738): the same kinds of change on both sides, so that the generator learns
through them and does not learn to draw them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class DiffAugment:
    """How far a picture is changed before the discriminator sees it.

    Attributes:
        flip: probability of a left-right flip; 0 for digits and letters.
        translate: largest shift either way, as a share of the size; black comes in.
        cutout: side of a square that is blanked at a random place, as a share of the size.
        probability: of a shift, and of a blanked square, for each picture.
    """

    flip: float = 0.5
    translate: float = 0.125
    cutout: float = 0.4
    probability: float = 0.8

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Gives changed pictures, (N, 3, H, W) float, differentiable in `images` as often as one likes.

        Args:
            images: (N, 3, H, W) float, -1 to 1.
            generator: the only source of chance; on the CPU.
        """
        n, size = images.shape[0], images.shape[-1]
        draws = torch.rand(7, n, generator=generator).to(images.device)
        if self.flip:
            images = torch.where((draws[0] < self.flip).view(-1, 1, 1, 1), images.flip(3), images)
        reach = round(self.translate * size)
        if reach:
            shifts = (draws[1:3] * (2 * reach + 1)).long() - reach
            images = _shift(images, torch.where(draws[3] < self.probability, shifts, 0), reach)
        side = round(self.cutout * size)
        if side:
            corners = (draws[4:6] * (size + side // 2)).long() - side // 2
            images = images * _kept(corners, draws[6] < self.probability, side, size).to(images.dtype)
        return images


def _shift(images: Tensor, shifts: Tensor, reach: int) -> Tensor:
    """Shifts each picture by (rows, columns) of `shifts`, (2, N) int64, |shift| <= reach; 0 comes in."""
    n, size = images.shape[0], images.shape[-1]
    padded = F.pad(images, (reach, reach, reach, reach))
    grid = torch.arange(size, device=images.device)
    rows = (grid + reach + shifts[0][:, None]).view(n, 1, size, 1)
    columns = (grid + reach + shifts[1][:, None]).view(n, 1, 1, size)
    batch = torch.arange(n, device=images.device).view(n, 1, 1, 1)
    channel = torch.arange(images.shape[1], device=images.device).view(1, -1, 1, 1)
    return padded[batch, channel, rows, columns]


def _kept(corners: Tensor, chosen: Tensor, side: int, size: int) -> Tensor:
    """(N, 1, size, size) bool: false inside the square at each chosen picture's corner, (2, N) int64 row and column."""
    grid = torch.arange(size, device=corners.device)
    inside = [(grid >= c[:, None]) & (grid < c[:, None] + side) for c in corners]  # rows, columns: (N, size)
    blank = inside[0][:, :, None] & inside[1][:, None, :] & chosen[:, None, None]
    return ~blank[:, None]
