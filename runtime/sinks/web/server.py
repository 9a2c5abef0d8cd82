"""Server: the page's thread with its event loop; one for each address, shared by the sinks that name it."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn

from ...errors import SinkError
from ...frames import Result
from .. import SinkInfo
from .address import Address
from .app import build_app
from .feed import Feed
from .hub import Hub

if TYPE_CHECKING:
    from ...sources import Status

STOP_S = 10.0
PING_S = 20.0
"""A viewer is asked for a sign of life so often, and sent away where it gives none for as long."""
WAITING_BYTES = 1 << 18
"""What may wait in the system for a viewer that reads slowly: a few frames."""
_OPEN: dict[tuple[str, int], Server] = {}
_OPENING = threading.Lock()


def join(address: Address, token: str, info: SinkInfo) -> tuple[Server, Feed]:
    """The server of an address, started where there is none yet, and a feed of it for a source.

    Raises:
        SinkError: the address is taken, not this machine's, or open with other options.
    """
    with _OPENING:
        key = (address.host, address.port)
        server = _OPEN.get(key)
        if server is not None and server.address != address:
            raise SinkError(f"sink 'web:{address.port}'", got="other options than the sink that has this port",
                            expected="the same ones, or another port")
        if server is None:
            server = _OPEN[key] = Server(address, token)
        return server, server.add(info)


class Server:
    """Serves a hub until the last feed leaves.

    Attributes:
        url: of the page, without the token.
    """

    def __init__(self, address: Address, token: str) -> None:
        self.address = address
        self._socket = _bind(address)
        port = self._socket.getsockname()[1]
        host = f"[{address.host}]" if ":" in address.host else address.host
        self.url = f"http://{host}:{port}/"
        self._hub = Hub(address)
        config = uvicorn.Config(build_app(self._hub, token, port), log_config=None, log_level="error", access_log=False,
                                lifespan="off", ws="websockets-sansio", ws_per_message_deflate=False, ws_max_size=4096,
                                ws_ping_interval=PING_S, ws_ping_timeout=PING_S, server_header=False,
                                timeout_graceful_shutdown=1)
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="epee-web", daemon=True)
        self._thread.start()
        from ...sources import notice

        notice(f"the page is at {self.url}" + (" (it asks for the token)" if token else ""))

    def add(self, info: SinkInfo) -> Feed:
        """A feed for one more source; its name gets a number where it is taken."""
        feeds, name, number = self._hub.feeds, info.source, 1
        while name in feeds and not feeds[name].ended:
            number += 1
            name = f"{info.source}-{number}"
        feed = Feed(name, info)
        self._hub.feeds = {**feeds, name: feed}
        self._hub.call(self._hub.publish, True)
        return feed

    def write(self, feed: Feed, result: Result) -> None:
        """Takes a result; returns at once."""
        self._hub.write(feed, result)

    def lost(self, feed: Feed, status: Status) -> None:
        """Takes a source's state; returns at once."""
        self._hub.lost(feed, status)

    def leave(self, feed: Feed) -> None:
        """Ends a feed; with the last one, the server. A second call does nothing."""
        with _OPENING:
            feed.end()
            self._hub.call(self._hub.publish)
            if all(other.ended for other in self._hub.feeds.values()):
                self._stop()

    async def _serve(self) -> None:
        ticking = asyncio.create_task(self._hub.tick())
        try:
            await self._uvicorn.serve(sockets=[self._socket])
        finally:
            ticking.cancel()

    def _stop(self) -> None:
        if _OPEN.pop((self.address.host, self.address.port), None) is not self:
            return
        self._uvicorn.should_exit = True
        self._thread.join(STOP_S)
        self._hub.close()
        self._socket.close()


def _bind(address: Address) -> socket.socket:
    """A listening socket at the address."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WAITING_BYTES)  # each connection's, too
        listening.bind((address.host, address.port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise SinkError(f"sink 'web:{address.host}:{address.port}'", got=(error.strerror or str(error)).lower(),
                        do="take another port, e.g. web:8080" if address.local else "name an address of this machine"
                        ) from None
    return listening
