"""MultipartLink: JPEGs that a server pushes one after another (`multipart/x-mixed-replace`), as network cameras do.

Parts are cut by their Content-Length, or where there is none by JPEG's own end, or else by the next boundary. What lies
between parts is skipped and counted. Only a picture that is taken is decoded.
"""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import DataError, SourceError, need
from ..pixels import Image
from ..timing import now_s
from .credentials import Address, redact
from .live import Arrival
from .network import CHECK, why
from .options import StreamOptions

START, SCAN, END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
MOST_BYTES = 1 << 25
"""A part that is longer than this is no picture."""
CHUNK = 1 << 16


def is_multipart(answer: Any) -> bool:
    """Whether an answer is a multipart stream."""
    return bool(answer.headers.get_content_maintype() == "multipart")


def ask(address: Address, timeout_s: float) -> Any:
    """The server's answer to a GET, with user and password by Basic or Digest where it wants them; to be closed.

    Raises:
        SourceError: no server, or one that refuses; `got` says why.
    """
    known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    known.add_password(None, address.bare, address.user, address.password)
    handlers = [urllib.request.HTTPBasicAuthHandler(known), urllib.request.HTTPDigestAuthHandler(known)]
    opener = urllib.request.build_opener(*handlers if address.user or address.password else [])
    try:
        return opener.open(urllib.request.Request(address.bare, headers={"User-Agent": "epee"}), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        got = f"status {error.code} {redact(error.reason).lower()}"
    except urllib.error.URLError as error:
        got = why(error.reason, timeout_s) if isinstance(error.reason, OSError) else redact(str(error.reason))
    except (OSError, ValueError, http.client.HTTPException) as error:
        got = why(error, timeout_s)
    raise SourceError(f"stream '{address.shown}' does not open", got=got, do=CHECK)


class MultipartLink:
    """One connection; see `live.Link`.

    Args:
        answer: of `ask`, a multipart stream; closed by this link.
    """

    fps: float | None = None
    size_wh: tuple[int, int] | None = None

    def __init__(self, address: Address, options: StreamOptions, answer: Any) -> None:
        self._address, self._read_timeout_s, self._answer = address, options.read_timeout_s, answer
        self._stopped = False
        boundary = answer.headers.get_boundary() or ""
        self._socket: socket.socket | None = getattr(getattr(answer.fp, "raw", None), "_sock", None)
        if self._socket is not None:
            self._socket.settimeout(options.read_timeout_s)
        self._parts = Parts(boundary.strip("-").encode("latin-1"))

    def __iter__(self) -> Iterator[Arrival | None]:
        heard_s = now_s()
        while not self._stopped:
            try:
                data = self._answer.read1(CHUNK)
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise self._lost(why(error, self._read_timeout_s)) from None
            if not data:
                raise self._lost("the server ended it")
            arrived_s = now_s()
            for picture in self._parts.feed(data):
                if picture is not None:
                    heard_s = arrived_s
                yield None if picture is None else Arrival(arrived_s, Jpeg(picture))
            if arrived_s - heard_s > self._read_timeout_s:
                raise self._lost(f"no picture for {arrived_s - heard_s:.1f} s")

    def _lost(self, got: str) -> SourceError:
        return SourceError(f"stream '{self._address.shown}' is lost", got=got, do=CHECK)

    def interrupt(self) -> None:
        """Ends a read that waits."""
        self._stopped = True
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it was closed already

    def close(self) -> None:
        self._answer.close()


class Parts:
    """Cuts a stream of bytes into JPEGs.

    Args:
        boundary: as the server names it, without dashes.
    """

    def __init__(self, boundary: bytes) -> None:
        self._boundary, self._buffer = boundary, bytearray()

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The pictures that are whole now, and None for each part or stretch of bytes that is none."""
        self._buffer += data
        while True:
            begin = self._buffer.find(b"--" + self._boundary)
            header_end = self._buffer.find(b"\r\n\r\n", begin) if begin >= 0 else -1
            if header_end < 0:
                if len(self._buffer) > MOST_BYTES:
                    self._buffer.clear()
                    yield None
                return
            if self._buffer[:begin].strip(b"\r\n\0 "):
                yield None
            end = self._end(bytes(self._buffer[begin:header_end]), header_end + 4)
            if end is None:
                del self._buffer[:begin]
                return
            picture = bytes(self._buffer[header_end + 4:end]).strip(b"\r\n\0")
            del self._buffer[:end]
            yield picture if picture.startswith(START) and picture.endswith(END) else None

    def _end(self, header: bytes, begin: int) -> int | None:
        """Where the part ends whose content begins at `begin`, or None where that has not come yet."""
        length = _content_length(header)
        if length is None:
            end = jpeg_end(self._buffer, begin)
        else:
            end = begin + length if begin + length <= len(self._buffer) else -1
        if end >= 0:
            return end
        cut = self._buffer.find(b"--" + self._boundary, begin)  # the part is shorter than it says, or no JPEG
        if cut < 0 and len(self._buffer) - begin > MOST_BYTES:
            return len(self._buffer)
        return cut if cut >= 0 else None


def jpeg_end(data: bytearray, begin: int) -> int:
    """Where a JPEG ends that begins at `begin` or a little later; -1 where its end is not there.

    The end marker is looked for behind the header's segments, of which one may hold a thumbnail with an end of its own.
    """
    at = data.find(START, begin) + 2
    if at < 2:
        return -1
    while data[at:at + 2] != SCAN:
        length = int.from_bytes(data[at + 2:at + 4], "big")
        if at + 4 > len(data) or data[at] != 0xFF or length < 2:
            return -1
        at += 2 + length
    end = data.find(END, at)
    return end + 2 if end >= 0 else -1


def _content_length(header: bytes) -> int | None:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit() and int(value) <= MOST_BYTES:
            return int(value)
    return None


class Jpeg:
    """Makes the BGR image of a JPEG file's bytes when it is called."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __call__(self) -> Image:
        cv2: Any = need("cv2")
        image: Image | None = cv2.imdecode(np.frombuffer(self._data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise DataError("picture of a stream", got=f"{len(self._data)} bytes that do not decode",
                            expected="a whole JPEG")
        return image
