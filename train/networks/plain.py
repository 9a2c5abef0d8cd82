"""The block that generator and discriminator are made of: 3x3 convolutions, no normalisation.

Without normalisation a deep network trains if every residual branch begins at zero (Fixup, Zhang 2019,
arXiv 1901.09321; R3GAN's networks do the same, arXiv 2501.05441). Nothing then has to be folded at export, and no
picture's output depends on the others in its batch. Convolutions are dense: grouped ones save multiply-adds, yet their
backward pass is several times slower on a CPU.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.errors import ConfigError

FIRST_SIZE = 4
"""Height and width of the smallest feature map of generators and discriminators."""


class PlainBlock(nn.Module):
    """x + f(x), f being one or two times (leaky ReLU, 3x3 convolution); f is 0 at first.

    Args:
        channels: of input and output.
        convolutions: 1 or 2.
        slope: of the activation below 0; 0 is ReLU, which INT8 kernels fuse.
    """

    def __init__(self, channels: int, convolutions: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(convolutions))
        for layer in self.convolutions:
            start(layer, math.sqrt(2.0))
        start(self.convolutions[-1], 0.0)

    def forward(self, x: Tensor) -> Tensor:
        inner = x
        for layer in self.convolutions:
            inner = layer(activate(inner, self.slope))
        return x + inner


def activate(x: Tensor, slope: float) -> Tensor:
    """Leaky ReLU; ReLU where the slope is 0."""
    return F.leaky_relu(x, slope) if slope else F.relu(x)


def start(layer: nn.Module, gain: float = 1.0) -> None:
    """Draws weights of deviation gain / sqrt(fan-in) (He 2015, arXiv 1502.01852) and sets the bias to 0."""
    weight, bias = layer.weight, layer.bias
    if gain:
        nn.init.normal_(weight, std=gain / math.sqrt(weight[0].numel()))  # type: ignore[arg-type, index]
    else:
        nn.init.zeros_(weight)  # type: ignore[arg-type]
    if bias is not None:
        nn.init.zeros_(bias)  # type: ignore[arg-type]


def stages_of(size: int, channels: tuple[int, ...], convolutions: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """(channels, convolutions) of each feature map size from FIRST_SIZE to `size`: 4 of them for 32, 5 for 64.

    Raises:
        ConfigError: fewer of either than sizes.
    """
    needed = int(math.log2(size // FIRST_SIZE)) + 1
    if min(len(channels), len(convolutions)) < needed:
        raise ConfigError(f"network for {size}x{size}", got=f"channels {channels}, convolutions {convolutions}",
                          expected=f"{needed} of each, from {FIRST_SIZE}x{FIRST_SIZE} up")
    return tuple(zip(channels, convolutions, strict=False))[:needed]
