"""The enhancer: a plain row of 3x3 convolutions at the input's size or half of it, then pixels spread out.

SRVGGNetCompact's shape (Wang 2021, arXiv 2107.10833) with ReLU, which INT8 kernels fuse, in place of PReLU. What goes
around the row is a convolution too, an interpolation at first and learned from then on; so each output is a sum of two
convolutions, which runtimes fuse, and no picture is enlarged beside the network. (ABPN goes around by repeating pixels,
Du 2021, arXiv 2105.09750.)

A row over cells of 2x2 pixels has a quarter of the work for the same weights and sees twice as far. Cells are gathered
by the stride of the first convolution, which is what pixel unshuffling (Shi 2016, arXiv 1609.05158) and a convolution
would be together, in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .plain import start


@dataclass(frozen=True)
class UpscalerConfig:
    """Sizes of an Upscaler.

    Attributes:
        scale: how many times larger the output is, 1 to 4.
        channels: of the row; multiples of 16 suit CPU kernels.
        layers: convolutions of the row between the first and the last.
        cell: the row works on cells of so many pixels a side.
    """

    scale: int = 2
    channels: int = 16
    layers: int = 4
    cell: int = 1


class Upscaler(nn.Module):
    """A better, or larger, picture.

    Input: (N, 3, H, W) float, BGR, 0 to 1; any size.
    Output: (N, 3, scale H, scale W) float, BGR; within 0 to 1 in eval mode, as a picture's bytes will be. In training
    what lies outside is left, so that it can be pulled back.
    """

    def __init__(self, config: UpscalerConfig) -> None:
        super().__init__()
        self.config = config
        c, cell, out = config.channels, config.cell, 3 * (config.scale * config.cell)**2
        self.first = nn.Conv2d(3, c, cell + 2, stride=cell, padding=1)
        self.row = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for _ in range(config.layers))
        self.last = nn.Conv2d(c, out, 3, padding=1)
        self.around = nn.Conv2d(3, out, cell + 2, stride=cell, padding=1, bias=False)
        for layer in (self.first, *self.row):
            start(layer, 2**0.5)
        start(self.last, 0.0)
        with torch.no_grad():
            self.around.weight.copy_(interpolation(config.scale, cell))

    @property
    def reach(self) -> int:
        """How many pixels of the input an output pixel sees beside its own, each way."""
        return self.config.cell * (self.config.layers + 2)

    @property
    def step(self) -> int:
        """Cells begin at multiples of so many pixels."""
        return self.config.cell

    def forward(self, x: Tensor) -> Tensor:
        y = self.unbounded(x)
        return y if self.training else y.clamp(0.0, 1.0)  # (N, 3, scale H, scale W)

    def unbounded(self, x: Tensor) -> Tensor:
        """The output before it is brought within 0 to 1."""
        return self.spread(self.cells(self.whole(x)), x.shape[2:])

    def whole(self, x: Tensor) -> Tensor:
        """The picture with its last row and column repeated where a cell would be broken."""
        down, right = (-n % self.config.cell for n in x.shape[2:])
        return F.pad(x, (0, right, 0, down), mode="replicate") if down or right else x

    def cells(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), multiples of the cell -> (N, 3 (scale cell)^2, H / cell, W / cell): all pixels of each cell."""
        y = F.relu(self.first(x))  # (N, channels, H / cell, W / cell)
        for layer in self.row:
            y = F.relu(layer(y))
        with torch.autocast(x.device.type, enabled=False):  # half of bfloat16's steps are wider than a grey level
            return self.last(y.float()) + self.around(x.float())

    def spread(self, cells: Tensor, size_hw: Sequence[int]) -> Tensor:
        """What `cells` gave, of any type, as a picture: (N, 3, scale H, scale W) of the input's own size (H, W)."""
        r, (h, w) = self.config.scale * self.config.cell, (self.config.scale * n for n in size_hw)
        y = F.pixel_shuffle(cells, r) if r > 1 else cells
        return y if y.shape[2:] == (h, w) else y[:, :, :h, :w]


def interpolation(scale: int, cell: int = 1) -> Tensor:
    """(3 (scale cell)^2, 3, cell + 2, cell + 2): bilinear interpolation, pixel centres apart as in
    `align_corners=False`, for all new pixels of a cell."""
    places = (torch.arange(scale * cell) + 0.5) / scale - 0.5  # of the new pixels, from the cell's first pixel
    line = torch.relu(1.0 - (places[:, None] - torch.arange(-1, cell + 1)).abs())  # (scale cell, cell + 2)
    kernels = (line[:, None, :, None] * line[None, :, None, :]).flatten(0, 1)
    weight = torch.zeros(3, len(kernels), 3, *kernels.shape[1:])
    for channel in range(3):
        weight[channel, :, channel] = kernels
    return weight.flatten(0, 1)
