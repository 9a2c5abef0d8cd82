"""Viewers of the page: what each gets, and that none slows the pipeline or the others."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from epee.runtime.errors import SinkError

pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

Show = Callable[..., Any]


def frames(viewer: ClientConnection, count: int, ack: bool = False) -> list[dict[str, Any]]:
    """Headers of the next frames."""
    headers = []
    while len(headers) < count:
        message = viewer.recv(timeout=10)
        if isinstance(message, bytes):
            length, = struct.unpack(">I", message[:4])
            headers.append(json.loads(message[4:4 + length]))
            if ack:
                viewer.send('{"ack": 1}')
    return headers


def text(viewer: ClientConnection, kind: str) -> dict[str, Any]:
    """The next text of a kind."""
    while True:
        message = viewer.recv(timeout=10)
        if isinstance(message, str) and json.loads(message)["type"] == kind:
            return json.loads(message)


def test_a_frame_is_encoded_once_for_all_viewers(show: Show) -> None:
    showing = show()
    with ExitStack() as open_pages:
        viewers = [open_pages.enter_context(showing.look()) for _ in range(4)]
        seen = [{header["index"] for header in frames(viewer, 12)} for viewer in viewers]
        assert showing.metric("epee_web_viewers") == 4
        assert showing.metric("epee_web_frames_sent_total") > 2 * showing.metric("epee_web_frames_encoded_total")
    assert seen[0] & seen[1]
    assert showing.drawn == 0


def test_a_viewer_gets_no_more_than_it_acknowledges_and_only_new_frames(show: Show, eventually: Any) -> None:
    showing = show()
    with showing.look("?credit=2") as viewer:
        second = frames(viewer, 2)[-1]["index"]
        eventually(lambda: showing.metric('epee_frames_total{source="gate"}') > second + 20)
        viewer.send('{"ack": 1}')
        assert frames(viewer, 1)[0]["index"] >= second + 20


def test_the_rate_is_the_viewers_but_at_most_the_pages(show: Show) -> None:
    showing = show("web:0?fps=10", fps=50.0)
    with showing.look("?fps=5") as slow, showing.look() as fast:
        frames(slow, 1), frames(fast, 1)
        begin = time.monotonic()
        reader = threading.Thread(target=frames, args=(slow, 5))
        reader.start()
        frames(fast, 10)
        assert time.monotonic() - begin > 0.85
        reader.join()
        assert time.monotonic() - begin > 0.9


def test_a_paused_viewer_gets_statistics_alone(show: Show) -> None:
    showing = show()
    with showing.look() as viewer:
        frames(viewer, 1)
        viewer.send('{"shows": false}')
        before = text(viewer, "stats")
        encoded = showing.metric("epee_web_frames_encoded_total")
        after = text(viewer, "stats")
        assert after["sources"]["gate"]["frames"] > before["sources"]["gate"]["frames"]
        assert showing.metric("epee_web_frames_encoded_total") <= encoded + 1
        viewer.send('{"shows": true}')
        assert frames(viewer, 1)


def test_a_viewer_that_never_reads_stops_nothing(show: Show, eventually: Any) -> None:
    showing = show(fps=100.0)
    host, port = "127.0.0.1", int(showing.url.rstrip("/").rpartition(":")[2])
    stuck = [mute(host, port, 4096) for _ in range(5)]
    with showing.look() as viewer:
        assert len({header["index"] for header in frames(viewer, 20)}) == 20
        before = showing.metric('epee_frames_total{source="gate"}')
        eventually(lambda: showing.metric('epee_frames_total{source="gate"}') > before + 20)
    for one in stuck:
        one.close()


def test_a_viewer_that_gives_no_sign_of_life_is_sent_away_in_silence(
        show: Show, eventually: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("epee.runtime.sinks.web.server.PING_S", 0.2)
    showing = show(fps=200.0)
    host, port = "127.0.0.1", int(showing.url.rstrip("/").rpartition(":")[2])
    for _ in range(3):
        with mute(host, port) as one:
            one.settimeout(10)
            while one.recv(1 << 16):
                pass
    eventually(lambda: showing.metric("epee_web_viewers") == 0)
    assert not caplog.records


def mute(host: str, port: int, room: int = 1 << 16) -> socket.socket:
    """A viewer that says nothing after its greeting, and takes so many bytes before it reads."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    one.connect((host, port))
    one.sendall(f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    return one


def test_a_sender_of_nonsense_is_sent_away(show: Show) -> None:
    showing = show()
    for query in ("?fps=-1", "?fps=x", "?credit=0"):
        with pytest.raises(InvalidStatus), showing.look(query):
            pass
    for message in ("nonsense", "[1]", "x" * 5000):
        with showing.look() as viewer:
            viewer.send(message)
            with pytest.raises(ConnectionClosed):
                frames(viewer, 1000)
    assert showing.get("").status == 200


def test_two_sources_share_a_page_and_the_last_one_ends_it(show: Show, eventually: Any) -> None:
    one, two = show(name="gate"), show(name="gate")
    assert one.url == two.url
    with one.look("?source=gate-2") as viewer:
        assert [s["name"] for s in text(viewer, "hello")["sources"]] == ["gate", "gate-2"]
        assert frames(viewer, 2)[-1]["source"] == "gate-2"
        viewer.send('{"source": "gate"}')
        assert eventually(lambda: frames(viewer, 1)[0]["source"] == "gate")
    with pytest.raises(SinkError, match="other options"):
        show("web:0?fps=3")
    one.close()
    assert two.get("healthz").json["sources"]["gate"]["state"] == "ended"
    assert two.get("snapshot.jpg?source=gate-2").status == 200
    two.close()
    with pytest.raises(OSError, match="refused"):
        two.get("")
    assert not [t for t in threading.enumerate() if t.name.startswith("epee-web")]
