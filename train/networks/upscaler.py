"""The enhancer: a plain row of 3x3 convolutions at the input's size, then pixels spread out.

SRVGGNetCompact's shape (Wang 2021, arXiv 2107.10833) with ReLU, which INT8 kernels fuse, in place of PReLU. What goes
around the row is a 3x3 convolution too, an interpolation at first and learned from then on; so each output is a sum of
two convolutions, which runtimes fuse, and no picture is enlarged beside the network. (ABPN goes around by repeating
pixels, Du 2021, arXiv 2105.09750.)
"""

from __future__ import annotations

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
    """

    scale: int = 2
    channels: int = 16
    layers: int = 4


class Upscaler(nn.Module):
    """A better, or larger, picture.

    Input: (N, 3, H, W) float, BGR, 0 to 1; any size.
    Output: (N, 3, scale H, scale W) float, BGR; within 0 to 1 in eval mode, as a picture's bytes will be. In training
    what lies outside is left, so that it can be pulled back.
    """

    def __init__(self, config: UpscalerConfig) -> None:
        super().__init__()
        self.config = config
        c, out = config.channels, 3 * config.scale**2
        self.first = nn.Conv2d(3, c, 3, padding=1)
        self.row = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for _ in range(config.layers))
        self.last = nn.Conv2d(c, out, 3, padding=1)
        self.around = nn.Conv2d(3, out, 3, padding=1, bias=False)
        for layer in (self.first, *self.row):
            start(layer, 2**0.5)
        start(self.last, 0.0)
        with torch.no_grad():
            self.around.weight.copy_(interpolation(config.scale))

    @property
    def reach(self) -> int:
        """How many pixels of the input an output pixel sees beside its own, each way."""
        return self.config.layers + 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.unbounded(x)
        return y if self.training else y.clamp(0.0, 1.0)  # (N, 3, scale H, scale W)

    def unbounded(self, x: Tensor) -> Tensor:
        """The output before it is brought within 0 to 1."""
        y = F.relu(self.first(x))  # (N, channels, H, W)
        for layer in self.row:
            y = F.relu(layer(y))
        with torch.autocast(x.device.type, enabled=False):  # half of bfloat16's steps are wider than a grey level
            y = self.last(y.float()) + self.around(x.float())  # (N, 3 scale^2, H, W)
        return F.pixel_shuffle(y, self.config.scale) if self.config.scale > 1 else y  # (N, 3, scale H, scale W)


def interpolation(scale: int) -> Tensor:
    """(3 scale^2, 3, 3, 3): bilinear interpolation, pixel centres apart as in `align_corners=False`."""
    places = (torch.arange(scale) + 0.5) / scale - 0.5  # of the new pixels, from the old one's centre
    line = torch.relu(1.0 - (places[:, None] - torch.arange(-1, 2)).abs())  # (scale, 3)
    kernels = (line[:, None, :, None] * line[None, :, None, :]).reshape(scale**2, 3, 3)
    weight = torch.zeros(3, scale**2, 3, 3, 3)
    for channel in range(3):
        weight[channel, :, channel] = kernels
    return weight.flatten(0, 1)
