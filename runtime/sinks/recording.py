"""`FILE.mp4?every=10min&size=500MB&keep=20GB`: a recording in parts, of which the oldest are deleted under a cap.

The name may hold strftime's letters for the time at which a part begins, e.g. `yard-%Y%m%d-%H%M%S.mp4`; without any,
`-%Y%m%d-%H%M%S` is put before the ending.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from ..errors import SinkError, near
from ..frames import Result
from ..pixels import Image
from . import Opened, SinkInfo
from .mp4 import Mp4Sink

if TYPE_CHECKING:
    from ..sources import Status

STAMP = "-%Y%m%d-%H%M%S"
DIGITS = {"Y": r"\d{4}", "m": r"\d\d", "d": r"\d\d", "H": r"\d\d", "M": r"\d\d", "S": r"\d\d", "y": r"\d\d",
          "j": r"\d{3}"}
"""strftime's letters that may stand in a name, and what they become."""
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
BYTES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
LOOK_S = 1.0
"""How often the parts' sizes are looked at."""


@dataclass(frozen=True)
class Parts:
    """When a part ends, and how much stays.

    Attributes:
        every_s: seconds that a part lasts, or None.
        size: bytes that a part may take, or None; it may take a second more.
        keep: bytes that all parts may take together, or None; above it the oldest are deleted.
    """

    every_s: float | None = None
    size: int | None = None
    keep: int | None = None


class RecordingSink(Opened):
    """A video in parts, each an mp4 as `Mp4Sink` writes it.

    Only files of this recording's own name pattern in its own folder are ever deleted, those of earlier runs included,
    and never the part that is being written.
    """

    kind = "recording"

    def __init__(self, target: str, info: SinkInfo) -> None:
        name, _, options = target.partition("?")
        super().__init__(name if "%" in name else str(Path(name).with_suffix("")) + STAMP + Path(name).suffix)
        self._limits = parse_parts(target, options)
        self._pattern = pattern(self.target)
        self._info = info
        self._last: Image | None = None
        self._begun_s, self._look_s, self._taken = 0.0, 0.0, set[Path]()
        self._part: Mp4Sink | None = self._begin()

    @property
    def files(self) -> list[str]:
        """The parts of this run that are still there."""
        return [str(path) for path in sorted(self._taken) if path.exists()]

    def prepare(self, result: Result) -> None:
        part = self._part
        if part is not None:
            part.prepare(result)

    def write(self, result: Result) -> None:
        self._open_part().write(result)

    def lost(self, status: Status) -> None:
        self._open_part().lost(status)

    def close(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.close()
            self._prune()

    def _open_part(self) -> Mp4Sink:
        """The part to write to: a new one where the old one is long or large enough."""
        now, limits = time.monotonic(), self._limits
        if self._part is not None and now >= self._look_s:
            self._look_s = now + LOOK_S
            self._prune()
            size = _size(Path(self._part.target))
            if limits.size is not None and size >= limits.size:
                self._end()
        if self._part is not None and limits.every_s is not None and now - self._begun_s >= limits.every_s:
            self._end()
        if self._part is None:
            self._part = self._begin()
        return self._part

    def _begin(self) -> Mp4Sink:
        path = Path(datetime.now().strftime(self.target))
        count = 1
        while path.exists() or path in self._taken:  # a second part in one second
            count += 1
            path = Path(datetime.now().strftime(self.target))
            path = path.with_stem(f"{path.stem}_{count}")
        self._taken.add(path)
        self._begun_s = time.monotonic()
        part = Mp4Sink(str(path), self._info)
        part.last = self._last
        return part

    def _end(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            self._last = part.last
            part.close()
            self._taken = {path for path in self._taken if path.exists()}

    def _prune(self) -> None:
        """Deletes the oldest parts until all together are within the cap."""
        if self._limits.keep is None:
            return
        folder = Path(self.target).parent
        parts = sorted((p for p in folder.iterdir() if self._pattern.fullmatch(p.name) and p.is_file()), key=_age)
        total = sum(map(_size, parts))
        for path in parts:
            if total <= self._limits.keep:
                return
            if self._part is not None and path == Path(self._part.target):
                continue
            total -= _size(path)
            path.unlink(missing_ok=True)


def parse_parts(text: str, options: str) -> Parts:
    """Reads `every=10min&size=500MB&keep=20GB`.

    Raises:
        SinkError: an unknown option, a value without a unit, or a cap and nothing that ends a part.
    """
    values: dict[str, Any] = {}
    known = {"every": ("every_s", SECONDS), "size": ("size", BYTES), "keep": ("keep", BYTES)}
    for key, value in parse_qsl(options, keep_blank_values=True):
        if key not in known:
            raise SinkError(f"sink '{text}': option '{key}'", got="no such option", expected=", ".join(known),
                            do=near(key, list(known)))
        field, units = known[key]
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]+)", value)
        if found is None or found[2] not in units or not float(found[1]):
            raise SinkError(f"sink '{text}': '{key}'", got=repr(value),
                            expected=f"a number above 0 and one of {', '.join(units)}, e.g. {key}=10{list(units)[1]}")
        amount = float(found[1]) * units[found[2]]
        values[field] = amount if field == "every_s" else int(amount)
    parts = Parts(**values)
    if parts.every_s is None and parts.size is None:
        raise SinkError(f"sink '{text}'", got="nothing that ends a part", expected="every=10min or size=500MB",
                        do="keep=… alone cannot delete the only file")
    if parts.keep is not None:  # a part that alone is over the cap could never be deleted
        parts = replace(parts, size=min(parts.size or parts.keep, max(1, parts.keep // 2)))
    return parts


def pattern(target: str) -> re.Pattern[str]:
    """What the names of a recording's parts look like.

    Raises:
        SinkError: a letter behind % that is not one of DIGITS, or a folder that changes with the time.
    """
    path = Path(target)
    if "%" in str(path.parent):
        raise SinkError(f"sink '{target}'", got="a time in the folder's name", expected="it in the file's name only")
    text = ""
    for part in re.findall(r"%.?|[^%]+", path.stem):
        if not part.startswith("%"):
            text += re.escape(part)
        elif part[1:] in DIGITS:
            text += DIGITS[part[1:]]
        else:
            raise SinkError(f"sink '{target}': {part}", got="no time that can be told from others",
                            expected=", ".join(f"%{letter}" for letter in DIGITS))
    return re.compile(text + r"(_\d+)?" + re.escape(path.suffix))


def _size(path: Path) -> int:
    try:
        return os.path.getsize(path)
    except OSError:  # deleted meanwhile
        return 0


def _age(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, path.name
    except OSError:
        return 0.0, path.name
