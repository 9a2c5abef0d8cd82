"""The discriminator of enhanced pictures: a small U-Net with spectral norm, a score for each pixel."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a UNetDiscriminator.

    Attributes:
        channels: at the full size, at 1/2 and at 1/4.
    """

    channels: tuple[int, int, int] = (24, 48, 96)


class UNetDiscriminator(nn.Module):
    """Scores that see a pixel's neighbourhood and the whole around it, higher for real ones.

    Schönfeld 2020, arXiv 2002.12655, in Real-ESRGAN's form (Wang 2021, arXiv 2107.10833): skips are added, and every
    convolution but the first and last has spectral norm (Miyato 2018, arXiv 1802.05957).

    Input: (N, 3, H, W) float, BGR, -1 to 1; H and W multiples of 4.
    Output: (N, H, W) float32, unbounded.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        a, b, c = config.channels
        self.first = nn.Conv2d(3, a, 3, padding=1)
        self.down = nn.ModuleList([_normed(a, b, 4, 2), _normed(b, c, 4, 2)])
        self.middle = _normed(c, c, 3, 1)
        self.up = nn.ModuleList([_normed(c, b, 3, 1), _normed(b, a, 3, 1)])
        self.end = _normed(a, a, 3, 1)
        self.score = nn.Conv2d(a, 1, 3, padding=1)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        full = F.leaky_relu(self.first(x), SLOPE)  # (N, a, H, W)
        half = F.leaky_relu(self.down[0](full), SLOPE)  # (N, b, H/2, W/2)
        quarter = F.leaky_relu(self.down[1](half), SLOPE)  # (N, c, H/4, W/4)
        y = F.leaky_relu(self.middle(quarter), SLOPE)
        for up, side in zip(self.up, (half, full), strict=True):
            y = F.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)
            y = F.leaky_relu(up(y), SLOPE) + side
        return self.score(F.leaky_relu(self.end(y), SLOPE)).squeeze(1).float()


def _normed(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding=1))
