"""`mqtt:HOST[:PORT]/TOPIC`: events to a broker, MQTT 3.1.1, QoS 0.

Frames go to TOPIC. The state of the source is retained at TOPIC/status; it turns to `lost` by itself where this process
dies. User and password come from EPEE_MQTT_USER and EPEE_MQTT_PASSWORD, or from the file that
EPEE_MQTT_PASSWORD_FILE names, never from the target.

Nothing here waits for the broker: while it is away or slow, events are dropped and counted, and the client connects
again by itself.
"""

from __future__ import annotations

import json
import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from ..errors import SinkError, near, need
from ..events import SCHEMA, frame_event, status_event, utc
from ..frames import Result
from ..timing import now_s
from . import Opened, SinkInfo

if TYPE_CHECKING:
    from ..sources import Status

PORT, TLS_PORT = 1883, 8883
WAITING = 64
"""How many events may wait for the network before further ones are dropped."""
KEEPALIVE_S = 15
RETRY_S = (1, 30)
CONNECT_S = 3.0
GOODBYE_S = 2.0
"""How long `close` waits for the last status to leave."""
EXPECTED = "mqtt:HOST[:PORT]/TOPIC[?fps=N&tls=system]"


@dataclass(frozen=True)
class Broker:
    """Where events go.

    Attributes:
        topic: without wildcards; frames go there, the state to `TOPIC/status`.
        fps: at most so many frame events a second, or 0 for every frame.
        tls: '' for none, `system` for the system's authorities, or a file of authorities (PEM).
    """

    host: str
    port: int
    topic: str
    fps: float = 0.0
    tls: str = ""


class MqttSink(Opened):
    """Publishes an event for each frame.

    Attributes:
        dropped: events that the network did not take in time.
    """

    kind = "mqtt"

    def __init__(self, target: str, info: SinkInfo) -> None:
        super().__init__()
        client: Any = need("paho.mqtt.client")
        self._broker = parse_broker(target)
        self._source, self.dropped = info.source, 0
        self._waiting: deque[Any] = deque()
        self._due_s = 0.0
        self._noticed = False
        self._status = self._event("connecting")
        self._client = client.Client(client.CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._connected
        self._client.on_connect_fail = lambda *_: self._notice("there is no connection to it")
        self._client.on_disconnect = self._disconnected
        self._client.reconnect_delay_set(*RETRY_S)
        self._client.connect_timeout = CONNECT_S
        self._client.will_set(f"{self._broker.topic}/status",
                              json.dumps(self._event("lost", "the process is gone")), retain=True)
        self._sign_in()
        self._client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S)
        self._client.loop_start()

    def prepare(self, result: Result) -> None:
        _ = result.shares

    def write(self, result: Result) -> None:
        if self._status["state"] != "live":
            self._tell(self._event("live"))
        now = now_s()
        if self._broker.fps:
            if now < self._due_s:
                return
            step_s = 1 / self._broker.fps
            self._due_s = (self._due_s if self._due_s + step_s > now else now) + step_s
        while self._waiting and self._is_gone(self._waiting[0]):
            self._waiting.popleft()
        if len(self._waiting) >= WAITING or not self._client.is_connected():
            self.dropped += 1
            return
        self._waiting.append(self._client.publish(self._broker.topic, json.dumps(frame_event(result))))

    def lost(self, status: Status) -> None:
        if status.state != self._status["state"]:
            self._tell(status_event(self._source, status))

    def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        if client.is_connected():
            last = client.publish(f"{self._broker.topic}/status", json.dumps(self._event("ended")), retain=True)
            with suppress(RuntimeError):  # the connection broke meanwhile: the broker tells the last will
                last.wait_for_publish(GOODBYE_S)
        client.disconnect()
        client.loop_stop()
        if self.dropped:
            from ..sources import notice

            notice(f"sink 'mqtt:{self._broker.host}': {self.dropped} events did not reach the broker")

    def _is_gone(self, message: Any) -> bool:
        """Whether the network took it, or lost it, which counts as dropped."""
        if message.rc:
            self.dropped += 1
            return True
        return bool(message.is_published())

    def _sign_in(self) -> None:
        """Sets user, password and encryption."""
        user, password = os.environ.get("EPEE_MQTT_USER"), os.environ.get("EPEE_MQTT_PASSWORD")
        try:
            if file := os.environ.get("EPEE_MQTT_PASSWORD_FILE"):
                password = Path(file).read_text(encoding="utf-8").rstrip("\n")
            if user is not None:
                self._client.username_pw_set(user, password)
            if self._broker.tls:
                self._client.tls_set(None if self._broker.tls == "system" else self._broker.tls)
        except OSError as error:
            raise self.failed(error, "name a file that can be read") from None

    def _tell(self, event: dict[str, Any]) -> None:
        """Publishes the state and keeps it for the next connection."""
        self._status = event
        if self._client.is_connected():
            self._client.publish(f"{self._broker.topic}/status", json.dumps(event), retain=True)

    def _event(self, state: str, reason: str = "") -> dict[str, Any]:
        now = utc(now_s())
        return {"schema": SCHEMA, "type": "status", "time": now, "source": self._source, "state": state, "since": now,
                "reason": reason}

    def _connected(self, client: Any, _: Any, __: Any, code: Any, ___: Any) -> None:
        if code.is_failure:
            self._notice(f"it refuses: {str(code).lower()}")
            return
        self._noticed = False
        client.publish(f"{self._broker.topic}/status", json.dumps(self._status), retain=True)

    def _disconnected(self, _: Any, __: Any, ___: Any, code: Any, ____: Any) -> None:
        if code.is_failure:
            self._notice(f"the connection is lost: {str(code).lower()}")

    def _notice(self, what: str) -> None:
        """Says once, until it is connected again, what is wrong with the broker."""
        if not self._noticed:
            self._noticed = True
            from ..sources import notice

            notice(f"sink 'mqtt:{self._broker.host}:{self._broker.port}': {what}; trying again")


def parse_broker(target: str) -> Broker:
    """`HOST[:PORT]/TOPIC[?fps=N&tls=system|FILE]` -> Broker.

    Raises:
        SinkError: something missing, a topic with wildcards, a user or password, or an unknown option.
    """
    address, query = target, ""
    if "?" in target:
        address, _, query = target.partition("?")
    if "@" in address:
        raise SinkError("sink 'mqtt:…'", got="a user or password in it", expected=EXPECTED,
                        do="set EPEE_MQTT_USER and EPEE_MQTT_PASSWORD (or EPEE_MQTT_PASSWORD_FILE)")
    what = f"sink 'mqtt:{target}'"
    options = dict(parse_qsl(query, keep_blank_values=True))
    for key in options:
        if key not in ("fps", "tls"):
            raise SinkError(f"{what}: option '{key}'", got="no such option", expected=EXPECTED,
                            do=near(key, ["fps", "tls"]))
    place, _, topic = address.partition("/")
    host, colon, port = place.rpartition(":") if ":" in place and not place.endswith("]") else (place, "", "")
    host = host.strip("[]")
    tls = options.get("tls", "")
    if not host or not topic or any(c in topic for c in "+#\0") or (colon and not _is_port(port)):
        raise SinkError(what, got="no host, no topic, a topic with + or #, or no port number", expected=EXPECTED)
    return Broker(host, int(port) if colon else TLS_PORT if tls else PORT, topic, _rate(what, options), tls)


def _is_port(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) < 65536


def _rate(what: str, options: dict[str, str]) -> float:
    try:
        fps = float(options.get("fps", 0))
    except ValueError:
        fps = -1.0
    if not 0 <= fps < float("inf"):
        raise SinkError(f"{what}: option 'fps'", got=repr(options["fps"]), expected="frames a second, 0 or more")
    return fps
