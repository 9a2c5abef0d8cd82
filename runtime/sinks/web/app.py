"""The pages: `/`, `/static/…`, `/ws`, `/metrics`, `/healthz`, `/snapshot.jpg`."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from .guard import Guard
from .hub import Hub
from .metrics import registry_of
from .viewers import serve_viewer

PAGE = Path(__file__).parent / "page"


def build_app(hub: Hub, token: str, port: int) -> Starlette:
    """The application that serves a hub."""
    registry = registry_of(hub)

    async def page(_: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        sources = {name: feed.state() for name, feed in hub.feeds.items()}
        ok = bool(sources) and all(feed.live for feed in hub.feeds.values())
        return JSONResponse({"ok": ok, "sources": sources}, 200 if ok else 503)

    async def snapshot(request: Request) -> Response:
        name = request.query_params.get("source") or next(iter(hub.feeds), "")
        feed = hub.feeds.get(name)
        if feed is None:
            return PlainTextResponse(f"no source '{name}'; there are: {', '.join(hub.feeds)}\n", 404)
        state = feed.state()
        if feed.newest is None or state["state"] == "lost":
            return PlainTextResponse(f"source '{name}' is {state['state']}: {state['reason']}\n", 503)
        return Response(await hub.encode_snapshot(feed.newest), media_type="image/jpeg")

    async def socket(websocket: WebSocket) -> None:
        await serve_viewer(websocket, hub)

    routes = [Route("/", page), Route("/metrics", metrics), Route("/healthz", healthz),
              Route("/snapshot.jpg", snapshot), WebSocketRoute("/ws", socket),
              Mount("/static", StaticFiles(directory=PAGE))]
    return Starlette(routes=routes, middleware=[Middleware(Guard, token=token, port=port)])
