"""Sources: where frames come from. One file each, one line each in SOURCES.

`open_source` gives a `Source`: a context manager to iterate over. What a source is follows from its text: a number or
`/dev/video…` is a camera, `rtsp://…` and `http://…` are streams, `gst:…` is a GStreamer pipeline, `synthetic:…` is
drawn, `latents:…` is what a generator makes pictures of, and the rest are paths: a folder of pictures, a picture, or a
video.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from ..errors import SourceError, near
from ..frames import Frame, frame_spec
from ..manifest import Manifest
from ..picture_files import PICTURES
from ..pixels import Image, expand
from .credentials import redact as redact
from .options import StreamOptions as StreamOptions
from .status import LIVE, Tally
from .status import Status as Status

SOURCES: dict[str, str] = {
    "camera": "epee.runtime.sources.camera:open_camera",
    "stream": "epee.runtime.sources.network:open_stream",
    "gstreamer": "epee.runtime.sources.gstreamer:open_pipeline",
    "synthetic": "epee.runtime.sources.synthetic:SyntheticSource",
    "latents": "epee.runtime.sources.latent:open_latents",
    "folder": "epee.runtime.sources.pictures:FolderSource",
    "image": "epee.runtime.sources.pictures:ImageSource",
    "video": "epee.runtime.sources.video:VideoSource",
}
"""Kind -> module:callable, called with the text and with `seed`, `size_wh`, `manifest` and `options`; imported when it
is asked for."""

STREAMS = ("rtsp", "rtsps", "http", "https")


class Source(Protocol):
    """Frames in order, to be iterated once; a context manager.

    Iterating raises SourceError after the last good frame where something is missing: nothing that could be read is
    lost. `next` may be called from changing threads, but from one at a time.

    A live source hands out the newest frame, and a frame only once; `next` waits where there is none, also while the
    source is lost, for it comes back by itself: `status` tells. `close`, from whichever thread, ends that waiting.

    Attributes:
        name: short, without folders and credentials, e.g. `drive` for `clips/drive.mp4`.
        path: the file or folder it reads, or ''.
        fps: the rate it was recorded at or comes at, or None.
        live: whether frames come at their own pace and old ones are worthless.
        count: how many frames to expect, or None where it is endless or not known.
        period: after how many frames an endless one begins anew, or None where it never does.
        size_wh: width and height of its frames, or None where they differ or are not known yet; a live source's may
            change when it comes back.
        status: state and counters; may be asked from any thread.
    """

    name: str
    path: str
    fps: float | None
    live: bool
    count: int | None
    period: int | None
    size_wh: tuple[int, int] | None

    @property
    def status(self) -> Status: ...
    def __iter__(self) -> Iterator[Frame]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Source: ...
    def __exit__(self, *exc: object) -> None: ...


class Opened:
    """What every source has; see Source. A source sets what it knows and overrides `__iter__` and `close`."""

    def __init__(self, name: str, *, path: str = "", fps: float | None = None, live: bool = False,
                 count: int | None = None, size_wh: tuple[int, int] | None = None) -> None:
        self.name, self.path, self.fps, self.live = name, path, fps, live
        self.count, self.size_wh = count, size_wh
        self.period: int | None = None
        self._noticed = False
        self._tally = Tally(LIVE)

    @property
    def status(self) -> Status:
        """State and counters at this moment."""
        return self._tally.status

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError

    def close(self) -> None:
        """Frees what is open; a second call does nothing."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def bgr(self, image: Image) -> Image:
        """The image as (H, W, 3) uint8 BGR; says on standard error, once a source, that it had to be made so."""
        expanded = expand(image)
        if expanded is not image and not self._noticed:
            self._noticed = True
            shape = "x".join(map(str, image.shape))
            notice(f"source '{self.name}': frames such as {shape} {image.dtype} are expanded to BGR, 8 bits")
        return expanded


def open_source(text: str | int | os.PathLike[str], *, seed: int = 0, size_wh: tuple[int, int] | None = None,
                manifest: Manifest | None = None, options: StreamOptions | None = None) -> Source:
    """Opens a source.

    Args:
        text: see this module's first lines; also an int for a camera.
        seed: what a synthetic source starts from, where its text does not say.
        size_wh: width and height that a synthetic source draws, where its text does not say; None takes the model's.
        manifest: of the model that takes the frames; `latents:…` needs it.
        options: what cameras and network streams are opened with; None takes the defaults.

    Raises:
        SourceError: nothing there, nothing that can be read, or no such kind.
        DataError: the model takes something else.
        ConfigError: credentials or a hardware decoder that are not there.
    """
    text = str(text)
    kind = kind_of(text)
    module, _, name = SOURCES[kind].partition(":")
    if manifest is not None and kind != "latents":
        size_hw = frame_spec(manifest).size_hw
        size_wh = size_wh or (size_hw and (size_hw[1], size_hw[0]))
    source: Source = getattr(importlib.import_module(module), name)(text, seed=seed, size_wh=size_wh, manifest=manifest,
                                                                    options=options or StreamOptions())
    return source


def kind_of(text: str) -> str:
    """The kind, a key of SOURCES, that a source's text names.

    Raises:
        SourceError: an unknown scheme, or a path where nothing is.
    """
    if text.isdecimal() or re.fullmatch(r"/dev/video\d+", text):
        return "camera"
    if text.startswith("synthetic:"):
        return "synthetic"
    if text.startswith("latents:"):
        return "latents"
    if text.startswith("gst:"):
        return "gstreamer"
    if "://" in text:
        scheme = text.partition("://")[0].lower()
        if scheme in STREAMS:
            return "stream"
        raise SourceError(f"source of scheme '{redact(scheme)}://'", got="no such scheme",
                          expected="rtsp://, http://, gst:, a path, a camera's number or synthetic:street",
                          do=near(scheme, list(STREAMS)) if scheme != "file" else "give the bare path")
    path = Path(text)
    if path.is_dir():
        return "folder"
    if not path.exists():
        raise SourceError(f"source '{redact(text)}'", got="nothing there",
                          expected="a video, picture, folder, camera number, rtsp:// or synthetic:street",
                          do=f"the folder {path.parent} does not exist" if not path.parent.is_dir() else "")
    return "image" if path.suffix.lower() in PICTURES else "video"


def notice(text: str) -> None:
    """One line on standard error that is no error."""
    print(f"epee: {text}", file=sys.stderr, flush=True)
