"""Picture and mask files, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, need

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2")
"""How the names of picture files end."""


def read_picture(path: Path) -> NDArray[Any]:
    """(H, W, 3) uint8 BGR of a picture file. Raises DataError where it is missing or broken."""
    cv2 = need("cv2")
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise DataError(f"picture '{path}'", got=" ".join(str(error).split())[:120]) from None
    if image is None:
        raise DataError(f"picture '{path}'", got="a broken or unknown file", expected=" ".join(PICTURES),
                        do="remove it or save it again")
    return image


def read_mask(path: Path) -> NDArray[Any]:
    """(H, W) uint8 raw ids of a PNG mask, palette PNGs included. Raises DataError where it is none."""
    cv2 = need("cv2")
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"mask '{path}'", got=error.strerror or str(error)) from None
    if data.size > 25 and data[:4].tobytes() == b"\x89PNG" and data[25] == 3:  # a palette: cv2 would give its colours
        return _read_palette(path)
    mask = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if mask is None:
        raise DataError(f"mask '{path}'", got="a broken or unknown file", expected="a PNG of class ids")
    if mask.ndim == 3 and mask.shape[2] == 3 and (mask == mask[..., :1]).all():
        mask = mask[..., 0]
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise DataError(f"mask '{path}'", got=f"{mask.shape} {mask.dtype}", expected="(H, W) uint8 class ids",
                        do="save it as an 8-bit greyscale PNG whose values are ids")
    return mask


def _read_palette(path: Path) -> NDArray[Any]:
    """(H, W) uint8 indices of a palette PNG. cv2 cannot give them, Pillow can."""
    pillow = need("PIL.Image")
    try:
        with pillow.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"mask '{path}'", got=" ".join(str(error).split())[:120],
                        expected="a PNG of class ids") from None
