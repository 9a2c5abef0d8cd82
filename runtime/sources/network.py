"""`rtsp://…` and `http://…`: which reader takes a stream, and what FFmpeg is told.

A picture that never ends (RTSP, multipart JPEGs, a live transport stream) is a LiveSource; a recording behind HTTP is
read like a file, every frame of it.
"""

from __future__ import annotations

import itertools
import socket
from typing import Any
from urllib.parse import urlsplit

from ..errors import SourceError, need
from . import Source
from .credentials import Address, locate, redact
from .live import Link, LiveSource
from .options import StreamOptions

KNOCK_S = 1.0
PROBE_US, REORDER_US = 1_000_000, 100_000
CHECK = "check address, network and credentials"


def open_stream(text: str, *, options: StreamOptions, **_: object) -> Source:
    """Opens a stream by its address.

    Raises:
        SourceError: it does not open, and `options.wait` is not set.
    """
    from .packets import PacketLink
    from .recorded import RecordedSource

    address = locate(text, options.credentials)
    before: list[Link] = []
    if address.scheme.startswith("http"):
        try:
            before.append(connect(address, options))
        except SourceError:
            if not options.wait:
                raise
        if before and isinstance(before[0], PacketLink) and before[0].recorded:
            return RecordedSource(address, before[0].container, options)
    tries = itertools.count()

    def link() -> Link:
        return before.pop() if before else connect(address, options, again=next(tries) > 0)

    return LiveSource(address.name, f"stream '{address.shown}'", link, options)


def connect(address: Address, options: StreamOptions, again: bool = False) -> Link:
    """Opens a connection in the way that fits the address, and over HTTP the server's answer.

    Args:
        again: it was there before, so it is first seen whether anybody listens.

    Raises:
        SourceError: it does not open.
    """
    from .multipart import MultipartLink, ask, is_multipart
    from .packets import PacketLink

    if address.scheme.startswith("http"):
        answer = ask(address, options.open_timeout_s)
        if is_multipart(answer):
            return MultipartLink(address, options, answer)
        answer.close()
    elif again:
        knock(address)
    return PacketLink(address, options)


def open_container(address: Address, options: StreamOptions, hwaccel: Any = None) -> Any:
    """Opens a stream in PyAV.

    Raises:
        SourceError: it does not open; `got` says why.
    """
    av: Any = need("av")
    given = {"analyzeduration": str(PROBE_US), "fpsprobesize": "0"}
    read_us = str(int(1e6 * options.read_timeout_s))
    if address.scheme.startswith("rtsp"):
        given |= {"rtsp_transport": options.transport, "allowed_media_types": "video", "timeout": read_us,
                  "max_delay": str(REORDER_US), "buffer_size": str(1 << 21)}
    else:
        given |= {"rw_timeout": read_us}
    try:
        return av.open(address.url, options=given, timeout=(options.open_timeout_s, options.read_timeout_s),
                       hwaccel=hwaccel)
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"stream '{address.shown}' does not open", got=why(error, options.open_timeout_s),
                          do=CHECK) from None
    except RuntimeError as error:  # PyAV's word for a stream that the hardware does not decode
        raise SourceError(f"stream '{address.shown}' does not open on '{options.hardware}'", got=str(error).lower(),
                          expected="a codec that it decodes", do="leave --hardware out") from None


def why(error: Exception, timeout_s: float) -> str:
    """What an error of FFmpeg or of a socket says, without the address in it."""
    av: Any = need("av")
    if isinstance(error, (av.error.ExitError, TimeoutError)):
        return f"no answer within {timeout_s:g} s"
    return redact(str(getattr(error, "strerror", None) or type(error).__name__)).lower()


def knock(address: Address) -> None:
    """Sees whether anybody listens, within a second, where FFmpeg would sit in a connection for much longer.

    Raises:
        SourceError: nobody does.
    """
    parts = urlsplit(address.bare)
    port = parts.port or {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname or "", port), KNOCK_S).close()
    except OSError as error:
        raise SourceError(f"stream '{address.shown}' does not open", got=why(error, KNOCK_S), do=CHECK) from None
