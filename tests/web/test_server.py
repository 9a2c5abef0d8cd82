"""The page's server: who may see it, what it tells, and that no viewer slows the pipeline."""

import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from epee.runtime.errors import SinkError
from epee.runtime.sinks.web.address import Address, parse_address

pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

TOKEN = "a-token-nobody-guesses"
Show = Callable[..., Any]


def look(showing: Any, query: str = "", **options: Any) -> ClientConnection:
    """A viewer's connection."""
    return connect(f"{showing.url.replace('http', 'ws')}ws{query}", compression=None, **options)


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


@pytest.mark.parametrize(("target", "address"), [
    ("8080", Address("127.0.0.1", 8080)), ("0.0.0.0:80", Address("0.0.0.0", 80)), ("[::1]:9", Address("::1", 9)),
    ("localhost:0?fps=5&quality=60&width=640", Address("localhost", 0, 5, 60, 640))])
def test_an_address_has_a_host_a_port_and_options(target: str, address: Address) -> None:
    assert parse_address(target) == address
    assert address.local == (address.host != "0.0.0.0")


@pytest.mark.parametrize("target", ["", "x", "70000", "::1:80", "80?fps=0", "80?fps=x", "80?depth=1", "80?width=9"])
def test_another_address_is_refused(target: str) -> None:
    with pytest.raises(SinkError, match="web:"):
        parse_address(target)


def test_it_tells_health_metrics_and_a_snapshot(show: Show, eventually: Any) -> None:
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    showing = show()
    eventually(lambda: showing.get("healthz").status == 200)
    assert showing.get("healthz").json["sources"]["gate"]["state"] == "live"
    eventually(lambda: showing.metric('epee_frames_total{source="gate"}') > 3)
    text = showing.get("metrics").body.decode()
    assert showing.metric('epee_stage_seconds_count{source="gate",stage="infer"}') > 3
    assert showing.metric('epee_frame_age_seconds_bucket{le="+Inf",source="gate"}') > 3
    assert 'epee_source_info{backend="onnxruntime",device="cpu",model="street-nano",precision="fp32"' in text
    assert showing.get("snapshot.jpg?source=nobody").status == 404
    snapshot = showing.get("snapshot.jpg?source=gate")
    picture = cv2.imdecode(np.frombuffer(snapshot.body, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (360, 640, 3)
    assert picture.mean() > 20
    showing.lose("no frame for 5 s")
    health = showing.get("healthz")
    assert (health.status, health.json["ok"], health.json["sources"]["gate"]["reason"]) == (503, False,
                                                                                          "no frame for 5 s")
    assert showing.metric('epee_source_live{source="gate"}') == 0
    assert showing.get("snapshot.jpg").status == 503


def test_prometheus_reads_the_metrics(show: Show, eventually: Any) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    showing = show()
    eventually(lambda: showing.metric('epee_frames_total{source="gate"}') > 0)
    families = {f.name: f for f in text_string_to_metric_families(showing.get("metrics").body.decode())}
    assert families["epee_frames"].type == "counter"
    assert families["epee_stage_seconds"].type == "histogram"
    assert all(family.documentation for family in families.values())


def test_without_a_viewer_nothing_is_encoded(show: Show, eventually: Any) -> None:
    showing = show()
    eventually(lambda: showing.metric('epee_frames_total{source="gate"}') > 5)
    assert showing.metric("epee_web_frames_encoded_total") == 0


def test_a_frame_is_encoded_once_for_all_viewers(show: Show) -> None:
    showing = show()
    with ExitStack() as open_pages:
        viewers = [open_pages.enter_context(look(showing)) for _ in range(4)]
        seen = [{header["index"] for header in frames(viewer, 12)} for viewer in viewers]
        assert showing.metric("epee_web_viewers") == 4
        assert showing.metric("epee_web_frames_sent_total") > 2 * showing.metric("epee_web_frames_encoded_total")
    assert seen[0] & seen[1]
    assert showing.drawn == 0


def test_a_viewer_gets_no_more_than_it_acknowledges_and_only_new_frames(show: Show, eventually: Any) -> None:
    showing = show()
    with look(showing, "?credit=2") as viewer:
        second = frames(viewer, 2)[-1]["index"]
        eventually(lambda: showing.metric('epee_frames_total{source="gate"}') > second + 20)
        viewer.send('{"ack": 1}')
        assert frames(viewer, 1)[0]["index"] >= second + 20


def test_the_rate_is_the_viewers_but_at_most_the_pages(show: Show) -> None:
    showing = show("web:0?fps=10", fps=50.0)
    with look(showing, "?fps=5") as slow, look(showing) as fast:
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
    with look(showing) as viewer:
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
    with look(showing) as viewer:
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
        with pytest.raises(InvalidStatus), look(showing, query):
            pass
    for message in ("nonsense", "[1]", "x" * 5000):
        with look(showing) as viewer:
            viewer.send(message)
            with pytest.raises(ConnectionClosed):
                frames(viewer, 1000)
    assert showing.get("").status == 200


def test_two_sources_share_a_page_and_the_last_one_ends_it(show: Show, eventually: Any) -> None:
    one, two = show(name="gate"), show(name="gate")
    assert one.url == two.url
    with look(one, "?source=gate-2") as viewer:
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


def test_the_command_opens_a_page_and_ends_on_a_signal(tmp_path: Path, eventually: Any) -> None:
    command = [sys.executable, "-m", "epee", "run", "street-nano", "--source", "synthetic:street", "--sink", "web:0",
               "--backend", "onnxruntime", "--precision", "fp32", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as running:
        try:
            url = next(found[0] for line in running.stderr if (found := re.search(r"http://\S+", line)))
            get = lambda path: urllib.request.urlopen(url + path, timeout=10).read().decode()  # noqa: E731
            eventually(lambda: re.search(r"epee_frames_total{.*} [1-9]", get("metrics")), 30)
            assert json.loads(get("healthz"))["ok"]
            assert 'backend="onnxruntime",device="cpu",model="street-nano",precision="fp32",source="street"' in \
                get("metrics")
            running.send_signal(signal.SIGINT)
            out, _ = running.communicate(timeout=30)
        finally:
            running.kill()
    assert running.returncode == 130
    assert json.loads(out)["frames"] > 0


def test_a_port_that_is_taken_says_so(show: Show) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SinkError, match="in use"):
            show(f"web:{taken.getsockname()[1]}")


def test_another_address_needs_a_token(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SinkError, match="EPEE_WEB_TOKEN"):
        show("web:0.0.0.0:0")
    monkeypatch.setenv("EPEE_WEB_TOKEN_FILE", "/nowhere/token")
    with pytest.raises(SinkError, match="can be read"):
        show("web:0.0.0.0:0")


def test_the_token_opens_and_appears_nowhere(show: Show, monkeypatch: pytest.MonkeyPatch, tmp_path: Any,
                                             capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    monkeypatch.setenv("EPEE_WEB_TOKEN_FILE", str(tmp_path / "token"))
    showing = show("web:0.0.0.0:0")
    for path in ("", "metrics", "healthz", "snapshot.jpg", "static/page.js", "?token=wrong", "?token=ü"):
        assert showing.get(path.replace("ü", "%C3%BC")).status == 401
    assert showing.get("", Authorization="Bearer wrong").status == 401
    assert showing.get("metrics", Authorization=f"Bearer {TOKEN}").status == 200
    assert "Set-Cookie" not in showing.get("?token=wrong").headers
    entered = showing.get(f"?token={TOKEN}")
    cookie = entered.headers["Set-Cookie"]
    assert entered.status == 200
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    known = {"Cookie": cookie.partition(";")[0]}
    seen = b"".join(showing.get(path, **known).body for path in ("", "metrics", "healthz", "static/page.js"))
    for headers, status in (({}, 401), ({"Cookie": "epee-1=x"}, 401)):
        with pytest.raises(InvalidStatus) as refused, look(showing, additional_headers=headers):
            pass
        assert refused.value.response.status_code == status
    with look(showing, additional_headers=known) as viewer:
        seen += viewer.recv(timeout=10).encode()
    showing.close()
    out, err = capfd.readouterr()
    assert TOKEN not in out + err + cookie + seen.decode()


def test_a_foreign_page_sees_nothing(show: Show) -> None:
    showing = show()
    port = showing.url.rstrip("/").rpartition(":")[2]
    for path in ("", "metrics", "snapshot.jpg"):
        assert showing.get(path, Host=f"evil.example:{port}").status == 403
        assert showing.get(path, Host=f"localhost:{port}").status in (200, 503)
    for headers in ({"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
                    {"Origin": "http://evil.example"}, {"Origin": "null"}):
        with socket.create_connection(("127.0.0.1", int(port))) as raw:
            wanted = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade",
                      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13", **headers}
            raw.sendall(("GET /ws HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in wanted.items())
                         + "\r\n").encode())
            assert b" 403 " in raw.recv(64)
    with look(showing, origin=f"http://127.0.0.1:{port}") as viewer:
        assert frames(viewer, 1)
    policy = showing.get("").headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
