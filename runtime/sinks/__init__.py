"""Sinks: where results go. One file each, one line each in SINKS.

`open_sink` gives a `Sink`: a context manager with `write(result)`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import SinkError, near
from ..frames import Result
from ..manifest import Manifest

if TYPE_CHECKING:
    from ..sources import Status

SINKS: dict[str, str] = {
    "window": "epee.runtime.sinks.window:WindowSink",
    "mp4": "epee.runtime.sinks.mp4:Mp4Sink",
    "recording": "epee.runtime.sinks.recording:RecordingSink",
    "masks": "epee.runtime.sinks.pictures:MasksSink",
    "png": "epee.runtime.sinks.pictures:PngSink",
    "jsonl": "epee.runtime.sinks.jsonl:JsonlSink",
    "web": "epee.runtime.sinks.web:WebSink",
    "mqtt": "epee.runtime.sinks.mqtt:MqttSink",
    "null": "epee.runtime.sinks.null:NullSink",
}
"""Kind -> module:class, called with the target and a SinkInfo. Nothing is imported before it is asked for."""

SPELLINGS = "window, FILE.mp4, masks:DIR, png:DIR, jsonl:FILE, web:PORT, mqtt:HOST/TOPIC, null or null:overlay"
PLACES = {"masks": "DIR", "png": "DIR", "jsonl": "FILE", "web": "[HOST:]PORT", "mqtt": "HOST/TOPIC"}
"""What has to stand behind the colon, by kind."""
WRITES = ("mp4", "masks", "png", "jsonl")
"""Kinds whose target is a place on disk as it stands."""


@dataclass(frozen=True)
class SinkInfo:
    """What a sink may want to know before the first result.

    Attributes:
        source: the source's name; replaces `{source}` in a target.
        manifest: the model's description.
        fps: the source's rate, or None.
        live: whether the source comes at its own pace.
        path: the file or folder that the source reads, or ''.
        backend, device, precision: what computes, or ''.
        status: gives the source's state and counters at any time, from any thread; or None.
    """

    source: str
    manifest: Manifest
    fps: float | None = None
    live: bool = False
    path: str = ""
    backend: str = ""
    device: str = ""
    precision: str = ""
    status: Callable[[], Status] | None = None


class SinkEnd(Exception):  # noqa: N818 - it is no error
    """Raised by `write` when the person at a sink ends the run, e.g. by Esc in the window."""


class Sink(Protocol):
    """Takes results in order; a context manager.

    Attributes:
        kind: a key of SINKS, the name of its stage in reports.
        target: the file or folder it writes, or ''.
        files: what it has written so far and not deleted again.
    """

    kind: str
    target: str

    @property
    def files(self) -> list[str]: ...

    def prepare(self, result: Result) -> None:
        """Does what is expensive and needs no order, e.g. draws or encodes, and leaves it in the result.

        Called before `write` on a worker thread, for several results at a time. May be left out: `write` does it then.
        """
        ...

    def write(self, result: Result) -> None:
        """Takes one result, always on the same thread. Raises SinkError where it cannot, SinkEnd to end the run."""
        ...

    def lost(self, status: Status) -> None:
        """Called on the thread that writes when the source's state changes: lost, live again, ended.

        While there is no picture it is called again once a second, with the same `since_s`, so that what is shown or
        recorded neither freezes nor stops.
        """
        ...

    def close(self) -> None:
        """Finishes what was written; a second call does nothing. Raises SinkError where that fails."""
        ...

    def __enter__(self) -> Sink: ...
    def __exit__(self, *exc: object) -> None: ...


class Opened:
    """What every sink has; see Sink. A sink sets `kind` and overrides `write`."""

    kind: str

    def __init__(self, target: str = "") -> None:
        self.target = target

    def prepare(self, result: Result) -> None:
        """Nothing to prepare."""

    @property
    def files(self) -> list[str]:
        """Its target, where it has one."""
        return [self.target] if self.target else []

    def write(self, result: Result) -> None:
        """Takes one result."""
        raise NotImplementedError

    def lost(self, status: Status) -> None:
        """Nothing to show where there is no picture."""

    def close(self) -> None:
        """Nothing to finish."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def failed(self, error: OSError, do: str = "name another place") -> SinkError:
        """The error to raise where writing failed."""
        import errno

        if error.errno == errno.ENOSPC:
            do = "free some space; what was written so far is kept"
        return SinkError(f"sink '{self.kind}' cannot write '{error.filename or self.target}'",
                         got=(error.strerror or str(error)).lower(), do=do)


def open_sink(text: str, info: SinkInfo) -> Sink:
    """Opens a sink: `window`, `FILE.mp4`, `masks:DIR`, `png:DIR`, `jsonl:FILE`, `web:PORT`, `null` …; see SPELLINGS.

    Raises:
        SinkError: no such kind, a place that cannot be written, or one that the source is read from.
    """
    kind, target = parse_sink(text)
    target = target.replace("{source}", slug(info.source))
    if kind in WRITES and info.path and Path(target).resolve() == Path(info.path).resolve():
        raise SinkError(f"sink '{text}'", got="the place that the source is read from", expected="another place",
                        do="it would overwrite what it reads")
    module, _, name = SINKS[kind].partition(":")
    sink: Sink = getattr(importlib.import_module(module), name)(target, info)
    return sink


def parse_sink(text: str) -> tuple[str, str]:
    """Splits a sink's text into its kind, a key of SINKS, and its target.

    Raises:
        SinkError: no such kind.
    """
    kind, colon, target = text.partition(":")
    if kind in PLACES:
        if not target:
            raise SinkError(f"sink '{text}'", got="no place", expected=f"{kind}:{PLACES[kind]}")
        return kind, target
    if text in ("window", "null", "null:overlay"):
        return kind, target
    file, asked, _ = text.partition("?")
    suffix = Path(file).suffix.lower()
    if suffix == ".mp4":
        return "recording" if asked else "mp4", text
    if suffix and not (colon and kind.isalpha()):
        raise SinkError(f"sink '{text}'", got=f"a file ending in {suffix}", expected=SPELLINGS,
                        do="videos are written as .mp4")
    raise SinkError(f"sink '{text}'", got="no such sink", expected=SPELLINGS, do=near(kind, list(SINKS)))


def slug(name: str) -> str:
    """A source's name as part of a file name."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "source"
