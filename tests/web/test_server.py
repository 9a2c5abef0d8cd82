"""The page's server: who may see it and what it tells."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from epee.runtime.errors import SinkError
from epee.runtime.sinks.web.address import Address, parse_address

pytest.importorskip("websockets")
from websockets.exceptions import InvalidStatus

TOKEN = "a-token-nobody-guesses"
Show = Callable[..., Any]


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
        with pytest.raises(InvalidStatus) as refused, showing.look(additional_headers=headers):
            pass
        assert refused.value.response.status_code == status
    with showing.look(additional_headers=known) as viewer:
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
    with showing.look(origin=f"http://127.0.0.1:{port}") as viewer:
        assert viewer.recv(timeout=10)
    policy = showing.get("").headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
