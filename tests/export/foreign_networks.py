"""Segmenters of different makes, small, trained for seconds on the synthetic street, and written as others write them.

Each comes as an ONNX file that knows nothing of us: floats in, floats out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE_WH = (96, 64)
NAMES = ("sky", "wall", "road", "car")
STEPS = 40


class PReLUCoder(nn.Module):
    """Encoder and decoder: PReLU after each convolution, transposed convolutions back to full size. Logits NCHW."""

    def __init__(self, classes: int = len(NAMES)) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.PReLU(8))
        self.down2 = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.PReLU(16))
        self.middle = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 2, 2), nn.BatchNorm2d(16), nn.PReLU(16))
        self.up1 = nn.Sequential(nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.BatchNorm2d(8), nn.PReLU(8))
        self.up2 = nn.ConvTranspose2d(8, classes, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        half = self.down1(x)
        quarter = self.down2(half)
        return self.up2(self.up1(quarter + self.middle(quarter)) + half)


class PyramidPool(nn.Module):
    """Depthwise-separable with pyramid pooling; sizes are asked of tensors, as people write it. Logits at 1/4."""

    def __init__(self, classes: int = len(NAMES)) -> None:
        super().__init__()
        def separable(a: int, b: int, stride: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(a, a, 3, stride, 1, groups=a, bias=False), nn.BatchNorm2d(a), nn.ReLU6(),
                                 nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU6())

        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU6())
        self.body = nn.Sequential(separable(12, 24, 2), separable(24, 24, 1), separable(24, 24, 1))
        self.pools = nn.ModuleList(nn.Sequential(nn.AvgPool2d(size), nn.Conv2d(24, 6, 1), nn.ReLU())
                                   for size in ((16, 24), (8, 12), (4, 6)))
        self.head = nn.Sequential(nn.Conv2d(24 + 18, 24, 1), nn.ReLU(), nn.Conv2d(24, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(self.stem(x))
        pooled = [F.interpolate(pool(y), size=y.shape[2:], mode="bilinear") for pool in self.pools]
        return self.head(torch.cat([y, *pooled], 1))


class StyleNet(nn.Module):
    """Residual style network: InstanceNorm, reflected borders, nearest upsampling. Probabilities at full size."""

    def __init__(self, classes: int = len(NAMES), softmax: bool = True) -> None:
        super().__init__()
        def block(a: int, b: int, stride: int) -> nn.Sequential:
            return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(a, b, 3, stride), nn.InstanceNorm2d(b, affine=True))

        self.stem, self.down = block(3, 8, 1), block(8, 16, 2)
        self.residual = nn.Sequential(block(16, 16, 1), nn.ReLU(), block(16, 16, 1))
        self.up, self.head = block(16, 8, 1), nn.Conv2d(8, classes, 1)
        self.softmax = softmax

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.down(F.relu(self.stem(x))))
        y = F.interpolate(y + self.residual(y), scale_factor=2.0, mode="nearest")
        logits = self.head(F.relu(self.up(y)))
        return logits.softmax(1) if self.softmax and not self.training else logits


def trained(network: nn.Module, mean: Any = (0.0, 0.0, 0.0), std: Any = (1.0, 1.0, 1.0), *, seed: int = 5) -> nn.Module:
    """The network after a few seconds on the street, so that its answers have margins; RGB, divided by 255 first."""
    from epee.runtime.street import StreetDataset

    torch.manual_seed(seed)
    split = StreetDataset("train", (96, 72), 8)
    images, labels = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*(split[i] for i in range(8)), strict=True))
    x = (images[:, :SIZE_WH[1]].flip(-1) / 255 - torch.tensor(mean)) / torch.tensor(std)
    y = labels[:, :SIZE_WH[1]].long() % len(NAMES)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(STEPS):
        optimizer.zero_grad()
        logits = network(x.permute(0, 3, 1, 2))
        F.cross_entropy(F.interpolate(logits, size=y.shape[1:], mode="bilinear"), y).backward()
        optimizer.step()
    return network.eval()


def write(network: nn.Module, path: Path, *, opset: int = 18, free: bool = True, sizes_free: bool = False) -> Path:
    """Writes the ONNX file as torch's users do; batch and sizes free or not."""
    w, h = SIZE_WH
    axes = {0: torch.export.Dim("batch")} if free else {}
    if sizes_free:
        axes |= {2: torch.export.Dim("height", min=16) * 4, 3: torch.export.Dim("width", min=16) * 4}
    torch.onnx.export(network, (torch.zeros(2 if free else 1, 3, h, w),), str(path), dynamo=True, verbose=False,
                      opset_version=opset, input_names=["image"], output_names=["out"],
                      dynamic_shapes=(axes,) if axes else None)
    return path


def write_by_hand(path: Path, ending: str = "scores") -> Path:
    """An opset 11 graph that no torch made: NHWC, BGR of 0 to 255, free batch, logits at half size and back.

    Args:
        path: of the file.
        ending: `scores` (NHWC floats), `ids` (int64, after ArgMax) or `bytes` (the ids, cast to uint8).
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save

    w, h = SIZE_WH
    generator = np.random.default_rng(7)
    first = generator.normal(0, 0.02, (8, 3, 3, 3))
    for i, colour in enumerate(((1, -0.5, -0.4), (-0.5, 1, -0.6), (-0.45, -0.5, 1), (0.3, 0.31, 0.32))):
        first[2 * i, :, 1, 1] += colour
    second = generator.normal(0, 0.05, (4, 8, 1, 1))
    for i in range(4):
        second[i, 2 * i] += 1 - 0.4 * (i == 3)
    weights = {"w1": first, "b1": np.linspace(4, 9, 8), "w2": second, "b2": np.array([20, 22, 24, 17]), "low": 0,
               "high": 400, "roi": np.zeros(0), "scales": np.array([1, 1, 2, 2])}
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "w1", "b1"], ["c1"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c1", "low", "high"], ["r1"]),
        helper.make_node("AveragePool", ["r1"], ["p1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"]),
        helper.make_node("Resize", ["c2", "roi", "scales"], ["large"], mode="linear"),
        helper.make_node("Transpose", ["large"], ["scores"], perm=[0, 2, 3, 1]),
        helper.make_node("ArgMax", ["scores"], ["ids"], axis=3, keepdims=0),
        helper.make_node("Cast", ["ids"], ["bytes"], to=TensorProto.UINT8)]
    kinds = {"scores": (TensorProto.FLOAT, ["n", h, w, 4]), "ids": (TensorProto.INT64, ["n", h, w]),
             "bytes": (TensorProto.UINT8, ["n", h, w])}
    graph = helper.make_graph(
        nodes[:{"scores": 7, "ids": 8, "bytes": 9}[ending]], "by hand",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", h, w, 3])],
        [helper.make_tensor_value_info(ending, *kinds[ending])],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    checker.check_model(model, full_check=True)
    save(model, path)
    return path
