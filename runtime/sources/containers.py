"""How long a video file says that it is: a copy that stopped half-way ends before that."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def declared_bytes(path: Path) -> int | None:
    """The least size that the file's own headers ask for, or None where they do not say.

    Knows MP4 and MOV (top-level boxes), AVI (RIFF) and Matroska and WebM (the segment's size).
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
            if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"moof", b"styp"):
                return [end for _, end in _boxes(file)][-1]
            if head[:4] == b"RIFF":
                return int(8 + struct.unpack("<I", head[4:8])[0])
            if head[:4] == b"\x1a\x45\xdf\xa3":
                return _segment(file)
    except (OSError, struct.error, IndexError):
        pass
    return None


def box_names(path: Path) -> list[str]:
    """Names of an MP4's top-level boxes, e.g. `ftyp`, `moov`, `mdat`."""
    with path.open("rb") as file:
        return [name for name, _ in _boxes(file)]


def _boxes(file: BinaryIO) -> Iterator[tuple[str, int | None]]:
    """Name and end of each top-level box; the end is None for a box that goes on to the end of the file."""
    end = 0
    while True:
        file.seek(end)
        head = file.read(16)
        if len(head) < 8:
            return
        size = int(struct.unpack(">I", head[:4])[0])
        if size == 1 and len(head) == 16:
            size = int(struct.unpack(">Q", head[8:])[0])
        name = head[4:8].decode("latin-1")
        if size < 8:
            yield name, None
            return
        end += size
        yield name, end


def _segment(file: BinaryIO) -> int | None:
    """The end of the segment after the EBML header, unless its size is left open."""
    file.seek(4)
    size = _vint(file)
    if size is None:
        return None
    file.seek(size, 1)
    if file.read(4) != b"\x18\x53\x80\x67":
        return None
    size = _vint(file)
    return None if size is None else file.tell() + size


def _vint(file: BinaryIO) -> int | None:
    """EBML's number of variable length; None where all its bits are ones (not known)."""
    first = file.read(1)[0]
    length = 9 - first.bit_length()
    if not 1 <= length <= 8:
        return None
    value = int.from_bytes(bytes([first & ((1 << (8 - length)) - 1)]) + file.read(length - 1), "big")
    return None if value == (1 << (7 * length)) - 1 else value
