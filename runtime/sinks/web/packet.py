"""What a viewer gets of a frame: the camera's picture as JPEG and the mask as a palette PNG, encoded once for all.

    4 bytes: length of the header, big endian | header: JSON | JPEG | PNG

The header says `source`, `index`, `time`, `age_ms`, `shares`, `size` (the source's, or a generator's picture's, width
first), `box` (which part of the picture the mask covers, as fractions x, y, w, h) and `jpeg`, the JPEG's bytes. Where
there is no mask, the picture is the network's own, and the PNG is empty.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import need
from ...events import utc
from ...frames import Result
from ...pixels import place, seen

SIGNATURE = b"\x89PNG\r\n\x1a\n"
UP = 2
"""PNG's row filter that stores the difference to the row above: most of a mask becomes zero."""
COLOURS = 256


def pack(result: Result, source: str, width: int, quality: int) -> bytes:
    """One frame as a viewer gets it; see this module's first lines.

    Args:
        width: a wider picture is made so wide.
        quality: of the JPEG, 1 to 100.
    """
    frame, masked = result.frame, "mask" in result.outputs
    h, w = result.size_hw
    jpeg = encode_jpeg(frame.image if masked else result.picture, width, quality)
    png, box = b"", [0.0, 0.0, 1.0, 1.0]
    if masked:
        mask, fit = result.outputs["mask"], result.manifest.fit
        png = encode_mask(seen(mask, frame.size_hw, fit), tuple(result.manifest.colours))
        top, left, bh, bw = place(frame.size_hw, (mask.shape[0], mask.shape[1]), fit.mode).source
        box = [left / w, top / h, bw / w, bh / h]
    header = json.dumps({"source": source, "index": frame.index, "time": utc(frame.captured_s),
                         "age_ms": round(frame.age_ms, 1), "shares": result.shares, "size": [w, h], "box": box,
                         "jpeg": len(jpeg)}).encode()
    return b"".join((struct.pack(">I", len(header)), header, jpeg, png))


def encode_jpeg(image: NDArray[Any], width: int, quality: int) -> bytes:
    """A picture as a JPEG file that is at most `width` wide.

    Args:
        image: (H, W, 3) uint8, BGR.
    """
    cv2: Any = need("cv2")
    h, w = image.shape[:2]
    if w > width:
        kind = cv2.INTER_LINEAR if w < 2 * width else cv2.INTER_AREA  # area costs five times as much and shows from 2
        image = cv2.resize(image, (width, max(1, round(h * width / w))), interpolation=kind)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)


def encode_mask(mask: NDArray[Any], colours: tuple[tuple[int, int, int], ...]) -> bytes:
    """A mask as a palette PNG whose values are the class ids; ids without a class are transparent.

    The transparency chunk always has 256 entries, so that a viewer hides a class by changing a byte in it.

    Args:
        mask: (H, W) uint8 class ids.
        colours: (r, g, b) by id.
    """
    h, w = mask.shape
    rows = np.empty((h, w + 1), np.uint8)
    rows[:, 0] = UP
    rows[0, 1:] = mask[0]
    np.subtract(mask[1:], mask[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 8, zlib.Z_RLE)
    data = packer.compress(rows.data) + packer.flush()
    size = _chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 3, 0, 0, 0))
    return b"".join((SIGNATURE, size, _palette(colours), _chunk(b"IDAT", data), _chunk(b"IEND", b"")))


@lru_cache(maxsize=16)
def _palette(colours: Sequence[tuple[int, int, int]]) -> bytes:
    """The chunks of colours and of transparency."""
    table = np.zeros((COLOURS, 3), np.uint8)
    alpha = np.zeros(COLOURS, np.uint8)
    known = min(len(colours), COLOURS)
    if known:
        table[:known], alpha[:known] = colours[:known], 255
    return _chunk(b"PLTE", table.tobytes()) + _chunk(b"tRNS", alpha.tobytes())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
