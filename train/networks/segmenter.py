"""The segmentation network: plain 3x3 convolution, batch norm and ReLU, which is what INT8 kernels like.

One trunk goes down to 1/16 of the input's size, where residual blocks with dilations 1, 2, 4, 8 see far for little
(the dilations follow RegSeg, Gao 2021, arXiv 2111.09957, with dense instead of grouped convolutions). Its answer comes
back up in steps: at 1/8, at 1/4 and, where it is asked for, at 1/2 the trunk's own features are added and a 3x3
convolution joins the two, so that poles and signs keep their edges. A 1x1 head names the classes.

No attention, no squeeze-and-excite, no grouped convolutions: they quantise badly or train slowly on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class SegmenterConfig:
    """Sizes of a Segmenter.

    Attributes:
        classes: number of classes.
        stem: channels at 1/2.
        quarter: channels at 1/4.
        eighth: channels at 1/8.
        sixteenth: channels at 1/16.
        eighth_blocks: residual blocks at 1/8.
        dilations: one residual block at 1/16 for each.
        decode8, decode4: channels of the convolutions that join what comes up with the trunk at 1/8 and at 1/4.
        decode2: the same at 1/2, where a pole is two pixels wide; 0 goes without and answers at 1/4.
    """

    classes: int
    stem: int = 32
    quarter: int = 48
    eighth: int = 96
    sixteenth: int = 112
    eighth_blocks: int = 1
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    decode8: int = 64
    decode4: int = 48
    decode2: int = 0


class Seen(NamedTuple):
    """What the network makes of a picture.

    Attributes:
        logits: (N, classes, h, w), h and w a quarter of the picture's, or a half with `decode2`.
        detail: (N, decode4 or decode2, h, w), what the head reads.
        deep: (N, decode8, H/16, W/16), before it comes up.
    """

    logits: Tensor
    detail: Tensor
    deep: Tensor


class ConvBnRelu(nn.Sequential):
    """3x3 or 1x1 convolution without bias, batch norm, and ReLU unless `relu` is false."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1,
                 relu: bool = True) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
            nn.BatchNorm2d(outputs),
            *([nn.ReLU(inplace=True)] if relu else []))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the second dilated, added to their input (He 2015, arXiv 1512.03385)."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = ConvBnRelu(channels, channels)
        self.second = ConvBnRelu(channels, channels, dilation=dilation, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class Segmenter(nn.Module):
    """Class logits for a picture.

    Input: (N, 3, H, W) float, BGR, 0 to 1; H and W from 32 up, any size.
    Output: (N, classes, ceil(H/4), ceil(W/4)) logits, ceil(H/2) and ceil(W/2) with `decode2`; `resize_logits` brings
        them to another size.
    """

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        c = config
        self.config = config
        self.stem = ConvBnRelu(3, c.stem, stride=2)
        self.quarter = nn.Sequential(ConvBnRelu(c.stem, c.quarter, stride=2), ConvBnRelu(c.quarter, c.quarter))
        self.eighth = nn.Sequential(ConvBnRelu(c.quarter, c.eighth, stride=2),
                                    *(ResidualBlock(c.eighth) for _ in range(c.eighth_blocks)))
        self.sixteenth = nn.Sequential(ConvBnRelu(c.eighth, c.sixteenth, stride=2),
                                       *(ResidualBlock(c.sixteenth, d) for d in c.dilations),
                                       ConvBnRelu(c.sixteenth, c.decode8, kernel=1, relu=False))
        self.side8 = ConvBnRelu(c.eighth, c.decode8, kernel=1, relu=False)
        self.join8 = nn.Sequential(ConvBnRelu(c.decode8, c.decode8),
                                   ConvBnRelu(c.decode8, c.decode4, kernel=1, relu=False))
        self.side4 = ConvBnRelu(c.quarter, c.decode4, kernel=1, relu=False)
        self.join4 = ConvBnRelu(c.decode4, c.decode4)
        if c.decode2:
            self.up4 = ConvBnRelu(c.decode4, c.decode2, kernel=1, relu=False)
            self.side2 = ConvBnRelu(c.stem, c.decode2, kernel=1, relu=False)
            self.join2 = ConvBnRelu(c.decode2, c.decode2)
        self.head = nn.Conv2d(c.decode2 or c.decode4, c.classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.look(x).logits

    def look(self, x: Tensor) -> Seen:
        """As forward, with the features that further heads and a teacher's pupil are compared by."""
        half = self.stem(x)  # (N, stem, H/2, W/2)
        quarter = self.quarter(half)  # (N, quarter, H/4, W/4)
        eighth = self.eighth(quarter)  # (N, eighth, H/8, W/8)
        deep = self.sixteenth(eighth)  # (N, decode8, H/16, W/16)
        up = resize_logits(deep, eighth.shape[-2:])  # (N, decode8, H/8, W/8)
        up = self.join8(F.relu(up + self.side8(eighth)))  # (N, decode4, H/8, W/8)
        up = resize_logits(up, quarter.shape[-2:])  # (N, decode4, H/4, W/4)
        up = self.join4(F.relu(up + self.side4(quarter)))  # (N, decode4, H/4, W/4)
        if self.config.decode2:
            up = resize_logits(self.up4(up), half.shape[-2:])  # (N, decode2, H/2, W/2)
            up = self.join2(F.relu(up + self.side2(half)))  # (N, decode2, H/2, W/2)
        return Seen(self.head(up), up, deep)


def resize_logits(logits: Tensor, size_hw: tuple[int, int] | torch.Size) -> Tensor:
    """Bilinear resize of (N, C, h, w) to (N, C, *size_hw), corners not aligned, as ONNX's `half_pixel`."""
    return F.interpolate(logits, size=tuple(size_hw), mode="bilinear", align_corners=False)
