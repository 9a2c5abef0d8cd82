"""Real servers of live pictures: RTSP by GStreamer, JPEGs over HTTP from here."""

import base64
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from epee.benchmarks.studies import bars
from epee.benchmarks.studies.serving import RtspServer, missing


@pytest.fixture(scope="session")
def gstreamer() -> None:
    """Skips where the RTSP server cannot run; fails there where EPEE_REQUIRE_STREAMS is set."""
    pytest.importorskip("av")
    if reason := missing():
        if os.environ.get("EPEE_REQUIRE_STREAMS"):
            pytest.fail(f"the RTSP server does not run here: {reason}")
        pytest.skip(f"the RTSP server does not run here: {reason}")


@pytest.fixture
def rtsp(gstreamer: None) -> Iterator[RtspServer]:
    """A server that is not started yet."""
    server = RtspServer()
    yield server
    server.kill()


class JpegServer:
    """Pushes JPEGs with bars, as a network camera does; what it sends can be spoilt.

    Attributes:
        style: `length` (parts with Content-Length), `bare` (without), or `garbage` (bytes between, and broken parts).
        password: where set, `viewer` and this password are asked for.
        frames: after so many a connection is ended.
        stalled: while set, nothing is sent and nothing is ended.
    """

    def __init__(self) -> None:
        self.style, self.password, self.size_wh, self.frames = "length", "", (320, 240), 10_000
        self.stalled, self._over = threading.Event(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        import cv2

        token = "Basic " + base64.b64encode(f"viewer:{self.password}".encode()).decode()
        if self.password and handler.headers.get("Authorization") != token:
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
            handler.end_headers()
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        handler.end_headers()
        width, height = self.size_wh
        try:
            for number in range(self.frames):
                while not self._over.wait(1 / 30) and self.stalled.is_set():
                    pass
                if self._over.is_set():
                    return
                luma = bytearray([100]) * (width * height)
                bars.draw(luma, width, number, bars.wall_ms())
                grey = np.frombuffer(bytes(luma), np.uint8).reshape(height, width)
                data = cv2.imencode(".jpg", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))[1].tobytes()
                handler.wfile.write(self._part(number, data))
        except OSError:
            return

    def _part(self, number: int, data: bytes) -> bytes:
        head = b"--frame\r\nContent-Type: image/jpeg\r\n"
        if self.style == "bare":
            return head + b"\r\n" + data + b"\r\n"
        if self.style == "garbage" and number % 5 == 3:
            return bytes(range(256)) * 20 + head + b"Content-Length: 99999999\r\n\r\n" + data[:200] + b"\r\n"
        return head + b"Content-Length: %d\r\n\r\n" % len(data) + data + b"\r\n"

    def close(self) -> None:
        """Ends every connection and the server."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def jpegs() -> Iterator[JpegServer]:
    """A server of JPEGs."""
    pytest.importorskip("cv2")
    server = JpegServer()
    yield server
    server.close()
