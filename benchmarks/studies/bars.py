"""A frame's number and the wall clock as black and white blocks in the picture, so that they survive a codec.

What a sink reads back says how old a frame is and which are missing, whatever queues between: encoder, network,
decoder, reader. Only the standard library, since the server that draws them runs in the system's Python.

Three rows of 20 blocks at the top left: 20 bits of the number, 28 bits of milliseconds, 12 bits to check both by.
"""

from __future__ import annotations

import time
from typing import Any

COLUMNS, ROWS = 20, 3
NUMBER_BITS, CLOCK_BITS, CHECK_BITS = 20, 28, 12
WHITE, BLACK = 224, 32


def wall_ms() -> int:
    """The wall clock in milliseconds, as far as it fits into a picture (it wraps after three days)."""
    return int(1e3 * time.time()) % (1 << CLOCK_BITS)


def block_px(width: int) -> int:
    """Side of a block in a picture of this width."""
    return max(4, width // COLUMNS // 2 * 2)


def draw(luma: bytearray, width: int, number: int, ms: int) -> None:
    """Draws the bars into a plane of brightness.

    Args:
        luma: height x width bytes, row by row; written into.
        width: of the picture, at least 80.
        number: of the frame; counted modulo 2^20.
        ms: see `wall_ms`.
    """
    side, bits = block_px(width), _bits(number % (1 << NUMBER_BITS), ms)
    for row in range(ROWS):
        line = b"".join(bytes([WHITE if bit else BLACK]) * side for bit in bits[row * COLUMNS:(row + 1) * COLUMNS])
        for y in range(row * side, (row + 1) * side):
            luma[y * width:y * width + len(line)] = line


def read(image: Any) -> tuple[int, int] | None:
    """Number and milliseconds in a picture, or None where there are no whole bars.

    Args:
        image: (H, W, 3) uint8, BGR.
    """
    side = block_px(image.shape[1])
    value = 0
    for i in range(ROWS * COLUMNS):
        y, x = i // COLUMNS * side, i % COLUMNS * side
        value = value << 1 | int(image[y + side // 4:y + 3 * side // 4, x + side // 4:x + 3 * side // 4].mean() > 128)
    body, check = value >> CHECK_BITS, value & ((1 << CHECK_BITS) - 1)
    number, ms = body >> CLOCK_BITS, body & ((1 << CLOCK_BITS) - 1)
    return (number, ms) if check == _check(number, ms) else None


def age_ms(ms: int) -> float:
    """Milliseconds since a picture was drawn."""
    half = 1 << (CLOCK_BITS - 1)
    return float((wall_ms() - ms + half) % (2 * half) - half)


def _bits(number: int, ms: int) -> list[int]:
    value = (number << CLOCK_BITS | ms) << CHECK_BITS | _check(number, ms)
    return [value >> i & 1 for i in reversed(range(NUMBER_BITS + CLOCK_BITS + CHECK_BITS))]


def _check(number: int, ms: int) -> int:
    """Twelve bits that no black, white or half-decoded picture has by chance."""
    return ((number << CLOCK_BITS | ms) * 2654435761 >> 13 & 0xFFF) ^ 0xA5A
