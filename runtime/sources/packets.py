"""PacketLink: a live stream through PyAV, packet by packet, so that nothing waits unseen in a queue.

Every packet is decoded as it comes (by one thread or by slices; frame threads would each hold back a frame), but only
the frame that is taken is converted to BGR. Where decoding is slower than the stream, only key frames are decoded until
it has caught up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import SourceError, need
from ..pixels import Image
from ..timing import cpus, now_s
from . import notice
from .clock import CaptureClock
from .credentials import Address
from .hardware import accelerator
from .live import Arrival
from .network import CHECK, open_container, why
from .options import StreamOptions

WAITED_S = 0.004
"""A packet that took so long to come was not lying ready."""
FLUSHED = 0.95
"""What comes after this share of the time limit is the last frame before the silence, which FFmpeg's parser held."""
SETTLE_S = 0.5
"""After so long even a stream whose packets always lie ready is taken as it is."""
MOST_THREADS = 4
ENDLESS = ("hls", "mpjpeg", "mpegts", "flv", "live_flv", "rtsp")
"""Formats that are live unless the server says how many bytes they have."""


class PacketLink:
    """One connection; see `live.Link`.

    Attributes:
        container, video: PyAV's.
        recorded: whether it has an end, as a file behind HTTP has.

    Raises:
        SourceError: it does not open, or holds no picture.
        ConfigError: a hardware decoder that is not there.
    """

    def __init__(self, address: Address, options: StreamOptions) -> None:
        self._av: Any = need("av")
        self._address, self._read_timeout_s = address, options.read_timeout_s
        self.container = open_container(address, options, accelerator(options.hardware))
        if not self.container.streams.video:
            self.close()
            raise SourceError(f"stream '{address.shown}' does not open", got="no picture in it", do=CHECK)
        self.video = self.container.streams.video[0]
        decoder = self.video.codec_context
        if not options.hardware:
            decoder.thread_type, decoder.thread_count = "SLICE", max(1, min(MOST_THREADS, cpus()))
        rate = self.video.average_rate or self.video.guessed_rate
        self.fps = float(rate) if rate and 0 < rate <= 1000 else None
        self.size_wh = (decoder.width, decoder.height) if decoder.width and decoder.height else None
        live = any(name in ENDLESS for name in self.container.format.name.split(","))
        self.recorded = self.container.duration is not None and not (live and self.container.size <= 0)
        self._stopped = False

    def __iter__(self) -> Iterator[Arrival | None]:
        clock, pace = CaptureClock(), Pace(self._address.name)
        for packet, arrived_s, waited_s in self._packets():
            if packet.is_corrupt:
                yield None
            clock.arrived(_stamp_s(packet), arrived_s)
            late = pace.late(waited_s)
            pace.choose(self.video.codec_context, packet.is_keyframe, now_s() - clock.captured_s(_stamp_s(packet)))
            start = time.perf_counter()
            try:
                frames = packet.decode()
            except self._av.error.FFmpegError:
                yield None
                continue
            decode_ms = 1e3 * (time.perf_counter() - start)
            for frame in frames:
                if frame.is_corrupt:
                    yield None
                    continue
                yield Arrival(clock.captured_s(_stamp_s(frame)), _Converted(frame), decode_ms, late)

    def _packets(self) -> Iterator[tuple[Any, float, float]]:
        """Packets of the picture, when each came, and how long it was waited for.

        Sound is read too, and thrown away: a sound track that goes on must not hide a picture that stopped.
        """
        heard_s = asked_s = now_s()
        try:
            for packet in self.container.demux():
                arrived_s = now_s()
                if self._stopped:
                    return
                if arrived_s - asked_s > FLUSHED * self._read_timeout_s:
                    raise self._lost(f"no answer within {self._read_timeout_s:g} s")
                if packet.stream_index == self.video.index and packet.size:
                    heard_s = arrived_s
                    yield packet, arrived_s, arrived_s - asked_s
                elif arrived_s - heard_s > self._read_timeout_s:
                    raise self._lost(f"no picture for {arrived_s - heard_s:.1f} s")
                asked_s = now_s()
        except (self._av.error.FFmpegError, OSError) as error:
            raise self._lost(why(error, self._read_timeout_s)) from None
        raise self._lost("the server ended it")

    def _lost(self, got: str) -> SourceError:
        return SourceError(f"stream '{self._address.shown}' is lost", got=got, do=CHECK)

    def interrupt(self) -> None:
        """Ends the iteration with the next packet."""
        self._stopped = True

    def close(self) -> None:
        self.container.close()


class _Converted:
    """Makes the BGR image of a decoded frame when it is called."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def __call__(self) -> Image:
        return np.asarray(self._frame.to_ndarray(format="bgr24"))


def _stamp_s(timed: Any) -> float | None:
    """A packet's or frame's time stamp in seconds."""
    return None if timed.pts is None else float(timed.pts * timed.time_base)


class Pace:
    """Knows whether the reader keeps up with the stream."""

    KEYS_AFTER_S, WHOLE_AFTER_S, WINDOW_S = 0.5, 0.2, 1.0

    def __init__(self, name: str) -> None:
        self._name = name
        self._settled = self._keys_only = self._noticed = False
        self._begin_s = self._window_s = now_s()
        self._waited_s, self._share = 0.0, 1.0

    def late(self, waited_s: float) -> bool:
        """Whether a packet had queued before the connection stood; the first that was waited for ends that."""
        self._settled = self._settled or waited_s > WAITED_S or now_s() - self._begin_s > SETTLE_S
        self._waited_s += waited_s
        if (window_s := now_s() - self._window_s) > self.WINDOW_S:
            self._share, self._waited_s, self._window_s = self._waited_s / window_s, 0.0, now_s()
        return not self._settled

    def choose(self, decoder: Any, key: bool, age_s: float) -> None:
        """Has the decoder skip to key frames while it is behind and never waits for a packet."""
        if not self._keys_only and age_s > self.KEYS_AFTER_S and self._share < 0.05:
            self._keys_only, decoder.skip_frame = True, "NONKEY"
            if not self._noticed:
                self._noticed = True
                notice(f"source '{self._name}': decoding is slower than the stream; only its key frames are decoded "
                       "while that is so (--hardware may help)")
        elif self._keys_only and key and (age_s < self.WHOLE_AFTER_S or self._share > 0.5):
            self._keys_only, decoder.skip_frame = False, "DEFAULT"
