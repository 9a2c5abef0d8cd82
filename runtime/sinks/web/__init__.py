"""`web:[HOST:]PORT`: a page with the live picture, for boxes without a screen.

    write(result) -> Feed (counters, newest result) -> one thread encodes, where a viewer waits -> viewers' sockets

The page gets the camera's JPEG and the mask as a small PNG and puts them together itself, so that the pipeline draws
nothing. Several sources may share one port: the page shows them in tabs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import need
from ...frames import Result
from .. import Opened, SinkInfo
from .address import parse_address, read_token

if TYPE_CHECKING:
    from ...sources import Status

MODULES = ("cv2", "starlette", "uvicorn", "websockets", "prometheus_client")


class WebSink(Opened):
    """Hands results to the page of its port; never waits for a viewer.

    Attributes:
        url: where the page is, without the token.
    """

    kind = "web"

    def __init__(self, target: str, info: SinkInfo) -> None:
        super().__init__()
        address = parse_address(target)
        for module in MODULES:
            need(module)
        from .server import join

        self._server, self._feed = join(address, read_token(address), info)
        self.url = self._server.url

    def prepare(self, result: Result) -> None:
        _ = result.shares

    def write(self, result: Result) -> None:
        self._server.write(self._feed, result)

    def lost(self, status: Status) -> None:
        self._server.lost(self._feed, status)

    def close(self) -> None:
        self._server.leave(self._feed)
