"""Pictures to pictures: as tensors, scored against what they should be, and side by side for the eye."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..runtime.scores import psnr

SHOWN_WIDTH = 320
"""Pictures wider than this are shown by their centre."""


def to_unit(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """(N, H, W, 3) uint8, BGR -> (N, 3, H, W) float32, BGR, 0 to 1, channels last in memory."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div_(255.0)


def from_unit(images: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) float, BGR, 0 to 1 -> (N, H, W, 3) uint8, BGR; what lies outside is clipped."""
    scaled = images.float().mul(255.0).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


@torch.inference_mode()
def answers(network: nn.Module, images: Sequence[NDArray[np.uint8]], device: torch.device) -> list[NDArray[np.uint8]]:
    """What a network in eval mode makes of pictures (H, W, 3) uint8, BGR, one by one: their sizes may differ."""
    return [from_unit(network(to_unit(image[None], device)))[0] for image in images]


def mean_psnr(images: Sequence[NDArray[np.uint8]], targets: Sequence[NDArray[np.uint8]]) -> float:
    """Mean over pictures of the PSNR in dB; of two that are equal, 100."""
    return float(np.mean([min(100.0, psnr(a, b)) for a, b in zip(images, targets, strict=True)]))


def mean_l1(images: Sequence[NDArray[np.uint8]], targets: Sequence[NDArray[np.uint8]]) -> float:
    """Mean absolute difference, 0 to 1."""
    return float(np.mean([cv2.absdiff(a, b).mean() / 255.0 for a, b in zip(images, targets, strict=True)]))


def rows(columns: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """A picture with a row for each sample; small ones are enlarged to their row's height, pixel by pixel.

    Args:
        columns: e.g. inputs, outputs and targets, as many of each, (H, W, 3) uint8, BGR.
    """
    lines = []
    for images in zip(*columns, strict=True):
        h, w = (max(image.shape[axis] for image in images) for axis in (0, 1))
        line = [cv2.resize(image, (w, h), interpolation=cv2.INTER_NEAREST) for image in images]
        side = min(w, SHOWN_WIDTH)
        x = (w - side) // 2
        lines.append(np.hstack([image[:, x:x + side] for image in line]))
    width = min(line.shape[1] for line in lines)
    return np.ascontiguousarray(np.vstack([line[:, :width] for line in lines]))
