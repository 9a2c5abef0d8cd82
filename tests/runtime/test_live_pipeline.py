"""The loop on live sources: what is new is shown, what is old is dropped, and sinks hear when there is nothing."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from epee.runtime import pipeline
from epee.runtime.frames import Frame, Result
from epee.runtime.model import Model, open_model
from epee.runtime.pipeline import RunOptions
from epee.runtime.sinks import Opened as OpenedSink
from epee.runtime.sinks import SinkEnd
from epee.runtime.sources import Opened as OpenedSource
from epee.runtime.sources.status import Status, Tally
from epee.runtime.timing import now_s

pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def model(tiny_bundle: Path) -> Iterator[Model]:
    with open_model(tiny_bundle, "onnxruntime", threads=2) as opened:
        yield opened


class Clock(OpenedSource):
    """A camera made of a clock: the newest frame at a rate, nothing while `away` is set, none after `close`."""

    def __init__(self, fps: float = 100, late_s: float = 0.0) -> None:
        super().__init__("clock", fps=fps, live=True)
        self.away, self.closed = threading.Event(), threading.Event()
        self._late_s, self._begin_s = late_s, now_s()
        self._tally = Tally()

    def __iter__(self) -> Iterator[Frame]:
        last = -1
        while not self.closed.wait(0.001):
            if self.away.is_set():
                self._tally.lost("unplugged")
                continue
            index = int((now_s() - self._begin_s) * (self.fps or 1))
            if index > last:
                self._tally.frame()
                last = index
                captured_s = self._begin_s + index / (self.fps or 1) - self._late_s
                yield Frame(np.zeros((72, 96, 3), np.uint8), index, self.name, captured_s)

    def close(self) -> None:
        self.closed.set()


class Slow(OpenedSink):
    """Takes its time, and notes how old what it got was, and what it heard of the source."""

    kind = "slow"

    def __init__(self, slow_s: float = 0.0) -> None:
        super().__init__()
        self.ages_ms: list[float] = []
        self.heard: list[Status] = []
        self.on_lost: Callable[[], None] = lambda: None
        self._slow_s = slow_s

    def write(self, result: Result) -> None:
        self.ages_ms.append(result.frame.age_ms)
        time.sleep(self._slow_s)

    def lost(self, status: Status) -> None:
        self.heard.append(status)
        self.on_lost()


def test_a_slow_sink_drops_and_stays_fresh(model: Model) -> None:
    sink = Slow(0.1)
    stats = pipeline.run(model, Clock(), [sink], RunOptions(frames=10))
    assert stats.frames == 10
    assert stats.dropped > 50
    assert sorted(sink.ages_ms)[5] < 60  # one interval, one network, and never the 100 ms that the sink takes
    assert not [t for t in threading.enumerate() if t.name.startswith("epee-worker")]


def test_what_is_too_old_is_dropped_and_counted(model: Model) -> None:
    sink = Slow()
    stats = pipeline.run(model, Clock(late_s=0.5), [sink], RunOptions(seconds=0.4, max_age_ms=100))
    assert sink.ages_ms == []
    assert stats.frames == 0
    assert stats.dropped == stats.received
    assert stats.dropped_old > 10
    assert "too old" in stats.to_text()
    stats = pipeline.run(model, Clock(), [sink], RunOptions(frames=10, max_age_ms=5_000))
    assert (stats.frames, stats.dropped_old) == (10, 0)


def test_the_sinks_hear_that_a_source_is_lost_and_back(model: Model) -> None:
    source, sink = Clock(), Slow()

    def heard() -> None:
        if [s.state for s in sink.heard].count("lost") == 2:  # again after a second
            source.away.clear()

    sink.on_lost = heard
    threading.Timer(0.3, source.away.set).start()
    stats = pipeline.run(model, source, [sink], RunOptions(seconds=2.0))
    states = [status.state for status in sink.heard]
    assert states == ["live", "lost", "lost", "live"]
    assert sink.heard[1].reason == "unplugged"
    assert sink.heard[1].since_s == sink.heard[2].since_s
    assert (stats.reconnects, stats.state) == (1, "live")
    assert stats.frames > 20


def test_limits_and_ends_hold_while_nothing_comes(model: Model) -> None:
    source, sink, stop = Clock(), Slow(), threading.Event()
    source.away.set()
    begin = time.monotonic()
    assert pipeline.run(model, source, [sink], RunOptions(seconds=0.3)).frames == 0
    assert time.monotonic() - begin < 2
    source = Clock()
    source.away.set()
    threading.Timer(0.2, stop.set).start()
    assert pipeline.run(model, source, [sink], stop=stop).interrupted
    assert time.monotonic() - begin < 4

    def leave() -> None:
        raise SinkEnd

    source = Clock()
    source.away.set()
    sink.on_lost = leave
    assert pipeline.run(model, source, [sink]).interrupted
    assert source.closed.is_set()


def test_progress_goes_on_while_nothing_comes(model: Model) -> None:
    source, states = Clock(), []
    source.away.set()
    pipeline.run(model, source, [Slow()], RunOptions(seconds=0.5), progress=lambda stats: states.append(stats.state))
    assert states.count("lost") >= 2
