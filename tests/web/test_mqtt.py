"""Events reach a real broker, which may be late, slow, gone and back."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epee.runtime.bundle import Bundle
from epee.runtime.errors import SinkError
from epee.runtime.frames import Frame, Result
from epee.runtime.manifest import Manifest
from epee.runtime.sinks import SinkInfo, open_sink
from epee.runtime.sinks.mqtt import WAITING, Broker, parse_broker
from epee.runtime.sources.status import Tally
from epee.runtime.timing import now_s

mqtt = pytest.importorskip("paho.mqtt.client")


class Mosquitto:
    """A broker of this test's own."""

    def __init__(self, program: str, folder: Path, *lines: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = [program, "-c", str(folder / "mosquitto.conf")]
        (folder / "mosquitto.conf").write_text("\n".join((f"listener {self.port} 127.0.0.1", *lines)) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 5
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", self.port)):
                assert time.monotonic() < end, "mosquitto does not start"
                time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        reason = "no mosquitto here; apt-get install mosquitto"
        (pytest.fail if os.environ.get("EPEE_REQUIRE_STREAMS") else pytest.skip)(reason)
    started: list[Mosquitto] = []

    def start(*lines: str) -> Mosquitto:
        started.append(Mosquitto(program, tmp_path, *(lines or ("allow_anonymous true",))))
        return started[-1]

    yield start
    for one in started:
        one.stop()


class Listener:
    """Keeps what a broker says: (topic, event, retained)."""

    def __init__(self, port: int, **login: str) -> None:
        self.heard: list[tuple[str, dict[str, Any], bool]] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(login["user"], login["password"])
        self._client.on_message = lambda _, __, m: self.heard.append((m.topic, json.loads(m.payload), m.retain))
        self._client.on_connect = lambda client, *_: client.subscribe("#")
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def frames(self) -> list[dict[str, Any]]:
        return [event for _, event, _ in self.heard if event["type"] == "frame"]

    def states(self) -> list[str]:
        return [event["state"] for _, event, _ in self.heard if event["type"] == "status"]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def start(port: int, **login: str) -> Listener:
        listeners.append(Listener(port, **login))
        return listeners[-1]

    yield start
    for one in listeners:
        one.close()


@pytest.fixture
def manifest(tiny_bundle: Path) -> Manifest:
    return Bundle.open(tiny_bundle).manifest


def result(manifest: Manifest, index: int = 0) -> Result:
    return Result(Frame(np.zeros((72, 96, 3), np.uint8), index, "gate", now_s()),
                  {"mask": np.zeros((72, 96), np.uint8)}, manifest)


def connected(sink: Any, eventually: Any) -> None:
    eventually(lambda: sink._client.is_connected())


def test_frames_and_states_arrive(broker: Any, listen: Any, manifest: Manifest, eventually: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    port = broker().port
    listener = listen(port)
    tally = Tally()
    with open_sink(f"mqtt:127.0.0.1:{port}/yard/{{source}}", SinkInfo("gate", manifest)) as sink:
        connected(sink, eventually)
        for i in range(5):
            sink.write(result(manifest, i))
        tally.lost("no frame for 5 s")
        sink.lost(tally.status)
        sink.write(result(manifest, 5))
        eventually(lambda: len(listener.frames()) == 6)
    eventually(lambda: listener.states()[-1:] == ["ended"])
    assert [event["index"] for event in listener.frames()] == list(range(6))
    assert listener.states() in (["live", "lost", "live", "ended"], ["connecting", "live", "lost", "live", "ended"])
    assert {topic for topic, _, _ in listener.heard} == {"yard/gate", "yard/gate/status"}
    schema = json.loads((Path(__file__).resolve().parents[2] / "docs/event.schema.json").read_text())
    for _, event, _ in listener.heard:
        jsonschema.validate(event, schema)
    late = listen(port)
    eventually(lambda: late.heard)
    assert [(topic, event["state"], retained) for topic, event, retained in late.heard] == \
        [("yard/gate/status", "ended", True)]


def test_a_process_that_dies_is_lost(broker: Any, listen: Any, manifest: Manifest, eventually: Any) -> None:
    port = broker().port
    listener = listen(port)
    sink: Any = open_sink(f"mqtt:127.0.0.1:{port}/gate", SinkInfo("gate", manifest))
    connected(sink, eventually)
    sink.write(result(manifest))
    eventually(lambda: "live" in listener.states())
    sink._client.socket().shutdown(socket.SHUT_RDWR)  # what a broker sees of a process that dies
    eventually(lambda: "lost" in listener.states())
    assert next(e["reason"] for _, e, _ in listener.heard if e.get("state") == "lost") == "the process is gone"
    sink.close()


def test_a_broker_that_is_late_or_goes_is_waited_for_and_blocks_nothing(
        broker: Any, listen: Any, manifest: Manifest, eventually: Any, capfd: pytest.CaptureFixture[str]) -> None:
    server = broker()
    server.stop()
    with open_sink(f"mqtt:127.0.0.1:{server.port}/gate", SinkInfo("gate", manifest)) as sink:
        for i in range(1000):
            sink.write(result(manifest, i))
        assert sink.dropped == 1000
        server.start()
        connected(sink, eventually)
        listener = listen(server.port)
        eventually(lambda: listener.heard)
        sink.write(result(manifest, 1000))
        eventually(lambda: listener.frames())
    assert [event["index"] for event in listener.frames()] == [1000]
    assert listener.states()[0] == "live"
    err = capfd.readouterr().err
    assert "there is no connection to it; trying again" in err
    assert "1000 events did not reach the broker" in err


def test_a_broker_that_stops_reading_costs_events_and_no_memory(manifest: Manifest, eventually: Any) -> None:
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        sink: Any = open_sink(f"mqtt:127.0.0.1:{deaf.getsockname()[1]}/gate", SinkInfo("gate", manifest))
        peer, _ = deaf.accept()
        peer.recv(1024)
        peer.sendall(b"\x20\x02\x00\x00")  # CONNACK: welcome
        connected(sink, eventually)
        for i in range(30_000):
            sink.write(result(manifest, i))
            if sink.dropped > 100:
                break
        assert sink.dropped > 100
        assert len(sink._waiting) <= WAITING
        peer.close()
    sink.close()


def test_password_and_user_come_from_outside_and_are_not_told(
        broker: Any, listen: Any, manifest: Manifest, eventually: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str]) -> None:
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("no mosquitto_passwd here; apt-get install mosquitto")
    subprocess.run([tool, "-c", "-b", str(tmp_path / "users"), "box", "opensesame"], check=True, capture_output=True)
    (tmp_path / "users").chmod(0o644)
    port = broker("allow_anonymous false", f"password_file {tmp_path}/users", "user root").port
    target = f"mqtt:127.0.0.1:{port}/gate"
    monkeypatch.setenv("EPEE_MQTT_USER", "box")
    monkeypatch.setenv("EPEE_MQTT_PASSWORD", "opensesame-not")
    with open_sink(target, SinkInfo("gate", manifest)):
        eventually(lambda: "it refuses: not authorized" in capfd.readouterr().err)
    (tmp_path / "password").write_text("opensesame\n")
    monkeypatch.setenv("EPEE_MQTT_PASSWORD_FILE", str(tmp_path / "password"))
    listener = listen(port, user="box", password="opensesame")
    with open_sink(target, SinkInfo("gate", manifest)) as sink:
        connected(sink, eventually)
        sink.write(result(manifest))
        eventually(lambda: listener.frames())
    out, err = capfd.readouterr()
    assert "opensesame" not in out + err + json.dumps([event for _, event, _ in listener.heard])


def test_the_wire_can_be_encrypted(broker: Any, manifest: Manifest, eventually: Any, tmp_path: Path,
                                   capfd: pytest.CaptureFixture[str]) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here, which makes the certificate")
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "ca.pem"], check=True,
                   capture_output=True, cwd=tmp_path)
    (tmp_path / "key.pem").chmod(0o644)
    port = broker(f"certfile {tmp_path}/ca.pem", f"keyfile {tmp_path}/key.pem", "allow_anonymous true",
                  "user root").port
    with open_sink(f"mqtt:127.0.0.1:{port}/gate?tls={tmp_path}/ca.pem", SinkInfo("gate", manifest)) as sink:
        connected(sink, eventually)
        sink.write(result(manifest))
    assert sink.dropped == 0
    with open_sink(f"mqtt:127.0.0.1:{port}/gate?tls=system", SinkInfo("gate", manifest)) as stranger:
        eventually(lambda: "trying again" in capfd.readouterr().err)
        assert not stranger._client.is_connected()
    with pytest.raises(SinkError, match="can be read"):
        open_sink(f"mqtt:127.0.0.1:{port}/gate?tls={tmp_path}/none.pem", SinkInfo("gate", manifest))


def test_the_rate_can_be_limited(broker: Any, listen: Any, manifest: Manifest, eventually: Any) -> None:
    port = broker().port
    listener = listen(port)
    with open_sink(f"mqtt:127.0.0.1:{port}/gate?fps=1", SinkInfo("gate", manifest)) as sink:
        connected(sink, eventually)
        for i in range(20):
            sink.write(result(manifest, i))
        eventually(lambda: listener.frames())
    assert len(listener.frames()) == 1


@pytest.mark.parametrize(("target", "want"), [
    ("box/a/b", Broker("box", 1883, "a/b")), ("box:99/a", Broker("box", 99, "a")),
    ("[::1]/a", Broker("::1", 1883, "a")), ("[::1]:9/a", Broker("::1", 9, "a")),
    ("box/a?tls=system&fps=2.5", Broker("box", 8883, "a", 2.5, "system"))])
def test_a_broker_is_spelled(target: str, want: Broker) -> None:
    assert parse_broker(target) == want


@pytest.mark.parametrize(("target", "word"), [
    ("box", "HOST"), ("/a", "HOST"), ("box:x/a", "port"), ("box/a/#", "topic"), ("me:secret@box/a", "EPEE_MQTT_USER"),
    ("box/a?qos=1", "option 'qos'"), ("box/a?fps=-1", "fps"), ("box/a?fps=x", "fps")])
def test_what_is_spelled_wrong_is_told(target: str, word: str) -> None:
    with pytest.raises(SinkError, match=word) as told:
        parse_broker(target)
    assert "secret" not in str(told.value)
