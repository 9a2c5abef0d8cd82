"""A strip of pictures: one street as each kind of network has it.

The source; its mask; the mask turned back into a street; half of the source's pixels, enlarged by an enhancer; streets
that a generator made of nothing. The networks beside the segmenter ship in the package.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.colour_masks import painted
from ..runtime.errors import DataError, need
from ..runtime.pixels import Image, resize
from ..runtime.street import COLOURS

TRANSLATOR, ENHANCER, GENERATOR = "street-paint", "street-sharp", "street-dream"
PANEL_HW, TRANSLATED_HW = (240, 320), (180, 240)
"""Sizes of a panel, and of what the translator is given: that which it learned at."""
GRID_WH = (4, 3)
"""Generated pictures in a panel."""
BAR, GAP = 24, 8
"""Heights and widths in pixels: of the names' line, and between panels."""


def make(source: Path, mask: Path, folder: Path, out: Path, epee: Callable[..., object]) -> None:
    """Runs the networks, and writes the strip.

    Args:
        source: a picture of a street.
        mask: PNG of its class ids, of the same size.
        folder: gets what goes through the networks, and what comes out.
        out: PNG of the strip.
        epee: runs an `epee` command, given as words.

    Raises:
        DataError: a picture is missing.
    """
    cv2: Any = need("cv2")
    (h, w), half = PANEL_HW, (PANEL_HW[0] // 2, PANEL_HW[1] // 2)
    folder.mkdir()
    picture, ids = resize(_read(source), (h, w), "area"), resize(_read(mask)[..., 0], (h, w), "nearest")
    small = resize(picture, half, "area")
    colours = painted(ids, COLOURS)
    for name, image in (("mask", resize(colours, TRANSLATED_HW, "nearest")), ("small", small)):
        cv2.imwrite(str(folder / f"{name}.png"), image)
    made = {name: folder / name for name in ("translated", "enhanced", "generated")}
    epee("run", TRANSLATOR, "--source", folder / "mask.png", "--sink", f"png:{made['translated']}")
    epee("run", ENHANCER, "--source", folder / "small.png", "--sink", f"png:{made['enhanced']}")
    epee("generate", GENERATOR, "--sink", f"png:{made['generated']}", "--walk", "none", "--frames", 1,
         "--grid", f"{GRID_WH[0]}x{GRID_WH[1]}")
    translated, enhanced, generated = (_read(path) for where in made.values() for path in sorted(where.glob("*.png")))
    cv2.imwrite(str(out), side_by_side({
        "source": picture, "mask": colours, "translated: street from mask": resize(translated, (h, w), "cubic"),
        "a quarter of the pixels": resize(small, (h, w), "nearest"), "enhanced": enhanced,
        "generated": resize(generated, (h, w), "area")}))


def side_by_side(panels: dict[str, Image]) -> Image:
    """Pictures of one size in a row, (H, W, 3) uint8 BGR, each with its name below."""
    cv2: Any = need("cv2")
    h, w = PANEL_HW
    strip: Image = np.full((h + BAR, len(panels) * (w + GAP) - GAP, 3), 255, np.uint8)
    for i, (name, panel) in enumerate(panels.items()):
        left = i * (w + GAP)
        strip[:h, left:left + w] = panel
        cv2.putText(strip, name, (left + 4, h + BAR - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _read(path: Path) -> Image:
    cv2: Any = need("cv2")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"picture '{path}'", got="none that can be read", expected="a PNG")
    return np.asarray(image)
