"""A real network that runs over street pictures into a page, as long as a test looks at it."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from epee.runtime.frames import Frame, Result
from epee.runtime.sinks import SinkInfo, open_sink
from epee.runtime.sources.status import Tally
from epee.runtime.timing import now_s

MODULES = ("cv2", "onnxruntime", "starlette", "uvicorn", "websockets", "prometheus_client")
SIZE_WH = (640, 360)


@dataclass(frozen=True)
class Answer:
    """What a page answered."""

    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Showing:
    """A stream that runs into a page until it is closed; `tally` is its source's, `sink` its page's."""

    def __init__(self, model: Any, pictures: list[np.ndarray], target: str, name: str, fps: float) -> None:
        self.tally, self.drawn = Tally(), 0
        self._stepping = threading.Lock()
        info = SinkInfo(name, model.manifest, fps, True, backend=model.session.backend, device=model.session.device,
                        precision=model.session.precision, status=lambda: self.tally.status)
        self.sink: Any = open_sink(target, info)
        self.flows = threading.Event()
        self.flows.set()
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(model, pictures, name, fps))
        self._thread.start()

    @property
    def url(self) -> str:
        return self.sink.url

    def lose(self, reason: str) -> None:
        """The source goes away, as a live source tells it."""
        with self._stepping:
            self.flows.clear()
            self.tally.lost(reason)
            self.sink.lost(self.tally.status)

    def get(self, path: str, **headers: str) -> Answer:
        """The page's answer."""
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return Answer(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), error.headers)

    def look(self, query: str = "", **options: Any) -> Any:
        """A viewer's connection, a websocket."""
        from websockets.sync.client import connect

        return connect(f"{self.url.replace('http', 'ws')}ws{query}", compression=None, **options)

    def metric(self, line: str) -> float:
        """The value behind a metric's name and labels."""
        text = self.get("metrics").body.decode()
        return float(next((row.rpartition(" ")[2] for row in text.splitlines() if row.startswith(line + " ")), "nan"))

    def close(self) -> None:
        self._over.set()
        self.flows.set()
        self._thread.join()
        self.sink.close()
        if self._error is not None:
            raise self._error

    def _run(self, model: Any, pictures: list[np.ndarray], name: str, fps: float) -> None:
        index = 0
        try:
            while not self._over.is_set():
                self.flows.wait()
                with self._stepping:
                    if self.flows.is_set():
                        self._step(model(Frame(pictures[index % len(pictures)], index, name, now_s())))
                        index += 1
                self._over.wait(1 / fps)
        except BaseException as error:
            self._error = error

    def _step(self, result: Result) -> None:
        self.tally.frame()
        self.sink.prepare(result)
        self.sink.write(result)
        self.drawn += "overlay" in result.times_ms


@pytest.fixture(scope="session")
def street_model() -> Iterator[Any]:
    for module in MODULES:
        pytest.importorskip(module)
    from epee.runtime.model import open_model

    with open_model("street-nano", "onnxruntime", "fp32", threads=1) as model:
        yield model


@pytest.fixture(scope="session")
def street_pictures() -> list[np.ndarray]:
    from epee.runtime.street import Street

    street = Street(4, SIZE_WH)
    return [street.render(i)[0] for i in range(12)]


@pytest.fixture
def show(street_model: Any, street_pictures: list[np.ndarray]) -> Iterator[Callable[..., Showing]]:
    """Starts streams; they end with the test."""
    with ExitStack() as running:
        def start(target: str = "web:0", name: str = "gate", fps: float = 30.0) -> Showing:
            showing = Showing(street_model, street_pictures, target, name, fps)
            running.callback(showing.close)
            return showing

        yield start


def wait_for(true: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What `true` gives once it gives something true; fails after a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if given := true():
            return given
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return wait_for
