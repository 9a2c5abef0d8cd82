"""Damage to pictures, of which `epee train enhance` makes its pairs: blur, resize, noise, JPEG, in this order.

The order of one round of BSRGAN's and Real-ESRGAN's chains (Zhang 2021, arXiv 2103.14006; Wang 2021,
arXiv 2107.10833). What is drawn depends on the generator that is given, and on nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ..runtime.errors import ConfigError
from .checks import check_name, check_share

KERNELS = ("bicubic", "area", "bilinear")


@dataclass(frozen=True)
class Damage:
    """What may happen to a picture.

    Attributes:
        blur: probability of a Gaussian blur before the resize.
        blur_sigma: its range, in pixels of the whole picture, drawn evenly.
        kernels: of KERNELS, one of which makes the picture smaller, drawn evenly.
        noise: probability of Gaussian noise, on the smaller picture.
        noise_levels: range of its deviation in grey levels, drawn evenly.
        grey: share of the noise that is the same in all three channels, 0 to 1.
        jpeg: probability of a JPEG, which comes last.
        jpeg_quality: its range, 1 to 100, drawn evenly.
    """

    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.2, 1.6)
    kernels: tuple[str, ...] = ("bicubic",)
    noise: float = 0.0
    noise_levels: tuple[float, float] = (1.0, 15.0)
    grey: float = 0.4
    jpeg: float = 0.0
    jpeg_quality: tuple[float, float] = (30.0, 95.0)

    def __post_init__(self) -> None:
        for name in ("blur", "noise", "jpeg", "grey"):
            check_share(f"damage: {name}", getattr(self, name))
        for name, lowest, highest in (("blur_sigma", 0.0, 20.0), ("noise_levels", 0.0, 128.0),
                                      ("jpeg_quality", 1.0, 100.0)):
            low, high = getattr(self, name)
            if not lowest <= low <= high <= highest:
                raise ConfigError(f"damage: {name}", got=f"{low:g} to {high:g}",
                                  expected=f"a range within {lowest:g} to {highest:g}")
        for kernel in self.kernels or ("nothing",):
            check_name("damage: kernel", kernel, KERNELS)


DAMAGES: dict[str, Damage] = {
    "none": Damage(),
    "noise": Damage(noise=1.0, noise_levels=(2.0, 25.0)),
    "jpeg": Damage(jpeg=1.0, jpeg_quality=(30.0, 30.0)),
    "camera": Damage(blur=0.7, kernels=KERNELS, noise=0.7, jpeg=0.8),
}
"""Name -> damage beside the change of size, which is `--scale`'s."""
RANGES = {"noise": "noise_levels", "jpeg": "jpeg_quality"}


def parse_damage(text: str) -> Damage:
    """`none`, `camera`, `noise`, `noise:2-25`, `jpeg`, `jpeg:30` or `jpeg:20-60`. Raises ConfigError for others."""
    name, _, limits = text.partition(":")
    check_name("damage", name, DAMAGES)
    if not limits:
        return DAMAGES[name]
    low, _, high = limits.partition("-")
    try:
        ends = (float(low), float(high or low))
        return replace(DAMAGES[name], **{RANGES[name]: ends})  # type: ignore[arg-type]
    except (ValueError, KeyError):
        raise ConfigError(f"damage '{text}'", got=repr(limits),
                          expected="e.g. noise:2-25 or jpeg:30; the others take no range") from None


def degrade(image: NDArray[np.uint8], damage: Damage, scale: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Gives a damaged picture, (H / scale, W / scale, 3) uint8, BGR.

    Args:
        image: (H, W, 3) uint8, BGR; H and W multiples of `scale`.
        damage: what may happen to it.
        scale: how many times smaller it becomes; 1 leaves the size.
        rng: the only source of chance.
    """
    if rng.random() < damage.blur:
        image = _bytes(cv2.GaussianBlur(image, (0, 0), max(0.1, rng.uniform(*damage.blur_sigma))))
    h, w = image.shape[:2]
    kernel = damage.kernels[int(rng.integers(len(damage.kernels)))]
    small = image if scale == 1 else resize(image, (h // scale, w // scale), kernel)
    if rng.random() < damage.noise:
        small = _noisy(small, rng.uniform(*damage.noise_levels), damage.grey, rng)
    if rng.random() < damage.jpeg:
        small = jpeg(small, round(rng.uniform(*damage.jpeg_quality)))
    return small


def resize(image: NDArray[np.uint8], size_hw: tuple[int, int], kernel: str = "bicubic") -> NDArray[np.uint8]:
    """(h, w, 3) uint8: antialiased where it becomes smaller; `bicubic` is Pillow's, a = -0.5, within a grey level."""
    if kernel == "area":
        return _bytes(cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA))
    x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    y = F.interpolate(x, size=size_hw, mode=kernel, antialias=True)
    return np.ascontiguousarray(y[0].permute(1, 2, 0).numpy())


def jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """What comes back from a JPEG of this quality, 1 to 100, with colour at half the resolution."""
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return _bytes(cv2.imdecode(coded, cv2.IMREAD_COLOR))


def _noisy(image: NDArray[np.uint8], levels: float, grey: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Noise of this deviation, a share of whose variance is common to the channels."""
    h, w = image.shape[:2]
    noise = (math.sqrt(1.0 - grey) * rng.standard_normal((h, w, 3), np.float32)
             + math.sqrt(grey) * rng.standard_normal((h, w, 1), np.float32))
    return np.clip(np.rint(image + levels * noise), 0, 255).astype(np.uint8)


def _bytes(image: Any) -> NDArray[np.uint8]:
    """OpenCV's answer, which is uint8 where uint8 went in."""
    return np.asarray(image, np.uint8)
