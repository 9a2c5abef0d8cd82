"""Keeps a process that streams for days from growing: the C library's heaps.

glibc gives threads heaps of their own, up to eight a core. Frames that one thread allocates and another one frees leave
holes in each of them, and resident memory climbs for minutes until all have grown to the most that was ever alive in
them; two heaps for all threads hold it nearly level, at no measurable cost, since frames are few and large. What stays
free in the holes is given back once a minute.
"""

from __future__ import annotations

import ctypes
import os

from .timing import now_s

HEAPS, TIDY_S = 2, 60.0
_ARENA_MAX = -8
"""mallopt's M_ARENA_MAX, from malloc.h."""


def bound_heaps() -> bool:
    """Lets all threads that start from now on share HEAPS heaps; gives whether that was done.

    Elsewhere than on glibc, and where MALLOC_ARENA_MAX says otherwise, nothing happens. It holds for the whole process,
    so it is the command's business, not the library's.
    """
    if "MALLOC_ARENA_MAX" in os.environ or not _is_glibc():
        return False
    return bool(ctypes.CDLL(None).mallopt(_ARENA_MAX, HEAPS))


class Tidying:
    """Gives memory that the heaps hold free back to the system, every TIDY_S; called often, between two frames.

    It takes a few milliseconds then. Elsewhere than on glibc nothing happens.
    """

    def __init__(self) -> None:
        self._due_s = now_s() + TIDY_S
        self._trim = ctypes.CDLL(None).malloc_trim if _is_glibc() else None

    def __call__(self) -> None:
        if self._trim is not None and now_s() >= self._due_s:
            self._trim(0)
            self._due_s = now_s() + TIDY_S


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):
        return False
