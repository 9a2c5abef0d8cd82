"""`gst:PIPELINE`: whatever GStreamer can read, e.g. a vendor's hardware decoder.

    gst:rtspsrc location=rtsp://camera/1 latency=0 ! rtph264depay ! nvv4l2decoder ! nvvidconv ! video/x-raw,format=BGRx

The pipeline is written as for `gst-launch-1.0`. What is missing at its end is added: conversion to BGR and an `appsink`
that never holds the pipeline up. A pipeline that has one of its own calls it `appsink name=epee`. OpenCV's wheels come
without GStreamer, so this goes through GStreamer's own Python bindings.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import DataError, SourceError
from ..pixels import Image
from ..timing import now_s
from . import Source
from .credentials import redact
from .live import Arrival, LiveSource
from .options import StreamOptions

SINK = "appsink name=epee max-buffers=4 drop=true sync=false"
CHANNELS = {"BGR": 3, "GRAY8": 1, "BGRx": 4, "BGRA": 4}
POLL_S = 0.1


def open_pipeline(text: str, *, options: StreamOptions, **_: object) -> Source:
    """Opens `gst:PIPELINE`.

    Raises:
        SourceError: no GStreamer here, a pipeline that is wrong, or one that gives no frame.
    """
    pipeline = text.removeprefix("gst:").strip()
    return LiveSource("gstreamer", f"pipeline '{redact(pipeline)}'", lambda: PipelineLink(pipeline, options), options)


class PipelineLink:
    """One run of a pipeline; see `live.Link`. It ends where the pipeline does (end of stream).

    Raises:
        SourceError: see `open_pipeline`.
    """

    def __init__(self, text: str, options: StreamOptions) -> None:
        self._gst = gst = _gstreamer()
        self._what, self._read_timeout_s = f"pipeline '{redact(text)}'", options.read_timeout_s
        self._stopping, self._complaint = threading.Event(), ""
        whole = completed(text)
        try:
            self._pipeline: Any = gst.parse_launch(whole)
        except Exception as error:  # GLib.Error, which is known only once gi is there
            raise SourceError(self._what, got=_said(error), expected="a pipeline as for gst-launch-1.0") from None
        self._sink = self._pipeline.get_by_name("epee")
        self._pipeline.set_state(gst.State.PLAYING)
        self._first: Any = self._pull(options.open_timeout_s)
        if self._first is None:
            got = self._error() or f"no frame within {options.open_timeout_s:g} s, or its end before the first"
            self.close()
            raise SourceError(f"{self._what} does not start", got=got, do="try it with gst-launch-1.0")
        info = self._first.get_caps().get_structure(0)
        rate = info.get_fraction("framerate")
        self.fps = rate[1] / rate[2] if rate[0] and rate[1] > 0 else None
        self.size_wh: tuple[int, int] | None = (info.get_value("width"), info.get_value("height"))

    def __iter__(self) -> Iterator[Arrival | None]:
        sample, self._first = self._first, None
        while not self._stopping.is_set():
            if sample is not None:
                yield Arrival(self._captured_s(sample), Sample(self._gst, sample))
            sample = self._pull(self._read_timeout_s)
            if sample is None and not self._stopping.is_set():
                if self._sink.is_eos() and not self._error():
                    return
                got = self._error() or f"no frame for {self._read_timeout_s:g} s"
                raise SourceError(f"{self._what} is lost", got=got, do="try it with gst-launch-1.0")

    def _pull(self, timeout_s: float) -> Any:
        """The next sample, or None after the time, at the end, after an error, or when it shall stop."""
        end_s = now_s() + timeout_s
        while not self._stopping.is_set():
            sample = self._sink.emit("try-pull-sample", int(POLL_S * self._gst.SECOND))
            if sample is not None or self._sink.is_eos() or now_s() > end_s or self._error():
                return sample
        return None

    def _captured_s(self, sample: Any) -> float:
        """Where the pipeline's clock is the system's monotonic one, the buffer's own time; else now."""
        arrived_s = now_s()
        stamp, segment = sample.get_buffer().pts, sample.get_segment()
        clock = self._pipeline.get_clock()
        if clock is None or stamp == self._gst.CLOCK_TIME_NONE:
            return arrived_s
        running = segment.to_running_time(self._gst.Format.TIME, stamp)
        ago_s = (clock.get_time() - self._pipeline.get_base_time() - running) / self._gst.SECOND
        return arrived_s - ago_s if 0 <= ago_s < 10 * self._read_timeout_s else arrived_s

    def _error(self) -> str:
        """What the pipeline complained of first, or ''."""
        message = None if self._complaint else self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        if message is not None:
            self._complaint = _said(message.parse_error()[0])
        return self._complaint

    def interrupt(self) -> None:
        """Ends the iteration within POLL_S."""
        self._stopping.set()

    def close(self) -> None:
        self._pipeline.set_state(self._gst.State.NULL)


class Sample:
    """Makes the BGR image of a sample when it is called; grey and four-channel frames come as they are."""

    def __init__(self, gst: Any, sample: Any) -> None:
        self._gst, self._sample = gst, sample

    def __call__(self) -> Image:
        info, buffer = self._sample.get_caps().get_structure(0), self._sample.get_buffer()
        name, w, h = info.get_value("format"), info.get_value("width"), info.get_value("height")
        if name not in CHANNELS:
            raise DataError("frame of a pipeline", got=f"format {name}", expected=", ".join(CHANNELS))
        ok, mapped = buffer.map(self._gst.MapFlags.READ)
        if not ok:
            raise DataError("frame of a pipeline", got="memory that cannot be read")
        try:
            rows = np.frombuffer(mapped.data, np.uint8)
            rows = rows[:rows.size // h * h].reshape(h, -1)[:, :w * CHANNELS[name]]  # rows are padded to 4 bytes
            image = rows.reshape(h, w, CHANNELS[name]).copy()
        finally:
            buffer.unmap(mapped)
        return image[..., 0] if name == "GRAY8" else image[..., :3].copy() if name == "BGRx" else image


def completed(text: str) -> str:
    """The pipeline with what is missing at its end.

    Raises:
        SourceError: it has an `appsink` that is not called `epee`.
    """
    if "appsink" not in text:
        return f"{text} ! videoconvert ! video/x-raw,format=BGR ! {SINK}"
    if not re.search(r"\bname=\"?epee\b", text):
        raise SourceError(f"pipeline '{redact(text)}'", got="an appsink without this name",
                          expected="appsink name=epee", do="or leave the appsink out: it is added")
    return text


def _gstreamer() -> Any:
    """GStreamer's Python bindings, started."""
    try:
        gi: Any = importlib.import_module("gi")
        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        gst: Any = importlib.import_module("gi.repository.Gst")
        importlib.import_module("gi.repository.GstApp")
    except (ImportError, ValueError, AttributeError) as error:
        raise SourceError("source 'gst:…' needs GStreamer's Python bindings", got=str(error).lower(),
                          do="install python3-gi, gir1.2-gst-plugins-base-1.0 and GStreamer's plugins, and make this "
                             "environment with --system-site-packages (or: pip install PyGObject)") from None
    gst.init(None)
    return gst


def _said(error: Any) -> str:
    return redact(str(getattr(error, "message", error)).replace("\n", " "))
