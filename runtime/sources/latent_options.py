"""What `latents:…` may say, and `epee generate` says in its place: LatentOptions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ..errors import ConfigError, SourceError, near

WAYS = ("walk", "seeds", "noise")
MOST_TRUNCATION, MOST_FPS = 2.0, 1000.0
Number = int | float


@dataclass(frozen=True)
class LatentOptions:
    """Which latents a generator gets, and how its pictures are shown.

    Attributes:
        way: `walk` (from keyframe to keyframe, see `walks.Walk`), `seeds` (independent ones, see `walks.Seeds`) or
            `noise` (what moves an animator, see `walks.Noise`).
        seed: 0 or more.
        walk_frames: frames from one keyframe to the next.
        loop: after so many frames a walk closes and begins anew, or noise repeats; 0 never.
        grid_wh: columns and rows.
        scale: how many times each picture is enlarged; 0 chooses what makes the whole 256 pixels high.
        enlarge: `nearest` or `cubic`.
        truncation: what the bundle's input of that name gets, above 0 to MOST_TRUNCATION; 1 changes nothing.
        label: names of classes, or their ids, or `all`, that are taken in turn, in a walk from leg to leg. None takes
            all in turn, too, but each place in the grid of a walk keeps its own.
        fps: frames a second of a video; with `pace` also how fast they come at most.
        pace: whether frames come no faster than that.

    Raises:
        ConfigError: a value that makes no sense.
    """

    way: str = "walk"
    seed: int = 0
    walk_frames: int = 30
    loop: int = 0
    grid_wh: tuple[int, int] = (1, 1)
    scale: int = 1
    enlarge: str = "nearest"
    truncation: float = 1.0
    label: tuple[str, ...] = ()
    fps: float = 30.0
    pace: bool = False

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("walk_frames", 1), ("loop", 0), ("scale", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"latents: '{spelled(name)}'", got=getattr(self, name), expected=f"{least} or more")
        if not 0 < self.truncation <= MOST_TRUNCATION:
            raise ConfigError("latents: 'truncation'", got=self.truncation,
                              expected=f"above 0, at most {MOST_TRUNCATION:g}; 1 changes nothing")
        if not 0 < self.fps <= MOST_FPS:
            raise ConfigError("latents: 'fps'", got=self.fps, expected=f"above 0, at most {MOST_FPS:g}")
        if self.loop and self.way == "seeds":
            raise ConfigError("latents: 'loop' of independent seeds", got=self.loop, expected="a walk or noise",
                              do="leave one of the two out")

    def text(self) -> str:
        """As `open_source` takes it: `latents:walk?seed=7&grid=8x8`; what is as always is left out."""
        plain = type(self)(self.way)
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        words = [(spelled(name), _WRITE.get(name, str)(value)) for name, value in said.items()
                 if value != getattr(plain, name)]
        return f"latents:{self.way}" + (f"?{urlencode(words, safe=',')}" if words else "")


def parse(text: str, seed: int = 0) -> LatentOptions:
    """Reads `latents:walk?seed=7&grid=8x8`.

    Args:
        seed: taken where the text says none.

    Raises:
        SourceError: no such way or option, or a value that is none.
        ConfigError: a value that makes no sense.
    """
    way, _, query = text.removeprefix("latents:").partition("?")
    if way not in WAYS:
        raise SourceError(f"source '{text}'", got=f"no way '{way}'",
                          expected=" or ".join(f"latents:{name}" for name in WAYS), do=near(way, list(WAYS)))
    values: dict[str, Any] = {"seed": seed}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _READ:
            raise SourceError(f"source '{text}': option '{key}'", got="no such option", expected=", ".join(_READ),
                              do=near(key, list(_READ)))
        name, read, expected = _READ[key]
        try:
            values[name] = read(value)
        except ValueError:
            raise SourceError(f"source '{text}': option '{key}'", got=repr(value), expected=expected) from None
    return LatentOptions(way, **values)


def parse_grid(text: str) -> tuple[int, int]:
    """`8x4` -> (8, 4), columns first. Raises ValueError for anything else; 0 is for `Grid` to refuse."""
    if not re.fullmatch(r"\d+x\d+", text):
        raise ValueError(text)
    columns, _, rows = text.partition("x")
    return int(columns), int(rows)


def spelled(name: str) -> str:
    """A field as texts and the command spell it: `grid_wh` is `grid`, `walk_frames` is `walk-frames`."""
    return name.removesuffix("_wh").replace("_", "-")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


def _names(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


_READ: Mapping[str, tuple[str, Callable[[str], Any], str]] = {spelled(name): (name, read, expected) for
                                                               name, read, expected in (
    ("seed", int, "a whole number"), ("walk_frames", int, "a whole number"), ("loop", int, "a number of frames"),
    ("grid_wh", parse_grid, "COLUMNSxROWS, e.g. 8x8"), ("scale", int, "a whole number"),
    ("enlarge", str, "nearest or cubic"), ("truncation", _finite, "a number"), ("label", _names, "names, with commas"),
    ("fps", _finite, "a number"), ("pace", _flag, "0 or 1"))}
_WRITE: Mapping[str, Callable[[Any], str]] = {
    "grid_wh": lambda wh: f"{wh[0]}x{wh[1]}", "label": ",".join, "pace": lambda on: str(int(on)),
    "truncation": "{:.9g}".format, "fps": "{:.9g}".format}
