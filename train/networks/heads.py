"""Heads that only training asks: what they teach stays in the trunk, they themselves are left behind at the export."""

from __future__ import annotations

from torch import Tensor, nn

from .segmenter import ConvBnRelu, Seen, SegmenterConfig

EDGE = 16
"""Channels of the boundary head."""


class Heads(nn.Module):
    """Classes from the deep features, and boundaries from the fine ones.

    Args:
        config: of the segmenter that they sit on.
        auxiliary: with a second answer from 1/16 (PSPNet, Zhao 2016, arXiv 1612.01105).
        boundary: with an answer to where classes meet (Gated-SCNN, Takikawa 2019, arXiv 1907.05740).
    """

    def __init__(self, config: SegmenterConfig, *, auxiliary: bool, boundary: bool) -> None:
        super().__init__()
        deep, fine = config.decode8, config.decode2 or config.decode4
        named = nn.Conv2d(deep, config.classes, 1)
        self.auxiliary = nn.Sequential(ConvBnRelu(deep, deep), named) if auxiliary else None
        self.boundary = nn.Sequential(ConvBnRelu(fine, EDGE), nn.Conv2d(EDGE, 1, 1)) if boundary else None

    def forward(self, seen: Seen) -> tuple[Tensor | None, Tensor | None]:
        """Class logits (N, C, H/16, W/16) and boundary logits (N, 1, h, w); None for a head that is not there."""
        return (None if self.auxiliary is None else self.auxiliary(seen.deep),
                None if self.boundary is None else self.boundary(seen.detail))
