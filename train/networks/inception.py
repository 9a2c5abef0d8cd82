"""Inception v3 (Szegedy 2015, arXiv 1512.00567) as FID's papers use it: TensorFlow's of December 2015.

It differs from later ones in its poolings: averages leave the border out, and the very last block takes maxima. Names
of layers are those of the published weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES, SIZE = 2048, 299
Kernel = tuple[int, int]
Spec = tuple[int, int, Kernel, int, Kernel]


class ConvBnRelu(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padding: Kernel = (0, 0)) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def point(inputs: int, outputs: int) -> Spec:
    """A 1x1 convolution."""
    return inputs, outputs, (1, 1), 1, (0, 0)


def square(inputs: int, outputs: int, side: int = 3) -> Spec:
    """A convolution that keeps the size."""
    return inputs, outputs, (side, side), 1, (side // 2, side // 2)


def halving(inputs: int, outputs: int) -> Spec:
    """A 3x3 convolution that halves the size, without padding."""
    return inputs, outputs, (3, 3), 2, (0, 0)


def row(inputs: int, outputs: int, length: int) -> Spec:
    """A 1xN convolution."""
    return inputs, outputs, (1, length), 1, (0, length // 2)


def column(inputs: int, outputs: int, length: int) -> Spec:
    """An Nx1 convolution."""
    return inputs, outputs, (length, 1), 1, (length // 2, 0)


class Block(nn.Module):
    """Branches side by side, and their outputs one behind the other.

    Args:
        specs: layer name -> convolution.
        branches: names of the layers of each branch, in the order of the output; `a+b` at a branch's end are two
            layers that both see the one before.
        pool: `mean`, `max`, or `halve` (maxima without padding, which halve the size), before `branch_pool` where
            there is such a layer.
    """

    def __init__(self, specs: Mapping[str, Spec], branches: tuple[str, ...], pool: str) -> None:
        super().__init__()
        for name, spec in specs.items():
            self.add_module(name, ConvBnRelu(*spec))
        self.branches, self.pool, self.projects = branches, pool, "branch_pool" in specs

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for branch in self.branches:
            y = x
            for step in branch.split(" "):
                y = torch.cat([self.get_submodule(name)(y) for name in step.split("+")], 1)
            outputs.append(y)
        if self.pool == "halve":
            pooled = F.max_pool2d(x, 3, 2)
        elif self.pool == "max":
            pooled = F.max_pool2d(x, 3, 1, 1)
        else:
            pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return torch.cat([*outputs, self.get_submodule("branch_pool")(pooled) if self.projects else pooled], 1)


def block_a(inputs: int, pooled: int) -> Block:
    """At 35x35."""
    return Block({"branch1x1": point(inputs, 64), "branch5x5_1": point(inputs, 48), "branch5x5_2": square(48, 64, 5),
                  "branch3x3dbl_1": point(inputs, 64), "branch3x3dbl_2": square(64, 96),
                  "branch3x3dbl_3": square(96, 96), "branch_pool": point(inputs, pooled)},
                 ("branch1x1", "branch5x5_1 branch5x5_2", "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3"), "mean")


def block_b(inputs: int) -> Block:
    """From 35x35 to 17x17."""
    return Block({"branch3x3": halving(inputs, 384), "branch3x3dbl_1": point(inputs, 64),
                  "branch3x3dbl_2": square(64, 96), "branch3x3dbl_3": halving(96, 96)},
                 ("branch3x3", "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3"), "halve")


def block_c(c: int) -> Block:
    """At 17x17."""
    names = [f"branch7x7dbl_{i}" for i in range(1, 6)]
    return Block({"branch1x1": point(768, 192), "branch7x7_1": point(768, c), "branch7x7_2": row(c, c, 7),
                  "branch7x7_3": column(c, 192, 7), names[0]: point(768, c), names[1]: column(c, c, 7),
                  names[2]: row(c, c, 7), names[3]: column(c, c, 7), names[4]: row(c, 192, 7),
                  "branch_pool": point(768, 192)},
                 ("branch1x1", "branch7x7_1 branch7x7_2 branch7x7_3", " ".join(names)), "mean")


def block_d() -> Block:
    """From 17x17 to 8x8."""
    names = [f"branch7x7x3_{i}" for i in range(1, 5)]
    return Block({"branch3x3_1": point(768, 192), "branch3x3_2": halving(192, 320), names[0]: point(768, 192),
                  names[1]: row(192, 192, 7), names[2]: column(192, 192, 7), names[3]: halving(192, 192)},
                 ("branch3x3_1 branch3x3_2", " ".join(names)), "halve")


def block_e(inputs: int, pool: str) -> Block:
    """At 8x8."""
    return Block({"branch1x1": point(inputs, 320), "branch3x3_1": point(inputs, 384),
                  "branch3x3_2a": row(384, 384, 3), "branch3x3_2b": column(384, 384, 3),
                  "branch3x3dbl_1": point(inputs, 448), "branch3x3dbl_2": square(448, 384),
                  "branch3x3dbl_3a": row(384, 384, 3), "branch3x3dbl_3b": column(384, 384, 3),
                  "branch_pool": point(inputs, 192)},
                 ("branch1x1", "branch3x3_1 branch3x3_2a+branch3x3_2b",
                  "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3a+branch3x3dbl_3b"), pool)


class Inception(nn.Module):
    """Input: (N, 3, 299, 299) float, RGB, -1 to 1. Output: (N, 2048) float, 0 or more."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvBnRelu(*halving(3, 32))
        self.Conv2d_2a_3x3 = ConvBnRelu(32, 32, (3, 3))
        self.Conv2d_2b_3x3 = ConvBnRelu(*square(32, 64))
        self.Conv2d_3b_1x1 = ConvBnRelu(*point(64, 80))
        self.Conv2d_4a_3x3 = ConvBnRelu(80, 192, (3, 3))
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = block_a(192, 32), block_a(256, 64), block_a(288, 64)
        self.Mixed_6a = block_b(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = map(block_c, (128, 160, 160, 192))
        self.Mixed_7a = block_d()
        self.Mixed_7b, self.Mixed_7c = block_e(1280, "mean"), block_e(2048, "max")
        self.fc = nn.Linear(FEATURES, 1008)  # of the classes; it only takes up its weights

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # (N, 64, 147, 147)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))  # (N, 192, 71, 71)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))  # (N, 288, 35, 35)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))  # (N, 768, 17, 17)
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (N, 2048, 8, 8)
        return x.mean((2, 3))
