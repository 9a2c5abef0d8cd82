"""Guard: who may see the page.

With a token: whoever brings it, once as `?token=…` (a cookie remembers it), or as `Authorization: Bearer …`. Without
one: whoever addresses this machine by a loopback name, so that a foreign page, whose name may be made to point here
(DNS rebinding), sees nothing. A WebSocket is opened by this page alone.
"""

from __future__ import annotations

import hashlib
import hmac
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .address import is_local

POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
           "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin"}


class Guard:
    """Refuses whom it does not know, and sets the headers of every answer.

    Args:
        token: '' where none is asked for.
        port: makes the cookie's name; cookies are shared by all ports of a host.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token, self._cookie = app, token, f"epee-{port}"
        self._pass = hashlib.sha256(b"epee cookie " + token.encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        refused = self._refusal(connection)
        brings = bool(self._token) and same(connection.query_params.get("token", ""), self._token)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if brings and refused is None:
                    headers.append("Set-Cookie", f"{self._cookie}={self._pass}; HttpOnly; SameSite=Strict; Path=/")
            await send(message)

        if refused is None:
            await self._app(scope, receive, send_with_headers)
        else:
            status, line = refused
            await PlainTextResponse(f"epee: {line}\n", status)(scope, receive, send_with_headers)

    def _refusal(self, connection: HTTPConnection) -> tuple[int, str] | None:
        """Status and reason, or None for who may pass."""
        host = connection.headers.get("host", "")
        if self._token and not self._knows_token(connection):
            return HTTPStatus.UNAUTHORIZED, "a token is needed: ?token=… once, or Authorization: Bearer …"
        if not self._token and not is_local(urlsplit(f"//{host}").hostname or ""):
            return HTTPStatus.FORBIDDEN, "without a token this page answers to localhost alone; set EPEE_WEB_TOKEN"
        origin = connection.headers.get("origin")
        if connection.scope["type"] == "websocket" and origin is not None and urlsplit(origin).netloc != host:
            return HTTPStatus.FORBIDDEN, "a WebSocket is opened by this page alone"
        return None

    def _knows_token(self, connection: HTTPConnection) -> bool:
        kind, _, bearer = connection.headers.get("authorization", "").partition(" ")
        return (same(connection.query_params.get("token", ""), self._token)
                or (kind.lower() == "bearer" and same(bearer.strip(), self._token))
                or same(connection.cookies.get(self._cookie, ""), self._pass))


def same(given: str, secret: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(), secret.encode())
