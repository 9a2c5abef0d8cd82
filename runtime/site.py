"""`site.toml`: which cameras there are, what looks at each, and where what it sees goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import ConfigError, EpeeError, near
from .settings import from_dict, read_toml
from .sinks import PLACES, parse_sink, slug
from .sources import StreamOptions
from .tiles import Tiles

MOSAIC = "mosaic:"
SHARED = ("web", "null")
"""Kinds of sinks that several cameras may name with the same text."""


@dataclass(frozen=True)
class Camera:
    """One source, the bundle that looks at it and its sinks.

    Attributes:
        source: what `open_source` takes.
        bundle: a bundle's folder, or the name of one that ships. Cameras with the same bundle, backend, precision and
            threads share one session.
        name: replaces `{source}` in sinks and is what reports and pages call it; '' takes the source's own name.
        sinks: what `open_sink` takes each, or `mosaic:` and such a sink: one picture of all cameras that name it.
        backend, precision, threads: see `open_model`.
        max_age_ms: older frames are dropped and counted; None drops none.
        smooth: whether masks are smoothed over time, see `smoothing`.
        tile: whether frames of another size than the network's go through in tiles, see `tiles`.
        overlap: pixels that tiles share at least; says `tile`, too. None takes what the network needs.
        rtsp, open_timeout_s, read_timeout_s, give_up_s, hardware, credentials: see `StreamOptions`.
        seed: of a synthetic source or of latents.
        frames, seconds: limits; None is none.
    """

    source: str
    bundle: str
    name: str = ""
    sinks: tuple[str, ...] = ("null",)
    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0
    max_age_ms: float | None = None
    smooth: bool = False
    tile: bool = False
    overlap: int | None = None
    rtsp: str = "tcp"
    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0
    give_up_s: float | None = None
    hardware: str = ""
    credentials: str = ""
    seed: int = 0
    frames: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for text in self.sinks:
            parse_sink(text.removeprefix(MOSAIC))
        if len(set(self.sinks)) < len(self.sinks):
            raise ConfigError("sinks", got="the same one twice", expected="different ones", do="leave one out")
        for name, least in (("threads", 0), ("max_age_ms", 0), ("frames", 1), ("seconds", 0), ("overlap", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"'{name}'", got=value, expected=f"{least} or more")

    @property
    def tiles(self) -> Tiles | None:
        """How its frames go through in tiles; None leaves it to the bundle."""
        return Tiles(self.overlap) if self.tile or self.overlap is not None else None

    def stream_options(self, wait: bool) -> StreamOptions:
        """How its source is opened; with `wait`, one that is not there yet is waited for."""
        return StreamOptions(self.rtsp, self.open_timeout_s, self.read_timeout_s, self.give_up_s, wait, self.hardware,
                             self.credentials)


def read_site(path: Path, given: Mapping[str, Any] | None = None) -> tuple[Camera, ...]:
    """Reads the cameras of a site: `[defaults]`, and a `[[camera]]` table each.

    Folders and files are relative to the working folder, as on the command line.

    Args:
        given: fields that hold for every camera, whatever the file says.

    Raises:
        ConfigError: no such file, no camera, an unknown key, a name twice, or sinks that would overwrite each other.
    """
    data = read_toml(path, "site")
    for key in data:
        if key not in ("defaults", "camera"):
            raise ConfigError(f"{path}: unknown table '{key}'", expected="[defaults] and [[camera]]",
                              do=near(key, ["defaults", "camera"]))
    tables = data.get("camera")
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"site '{path}'", got="no camera", expected="a table [[camera]] for each, with name, source, "
                          "bundle and sinks")
    defaults = data.get("defaults", {})
    if not isinstance(defaults, Mapping) or not all(isinstance(table, Mapping) for table in tables):
        raise ConfigError(f"site '{path}'", expected="[defaults] once, [[camera]] for each camera")
    cameras = [_camera({**defaults, **table, **(given or {})}, f"{path}: camera {table.get('name', i + 1)}")
               for i, table in enumerate(tables)]
    return checked(cameras)


def checked(cameras: list[Camera]) -> tuple[Camera, ...]:
    """The cameras, if their names and sinks go together.

    Raises:
        ConfigError: two cameras of one name, or a place that two would write.
    """
    for name, count in Counter(slug(c.name) for c in cameras if c.name).items():
        if count > 1:
            raise ConfigError(f"camera '{name}'", got=f"{count} of that name", expected="a name of its own for each")
    texts = Counter(text for camera in cameras for text in set(camera.sinks))
    for text, count in texts.items():
        if count == 1 or text.startswith(MOSAIC) or parse_sink(text)[0] in SHARED or "{source}" in text:
            continue
        if text == "window":
            raise ConfigError("sink 'window'", got=f"{count} cameras", expected="one",
                              do="mosaic:window shows all of them in one window")
        raise ConfigError(f"sink '{text}'", got=f"{count} cameras that would write it", expected="a place for each",
                          do=f"put {{source}} into it, e.g. {_with_source(text)}")
    if len(cameras) == 1 and any(text.startswith(MOSAIC) for text in texts):
        raise ConfigError("sink 'mosaic:…'", got="one camera", expected="several", do="leave mosaic: out")
    return tuple(cameras)


def _camera(values: Mapping[str, Any], where: str) -> Camera:
    try:
        return from_dict(Camera, values, where)
    except EpeeError as error:
        if error.what.startswith(where):
            raise
        raise ConfigError(f"{where}: {error.what}", got=error.got, expected=error.expected, do=error.do) from None


def _with_source(text: str) -> str:
    kind, _, target = text.partition(":")
    if kind in PLACES:
        place = Path(target)
        return f"{kind}:{place.with_stem(place.stem + '-{source}')}"
    path = Path(text)
    return str(path.with_stem(path.stem + "-{source}"))


def several(sources: list[str], camera: Camera) -> tuple[Camera, ...]:
    """A camera for each source, all as the given one."""
    return checked([replace(camera, source=source) for source in sources])
