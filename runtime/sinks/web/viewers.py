"""The WebSocket of a page: `/ws?source=NAME&fps=N&credit=N`.

To the viewer: texts `{"type": "hello", …}` and `{"type": "stats", …}`, and frames as `packet` describes. From the
viewer: `{"ack": 1}` for each frame shown, `{"source": NAME}`, and `{"shows": false}` to pause. With `credit`, at most
so many frames are under way unacknowledged; without it, the connection alone slows the frames down.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from .hub import Hub, Viewer

MOST_FPS = 60.0


async def serve_viewer(socket: WebSocket, hub: Hub) -> None:
    """Serves one page until it goes."""
    query = socket.query_params
    try:
        fps, credit = float(query.get("fps", MOST_FPS)), float(query.get("credit", "inf"))
    except ValueError:
        fps = credit = 0.0
    if not 0 < fps <= MOST_FPS or not credit >= 1:
        await socket.close(1008, f"fps is above 0 and at most {MOST_FPS:g}, credit 1 or more")
        return
    await socket.accept()
    viewer = Viewer(hub.find(query.get("source", "")), fps, credit)
    hub.add(viewer)
    tasks = [asyncio.create_task(_send(socket, hub, viewer)), asyncio.create_task(_receive(socket, hub, viewer))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.viewers.discard(viewer)
        for task in tasks:
            task.cancel()
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(done, Exception) and not isinstance(done, (WebSocketDisconnect, OSError)):
                raise done


async def _send(socket: WebSocket, hub: Hub, viewer: Viewer) -> None:
    while True:
        await viewer.news.wait()
        viewer.news.clear()
        try:
            while viewer.texts:
                await socket.send_text(viewer.texts.pop(next(iter(viewer.texts))))
            packet, viewer.packet = viewer.packet, None
            if packet is not None:
                viewer.sent()
                await socket.send_bytes(packet)
                hub.sent += 1
                hub.ask(viewer)
        except RuntimeError:  # what is sent after a viewer that answers no ping was closed
            raise WebSocketDisconnect(1006) from None


async def _receive(socket: WebSocket, hub: Hub, viewer: Viewer) -> None:
    while True:
        message = await socket.receive_text()
        wish = None
        with suppress(ValueError):
            wish = json.loads(message)
        if not isinstance(wish, dict):
            await socket.close(1003, "expected a JSON object")
            return
        if wish.get("ack"):
            viewer.credit += 1
        if "shows" in wish:
            viewer.shows = bool(wish["shows"])
        if wish.get("source") in hub.feeds:
            viewer.feed, viewer.packet, viewer.next_s = hub.feeds[wish["source"]], None, 0.0
            hub.greet(viewer)
        hub.ask(viewer)
