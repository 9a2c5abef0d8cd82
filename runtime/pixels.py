"""The only pixel arithmetic: bringing frames to a network's size and back, colours over a frame, shares of classes.

Training, calibration, scoring and the live loop all call these functions, so that a frame is treated the same
everywhere. Everything heavy happens inside OpenCV, which lets other threads run meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, need
from .manifest import TILE, Fit, Manifest

BORDER = 114
"""Grey level of letterbox borders."""
UNSEEN = 255
"""Class id of pixels that the network did not see (outside the centre crop)."""
Image = NDArray[Any]


@dataclass(frozen=True)
class Placement:
    """Which box of the source becomes which box of the network's picture; boxes are (top, left, height, width)."""

    source: tuple[int, int, int, int]
    inner: tuple[int, int, int, int]


@lru_cache(maxsize=64)
def place(source_hw: tuple[int, int], size_hw: tuple[int, int], mode: str) -> Placement:
    """Gives the two boxes that correspond to each other under a fit mode (see `manifest.Fit`)."""
    (sh, sw), (h, w) = source_hw, size_hw
    whole, full = (0, 0, sh, sw), (0, 0, h, w)
    if mode == TILE:
        raise DataError("frame of a model that takes frames in tiles", got=f"{sw}x{sh} in one piece",
                        expected=f"tiles of {w}x{h}", do="`Model` makes them; so does `tiles.tiled`")
    if mode == "stretch":
        return Placement(whole, full)
    if mode == "letterbox":
        scale = min(h / sh, w / sw)
        ih, iw = max(1, round(sh * scale)), max(1, round(sw * scale))
        return Placement(whole, ((h - ih) // 2, (w - iw) // 2, ih, iw))
    scale = max(h / sh, w / sw)
    ch, cw = min(sh, max(1, round(h / scale))), min(sw, max(1, round(w / scale)))
    return Placement(((sh - ch) // 2, (sw - cw) // 2, ch, cw), full)


def fit(image: Image, size_hw: tuple[int, int], fit: Fit) -> Image:
    """A frame at the network's size.

    Args:
        image: (H, W, 3) uint8.
        size_hw: height and width of the network's input.
        fit: mode and interpolation; letterbox borders are BORDER grey.

    Returns:
        (h, w, 3) uint8; the very same array where the sizes are equal.
    """
    return _forward(image, size_hw, fit.mode, fit.interpolation, BORDER)


def fit_mask(mask: Image, size_hw: tuple[int, int], fit: Fit, ignore: int = 255) -> Image:
    """A label mask at the network's size, nearest pixel, the way `fit` treats its picture.

    Args:
        mask: (H, W) uint8 class ids.
        ignore: what letterbox borders are labelled.

    Returns:
        (h, w) uint8; the very same array where the sizes are equal.
    """
    return _forward(mask, size_hw, fit.mode, "nearest", ignore)


def unfit_mask(mask: Image, frame_hw: tuple[int, int], fit: Fit) -> Image:
    """The network's mask at the frame's size, nearest pixel.

    Letterbox borders are cut away. With `crop`, what lies outside the centre was never seen: it gets UNSEEN (255).

    Args:
        mask: (h, w) uint8 class ids.

    Returns:
        (H, W) uint8; the very same array where the sizes are equal.
    """
    return _backward(mask, frame_hw, fit.mode, "nearest", UNSEEN)


def unfit_image(image: Image, frame_hw: tuple[int, int], fit: Fit) -> Image:
    """The network's picture at the frame's size, linear; with `crop`, the outside of the centre is black.

    Args:
        image: (h, w, 3) uint8.

    Returns:
        (H, W, 3) uint8; the very same array where the sizes are equal.
    """
    return _backward(image, frame_hw, fit.mode, "linear", 0)


def seen(mask: Image, frame_hw: tuple[int, int], fit: Fit) -> Image:
    """The part of the network's mask that shows the frame: a view without letterbox borders."""
    top, left, h, w = place(frame_hw, _hw(mask), fit.mode).inner
    return mask[top:top + h, left:left + w]


def resize(image: Image, size_hw: tuple[int, int], interpolation: str = "linear") -> Image:
    """An image or mask of another size; `nearest` takes the pixel whose centre is nearest and is exact everywhere."""
    if _hw(image) == size_hw:
        return image
    cv2: Any = need("cv2")
    kind = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "cubic": cv2.INTER_CUBIC,
            "nearest": cv2.INTER_NEAREST_EXACT}[interpolation]
    h, w = size_hw
    if interpolation == "nearest" and h > image.shape[0]:  # rows that are the same are copied: a third faster
        wide: Image = cv2.resize(image, (w, image.shape[0]), interpolation=kind)
        return wide.take(_rows(image.shape[0], h), 0)
    resized: Image = cv2.resize(image, (w, h), interpolation=kind)
    return resized


def expand(image: Image) -> Image:
    """A frame as (H, W, 3) uint8 BGR, whatever a camera or file gave.

    Greyscale becomes three equal channels, a fourth channel (alpha) is dropped, and 16-bit values are scaled by
    255/65535 (full range assumed: scale 10- and 12-bit data yourself).

    Args:
        image: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8 or uint16.

    Returns:
        The very same array where it is right already.

    Raises:
        DataError: another shape or type.
    """
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and image.size:
        return image
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3, 4) or image.dtype not in (np.uint8, np.uint16) \
            or not image.size:
        raise DataError("frame", got=f"{image.shape} {image.dtype}", expected="(H, W, 3) uint8 BGR",
                        do="grey, BGRA and uint16 frames are taken too; convert others first")
    cv2: Any = need("cv2")
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255 / 65535)
    if channels == 1:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    elif channels == 4:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return image


def overlay(image: Image, mask: Image, manifest: Manifest, *, strength: float = 0.5, legend: bool = False) -> Image:
    """A frame with the colours of a mask over it.

    Args:
        image: (H, W, 3) uint8, BGR.
        mask: (h, w) uint8 class ids at the network's size, or (H, W) at the frame's.
        manifest: gives colours, class names and the fit.
        strength: share of the colour, 0 to 1.
        legend: whether names and shares are drawn in the upper left corner.

    Returns:
        (H, W, 3) uint8, BGR; a new array. Pixels without a class (255, or outside a centre crop) stay as they are.
    """
    cv2: Any = need("cv2")
    if not 0 <= strength <= 1:
        raise DataError("overlay 'strength'", got=strength, expected="0 to 1")
    frame_hw = _hw(image)
    mode = "stretch" if _hw(mask) == frame_hw else manifest.fit.mode
    placed = place(frame_hw, _hw(mask), mode)
    region = np.ascontiguousarray(_box(mask, placed.inner))
    tint = resize(cv2.applyColorMap(region, _tints(manifest.colours, strength)), placed.source[2:], "nearest")
    if placed.source == (0, 0, *frame_hw):
        drawn = _tinted(image, tint, strength)
    else:
        drawn = image.copy()
        _box(drawn, placed.source)[:] = _tinted(_box(image, placed.source), tint, strength)
    if region.size and region.max() >= len(manifest.colours):
        nameless = resize(region, placed.source[2:], "nearest") >= len(manifest.colours)
        _box(drawn, placed.source)[nameless] = _box(image, placed.source)[nameless]
    if legend:
        draw_legend(drawn, class_shares(region, manifest.classes), manifest.colours)
    return drawn


def draw_legend(image: Image, shares: Mapping[str, float], colours: Sequence[tuple[int, int, int]]) -> None:
    """Draws name, colour and share of each class that is there into the upper left corner of `image`, in place."""
    unit = max(14, _hw(image)[0] // 28)
    width = _legend_width(tuple(shares), unit)
    top = 0
    for i, (name, share) in enumerate(shares.items()):
        if share < 0.005 or top + unit > _hw(image)[0]:
            continue
        row = _legend_row(name, round(100 * share), colours[i] if i < len(colours) else (128, 128, 128), unit, width)
        place_in = image[top:top + unit, :width]
        place_in[:] = row[:, :place_in.shape[1]]
        top += unit


def class_shares(mask: Image, classes: Sequence[str]) -> dict[str, float]:
    """Share of a mask's pixels by class name, 0 to 1 each; pixels of no class (255) count for none.

    Args:
        mask: (H, W) uint8 class ids.
    """
    cv2: Any = need("cv2")
    counts = cv2.calcHist([np.ascontiguousarray(mask)], [0], None, [256], [0, 256]).ravel()
    total = float(counts[:len(classes)].sum()) or 1.0
    return {name: float(counts[i]) / total for i, name in enumerate(classes)}


def _forward(image: Image, size_hw: tuple[int, int], mode: str, interpolation: str, border: int) -> Image:
    if _hw(image) == size_hw:
        return image
    placed = place(_hw(image), size_hw, mode)
    inside = resize(_box(image, placed.source), placed.inner[2:], interpolation)
    return _framed(inside, size_hw, placed.inner, border)


def _backward(image: Image, frame_hw: tuple[int, int], mode: str, interpolation: str, border: int) -> Image:
    if _hw(image) == frame_hw:
        return image
    placed = place(frame_hw, _hw(image), mode)
    inside = resize(_box(image, placed.inner), placed.source[2:], interpolation)
    return _framed(inside, frame_hw, placed.source, border)


def _framed(inside: Image, size_hw: tuple[int, int], box: tuple[int, int, int, int], border: int) -> Image:
    if _hw(inside) == size_hw:
        return np.ascontiguousarray(inside)
    outer = np.full((*size_hw, *inside.shape[2:]), border, inside.dtype)
    _box(outer, box)[:] = inside
    return outer


def _tinted(image: Image, tint: Image, strength: float) -> Image:
    """A new picture: the rest of the image beside a tint that has its strength already."""
    cv2: Any = need("cv2")
    rest = np.right_shift(image, 1) if strength == 0.5 else cv2.convertScaleAbs(image, alpha=1 - strength)
    tinted: Image = cv2.add(rest, tint, dst=rest)
    return tinted


def _box(image: Image, box: tuple[int, int, int, int]) -> Image:
    top, left, h, w = box
    return image[top:top + h, left:left + w]


def _hw(image: Image) -> tuple[int, int]:
    return int(image.shape[0]), int(image.shape[1])


@lru_cache(maxsize=64)
def _rows(before: int, after: int) -> NDArray[np.int32]:
    """(after,) int32: which of `before` rows each row of a nearest resize comes from, as OpenCV says."""
    cv2: Any = need("cv2")
    column = cv2.resize(np.arange(before, dtype=np.int32)[:, None], (1, after), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(column).ravel()


@lru_cache(maxsize=64)
def _tints(colours: tuple[tuple[int, int, int], ...], strength: float) -> Image:
    """(256, 1, 3) uint8, BGR: the colour of each class id at a strength of 0 to 1, black beyond the classes."""
    table = np.zeros((256, 1, 3), np.uint8)
    for i, rgb in enumerate(colours[:256]):
        table[i, 0] = np.round(strength * np.array(rgb[::-1]))
    return table


@lru_cache(maxsize=16)
def _legend_width(names: tuple[str, ...], unit: int) -> int:
    cv2: Any = need("cv2")
    texts = [cv2.getTextSize(f"{name} 100%", cv2.FONT_HERSHEY_SIMPLEX, unit / 36, 1)[0][0] for name in names]
    return int(max(texts, default=0)) + 2 * unit


@lru_cache(maxsize=2048)
def _legend_row(name: str, percent: int, colour: tuple[int, int, int], unit: int, width: int) -> Image:
    """(unit, width, 3) uint8, BGR: one line of the legend, drawn once for each text and then only copied."""
    cv2: Any = need("cv2")
    row = np.full((unit, width, 3), 32, np.uint8)
    row[2:-2, 4:unit] = colour[::-1]
    cv2.putText(row, f"{name} {percent}%", (unit + unit // 3, unit - unit // 3 + 1), cv2.FONT_HERSHEY_SIMPLEX,
                unit / 36, (255, 255, 255), 1, cv2.LINE_AA)
    return row
