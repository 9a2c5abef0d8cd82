"""The translator: down, a row of residual blocks where pixels are few, and up again by resize and convolution.

There is no normalisation, as in the generator (see `plain`): nothing has to be folded, no picture's output depends on
the others in its batch, and nothing is left that INT8 cannot take, as instance norm would be. No transposed
convolutions either, which leave checkerboards and quantise badly.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.errors import ConfigError
from .plain import PlainBlock, activate, start


@dataclass(frozen=True)
class TranslatorConfig:
    """Sizes of a Translator.

    Attributes:
        channels: at the full size, at 1/2, 1/4 and so on; multiples of 16 suit CPU kernels.
        blocks: residual blocks of two convolutions at the smallest size.
        skips: whether the way up sees the way down at each size: for pairs, whose edges lie at the same places. A
            style is better without: what the input looks like would come through.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128)
    blocks: int = 4
    skips: bool = True

    def __post_init__(self) -> None:
        if len(self.channels) < 2 or self.blocks < 1:
            raise ConfigError("translator", got=f"channels {self.channels}, {self.blocks} blocks",
                              expected="2 sizes or more, and 1 block or more")


class Translator(nn.Module):
    """A picture for a picture.

    Input: (N, 3, H, W) float, BGR, 0 to 1; any size from 2^(sizes - 1) up.
    Output: (N, 3, H, W) float, BGR; within 0 to 1 in eval mode, as a picture's bytes will be. In training what lies
    outside is left, so that it can be pulled back.
    """

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.first = nn.Conv2d(3, channels[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(channels))
        self.middle = nn.ModuleList(PlainBlock(channels[-1], 2, 0.0) for _ in range(config.blocks))
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(channels))
        self.up = nn.ModuleList(PlainBlock(a, 1, 0.0) for a in channels[:-1])
        self.last = nn.Conv2d(channels[0], 3, 3, padding=1)
        for layer in (self.first, *self.down):
            start(layer, 2**0.5)
        for layer in (*self.narrow, self.last):
            start(layer)

    @property
    def step(self) -> int:
        """Where the input is cut, multiples of this many pixels leave what is inside as it is."""
        return 2 ** (len(self.config.channels) - 1)

    @property
    def reach(self) -> int:
        """How many pixels of the input an output pixel sees beside its own, each way, at most."""
        down = sum(2**i for i in range(len(self.config.channels) - 1))
        up = sum(2**i + 2 ** (i + 1) for i in range(len(self.config.channels) - 1))
        return 1 + down + 2 * self.config.blocks * self.step + up + 1

    def forward(self, x: Tensor) -> Tensor:
        features = self.encode(x)
        y = features[-1]  # (N, channels[-1], smallest)
        sides = features[:len(self.down)]
        for narrow, block, side in zip(reversed(self.narrow), reversed(self.up), reversed(sides), strict=True):
            y = F.interpolate(narrow(activate(y, 0.0)), size=side.shape[-2:], mode="bilinear", align_corners=False)
            y = block(y + side if self.config.skips else y)  # (N, channels[i], H / 2^i, W / 2^i)
        y = self.last(activate(y, 0.0)).mul(0.5).add(0.5)  # (N, 3, H, W)
        return y if self.training else y.clamp(0.0, 1.0)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features on the way: one at each size, largest first, then what the row of blocks makes of the last."""
        y = activate(self.first(x.mul(2.0).sub(1.0)), 0.0)
        features = [y]
        for down in self.down:
            y = activate(down(y), 0.0)
            features.append(y)
        for block in self.middle:
            y = block(y)
        return [*features, y]
