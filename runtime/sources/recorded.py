"""A recording behind HTTP: every frame of it, in order, as fast as they are asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import SourceError, need
from ..frames import Frame
from ..timing import now_s
from . import Opened
from .credentials import Address
from .network import CHECK, why
from .options import StreamOptions


class RecordedSource(Opened):
    """Frames of a file that a server has; what goes wrong on the way is an error after the last good frame.

    Args:
        container: PyAV's, opened at this address, with a picture in it.
    """

    def __init__(self, address: Address, container: Any, options: StreamOptions) -> None:
        self._av: Any = need("av")
        self._address, self._container, self._read_timeout_s = address, container, options.read_timeout_s
        self._video, self._broken = container.streams.video[0], ""
        rate, decoder = self._video.average_rate, self._video.codec_context
        super().__init__(address.name, fps=float(rate) if rate else None, count=self._video.frames or None,
                         size_wh=(decoder.width, decoder.height) if decoder.width else None)

    def __iter__(self) -> Iterator[Frame]:
        index, start = 0, time.perf_counter()
        for frame in self._decoded():
            image = self.bgr(np.asarray(frame.to_ndarray(format="bgr24")))
            self._tally.frame()
            yield Frame(image, index, self.name, now_s(), f"{index:06d}", frame.time,
                        1e3 * (time.perf_counter() - start))
            index, start = index + 1, time.perf_counter()
        self._tally.ended()
        if self._broken or (self.count is not None and index < 0.9 * self.count):
            of = f"{index} of {self.count or '?'} frames decoded"
            raise SourceError(f"stream '{self._address.shown}' broke off: {of}",
                              got=self._broken or "its end", do=CHECK)

    def _decoded(self) -> Iterator[Any]:
        """Every frame that decodes, also those that the decoder held when the stream broke off."""
        try:
            for packet in self._container.demux(self._video):
                try:
                    frames = packet.decode()
                except self._av.error.InvalidDataError:
                    self._tally.bad()
                    continue
                yield from frames
        except (self._av.error.FFmpegError, OSError) as error:
            self._broken = why(error, self._read_timeout_s)
            yield from self._video.codec_context.decode(None)

    def close(self) -> None:
        self._container.close()
