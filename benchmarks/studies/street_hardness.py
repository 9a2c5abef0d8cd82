"""How hard `synthetic:street` is: what colour and place alone can tell, and what a small network learns.

Boosted trees see one pixel at a time: its colour (BGR and HSV) and where it lies. They are trained until their
held-out loss stops falling, so what they miss needs texture, shape and surroundings. The network is plain
convolutions, trained for about a minute.

    python -m epee.benchmarks.studies.street_hardness
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn
from torch.nn import functional

from ...runtime.street import StreetDataset

Scenes = tuple[np.ndarray, np.ndarray]


def rendered(split: str, size_wh: tuple[int, int], count: int) -> Scenes:
    """Pictures (N, H, W, 3) uint8 BGR and masks (N, H, W) uint8 of a split."""
    pairs = [StreetDataset(split, size_wh, count)[i] for i in range(count)]
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])


def iou_of(confusion: np.ndarray) -> np.ndarray:
    """IoU (C,) of each class from a confusion matrix (C, C), rows are the truth."""
    hits = np.diag(confusion)
    return np.asarray(hits / np.maximum(confusion.sum(0) + confusion.sum(1) - hits, 1))


def confusion_of(truth: np.ndarray, guess: np.ndarray, classes: int) -> np.ndarray:
    """The confusion matrix (C, C) of two arrays of class ids."""
    pairs = truth.astype(np.int64).ravel() * classes + guess.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def pixel_features(images: np.ndarray) -> np.ndarray:
    """Colour and place of every pixel: (N, H, W, 8) float32 of B, G, R, H, S, V, x, y."""
    n, h, w = images.shape[:3]
    out = np.empty((n, h, w, 8), np.float32)
    out[..., :3] = images
    out[..., 3:6] = np.stack([cv2.cvtColor(image, cv2.COLOR_BGR2HSV) for image in images])
    out[..., 6], out[..., 7] = np.arange(w) / w, np.arange(h)[:, None] / h
    return out


def trees(train: Scenes, test: Scenes, pixels: int, seed: int = 0) -> np.ndarray:
    """IoU (C,) on the test scenes of boosted trees trained on `pixels` pixels of the training scenes."""
    rng = np.random.default_rng(seed)
    each = pixels // len(train[0])
    features, labels = [], []
    for image, mask in zip(*train, strict=True):
        chosen = rng.choice(mask.size, each, replace=False)
        features.append(pixel_features(image[None]).reshape(-1, 8)[chosen])
        labels.append(mask.ravel()[chosen])
    model = HistGradientBoostingClassifier(
        max_iter=600, learning_rate=0.15, max_leaf_nodes=63, early_stopping=True, n_iter_no_change=8, random_state=seed
    )
    model.fit(np.concatenate(features), np.concatenate(labels))
    print(f"trees: {model.n_iter_} rounds on {each * len(train[0])} pixels of {len(train[0])} scenes")
    classes = len(StreetDataset.names)
    total = np.zeros((classes, classes), np.int64)
    for image, mask in zip(*test, strict=True):
        some = rng.choice(mask.size, min(mask.size, 8000), replace=False)
        guess = model.predict(pixel_features(image[None]).reshape(-1, 8)[some])
        total += confusion_of(mask.ravel()[some], guess, classes)
    return iou_of(total)


def block(c_in: int, c_out: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    conv = nn.Conv2d(c_in, c_out, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class PlainNet(nn.Module):
    """Plain convolutions down to 1/16 with dilations, and a skip from 1/4."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.quarter = nn.Sequential(block(3, 24, 2), block(24, 48, 2), block(48, 48))
        self.eighth = nn.Sequential(block(48, 64, 2), block(64, 64))
        self.deep = nn.Sequential(block(64, 96, 2), *[block(96, 96, 1, dilation) for dilation in (1, 2, 4, 8)])
        self.up = nn.ModuleList([nn.Conv2d(96, 64, 1), nn.Conv2d(64, 48, 1)])
        self.join = nn.ModuleList([block(64, 64), block(48, 48)])
        self.head = nn.Conv2d(48, classes, 1)

    def forward(self, frame: torch.Tensor, scale: int = 4) -> torch.Tensor:
        """Logits (N, C, H/4 scale, W/4 scale) of frames (N, 3, H, W), 0 to 1."""
        quarter = self.quarter(frame)  # (N, 48, H/4, W/4)
        eighth = self.eighth(quarter)  # (N, 64, H/8, W/8)
        out = self.deep(eighth)  # (N, 96, H/16, W/16)
        for up, join, skip in zip(self.up, self.join, (eighth, quarter), strict=True):
            out = join(skip + functional.interpolate(up(out), size=skip.shape[2:], mode="bilinear"))
        return functional.interpolate(self.head(out), scale_factor=scale, mode="bilinear")


def as_input(images: np.ndarray) -> torch.Tensor:
    """(N, H, W, 3) uint8 pictures as (N, 3, H, W) float32, 0 to 1, channels last."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).contiguous(memory_format=torch.channels_last)


def network(train: Scenes, test: Scenes, seconds: float, steps: int = 0, batch: int = 2, seed: int = 0) -> np.ndarray:
    """IoU (C,) on the test scenes of a `PlainNet` trained for `seconds`, or for `steps`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    classes = len(StreetDataset.names)
    net = PlainNet(classes)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    share = np.bincount(train[1].ravel(), minlength=classes) / train[1].size
    weight = torch.from_numpy(1 / np.log(1.4 + share)).float()
    weight /= weight.mean()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    begin, done = time.monotonic(), 0
    while (gone := done / steps if steps else (time.monotonic() - begin) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min((done + 1) / 50, 1.0) * (1 - gone) ** 0.9
        chosen = rng.integers(0, len(train[0]), batch)
        images, masks = train[0][chosen], train[1][chosen]
        if rng.random() < 0.5:
            images, masks = images[:, :, ::-1].copy(), masks[:, :, ::-1].copy()
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(as_input(images), scale=2)
        half = torch.from_numpy(masks[:, ::2, ::2].copy()).long()
        loss = functional.cross_entropy(logits.float(), half, weight)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        done += 1
    took = time.monotonic() - begin
    count = sum(parameter.numel() for parameter in net.parameters()) / 1e6
    print(f"network: {count:.2f} M parameters, {done} steps of {batch} in {took:.0f} s, last loss {loss.item():.3f}")
    net.eval()
    total = np.zeros((classes, classes), np.int64)
    with torch.no_grad():
        for first in range(0, len(test[0]), batch):
            with torch.autocast("cpu", torch.bfloat16):
                guess = net(as_input(test[0][first : first + batch])).argmax(1)
            total += confusion_of(test[1][first : first + batch], guess.numpy(), classes)
    return iou_of(total)


def main() -> None:
    """Measures both and prints IoU by class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(320, 240), metavar=("W", "H"))
    parser.add_argument("--scenes", type=int, default=1200, help="training scenes")
    parser.add_argument(
        "--pixels", type=int, default=400_000, help="pixels the trees are trained on; 0 leaves them out"
    )
    parser.add_argument("--seconds", type=float, default=70, help="training time of the network; 0 leaves it out")
    parser.add_argument(
        "--steps", type=int, default=0, help="train for so many steps instead: not swayed by other load"
    )
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    size_wh = (args.size[0], args.size[1])
    train, test = rendered("train", size_wh, args.scenes), rendered("test", size_wh, 100)
    print(f"{args.scenes} training scenes, 100 test scenes, {size_wh[0]}x{size_wh[1]}")
    results = {}
    if args.seconds or args.steps:
        results["network"] = network(train, test, args.seconds, args.steps)
    if args.pixels:
        results["trees"] = trees(train, test, args.pixels)
    share = np.bincount(test[1].ravel(), minlength=len(StreetDataset.names)) / test[1].size
    print("".join(f"{name:>12}" for name in ("class", "pixels", *results)))
    for i, name in enumerate(StreetDataset.names):
        print(f"{name:>12}{share[i]:12.3f}" + "".join(f"{iou[i]:12.3f}" for iou in results.values()))
    print(f"{'mIoU':>12}{'':12}" + "".join(f"{iou.mean():12.3f}" for iou in results.values()))


if __name__ == "__main__":
    main()
