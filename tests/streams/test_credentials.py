"""User and password open the stream, and show up nowhere."""

import json
import os
import re
import signal
import subprocess
import sys
import traceback
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from epee.benchmarks.studies.serving import RtspServer
from epee.benchmarks.studies.taking import Taker
from epee.runtime.errors import ConfigError, SourceError
from epee.runtime.sources import StreamOptions, open_source, redact
from epee.runtime.sources.credentials import locate

pytestmark = pytest.mark.timeout(60)
PASSWORD = "s3cr#t/p@ss w0rd"
QUOTED = "s3cr%23t%2Fp%40ss%20w0rd"
PARTS = ("s3cr", "w0rd")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of credentials for the servers of these tests."""
    path = tmp_path / "credentials.toml"
    path.write_text(f'[127.0.0.1]\nuser = "viewer"\npassword = "{PASSWORD}"\n')
    path.chmod(0o600)
    return path


def test_rtsp_takes_them_from_file_environment_and_address(rtsp: RtspServer, file: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    rtsp.start(auth=f"viewer:{PASSWORD}")
    with Taker(open_source(rtsp.url, options=StreamOptions(credentials=file))) as taker:
        taker.wait(2)
    with Taker(open_source(rtsp.url.replace("//", f"//viewer:{QUOTED}@"))) as taker:
        taker.wait(2)
        assert "viewer" not in taker.source.name
    with pytest.raises(SourceError, match="401 unauthorized"):
        open_source(rtsp.url)
    monkeypatch.setenv("EPEE_STREAM_USER", "viewer")
    monkeypatch.setenv("EPEE_STREAM_PASSWORD", PASSWORD)
    with Taker(open_source(rtsp.url)) as taker:
        taker.wait(2)


def test_http_takes_them_too(jpegs: Any, file: Path) -> None:
    jpegs.password = PASSWORD
    url = f"http://127.0.0.1:{jpegs.port}/live"
    with Taker(open_source(url, options=StreamOptions(credentials=file))) as taker:
        taker.wait(2)
    with pytest.raises(SourceError, match="401 unauthorized") as caught:
        open_source(url.replace("//", f"//viewer:{QUOTED}-wrong@"))
    assert PARTS[0] not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("how", ["wrong", "refused", "run"])
def test_the_command_shows_them_nowhere(rtsp: RtspServer, tiny_bundle: Path, tmp_path: Path, how: str) -> None:
    """Standard output and error, JSON and every file that a run writes, with `--debug`'s traceback."""
    pytest.importorskip("onnxruntime")
    rtsp.start(auth=f"viewer:{PASSWORD}")
    if how == "refused":
        rtsp.kill()
    password = QUOTED + ("wrong" if how == "wrong" else "")
    url = rtsp.url.replace("//", f"//viewer:{password}@") + ("" if how == "run" else f"?token={QUOTED}")
    sinks = ["--sink", f"jsonl:{tmp_path}/{{source}}.jsonl", "--sink", f"png:{tmp_path}/{{source}}"]
    command = [sys.executable, "-m", "epee", "run", str(tiny_bundle), "--source", url, *sinks, "--frames", "3",
               "--json", "--debug", "--backend", "onnxruntime"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == int(how != "run"), done.stderr
    if how == "run":
        assert json.loads(done.stdout)["frames"] == 3
    written = [done.stdout, done.stderr, *(str(path) for path in tmp_path.rglob("*")),
               *(path.read_text() for path in tmp_path.rglob("*.jsonl"))]
    for text in written:
        assert not [part for part in (*PARTS, "viewer:") if part in text], text


def test_page_and_metrics_show_them_nowhere(jpegs: Any, tiny_bundle: Path) -> None:
    """All that a browser or Prometheus gets of a run: pages, numbers, and the messages of the WebSocket."""
    pytest.importorskip("onnxruntime")
    for module in ("starlette", "uvicorn", "prometheus_client"):
        pytest.importorskip(module)
    client = pytest.importorskip("websockets.sync.client")
    jpegs.password = PASSWORD
    url = f"http://viewer:{QUOTED}@127.0.0.1:{jpegs.port}/live?token={QUOTED}"
    command = [sys.executable, "-m", "epee", "run", str(tiny_bundle), "--source", url, "--sink", "web:0", "--seconds",
               "30", "--json", "--backend", "onnxruntime"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        line = next(line for line in run.stderr if "http://127.0.0.1:" in line)
        base = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
        got = [line]
        with client.connect(base.replace("http", "ws") + "/ws?credit=2", open_timeout=10) as viewer:
            got += [str(viewer.recv(10)) for _ in range(3)]
        for path in ("/", "/metrics", "/healthz"):
            with urllib.request.urlopen(base + path, timeout=10) as answer:
                got += [answer.read().decode(), str(answer.headers)]
        run.send_signal(signal.SIGINT)
        got += run.communicate(timeout=20)
    assert "epee_frames_total" in "".join(got)
    for text in got:
        assert not [part for part in (*PARTS, "viewer:") if part in text], text


def test_redact_hides_what_is_secret_and_nothing_else() -> None:
    for text, shown in [
            ("rtsp://admin:pa:ss@w@cam/1", "rtsp://***@cam/1"),
            ("opening 'http://u:p@h/x?key=abc&size=2' failed", "opening 'http://***@h/x?key=***&size=2' failed"),
            ("rtsp:/u:p@cam/1", "rtsp:/***@cam/1"),
            ("rtspsrc location=rtsp://u:p@cam user-id=admin user-pw=\"a b\" latency=0",
             "rtspsrc location=rtsp://***@cam user-id=*** user-pw=*** latency=0"),
            ("cam/user=admin&password=x1&channel=2", "cam/user=***&password=***&channel=2"),
            ("a line without any: mail me@home, monkey=3? no: http://cam/a/b", None)]:
        assert redact(text) == (shown or text.replace("monkey=3?", "monkey=***"))


def test_addresses_are_taken_apart() -> None:
    address = locate("rtsp://viewer:p#1/2@ss@[::1]:8554/a/b?x=1".replace("/2", "?2"))
    assert (address.user, address.password, address.host) == ("viewer", "p#1?2@ss", "[::1]:8554")
    assert (address.shown, address.name) == ("rtsp://[::1]:8554/a/b", "[::1]/a/b")
    assert address.url == "rtsp://viewer:p%231%3F2%40ss@[::1]:8554/a/b?x=1"
    assert "p#1" not in repr(address)
    with pytest.raises(SourceError, match=r"stream 'rtsp://\*\*\*@': got no host"):
        locate("rtsp://viewer:hidden@")


def test_a_file_of_credentials_is_for_its_owner_alone(file: Path) -> None:
    if os.name == "posix":
        file.chmod(0o644)
        with pytest.raises(ConfigError, match=r"a file that everybody may read.*type: chmod 600"):
            locate("rtsp://127.0.0.1/a", file)
        file.chmod(0o600)
    file.write_text(f'["cam:8554"]\npassword = "{PASSWORD}" oops')
    with pytest.raises(ConfigError, match="got no valid TOML") as caught:
        locate("rtsp://127.0.0.1/a", file)
    assert PARTS[0] not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ConfigError, match="no such file"):
        locate("rtsp://127.0.0.1/a", file.with_name("none"))
    file.write_text('["cam:8554"]\nuser = "a"\n["cam"]\nuser = "b"\n')
    users = {host: locate(f"rtsp://{host}/x", file).user for host in ("cam:8554", "cam", "cam:1", "dam")}
    assert users == {"cam:8554": "a", "cam": "b", "cam:1": "b", "dam": ""}
