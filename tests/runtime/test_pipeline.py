"""The loop: what is delivered, what is counted, and what happens when something breaks."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epee.runtime import pipeline
from epee.runtime.errors import SinkError, SourceError
from epee.runtime.frames import Frame, Result
from epee.runtime.model import Model, open_model
from epee.runtime.pipeline import RunOptions
from epee.runtime.sinks import Opened as OpenedSink
from epee.runtime.sinks import SinkEnd, SinkInfo, open_sink
from epee.runtime.sources import Opened as OpenedSource
from epee.runtime.sources import open_source
from epee.runtime.timing import Durations, measure, now_s, percentiles

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def model(tiny_bundle: Path) -> Iterator[Model]:
    with open_model(tiny_bundle, "onnxruntime", threads=2, depth=2) as opened:
        yield opened


class Drawn(OpenedSource):
    """Frames from memory, with gaps and an end that a test chooses."""

    def __init__(self, indices: Any, error: Exception | None = None, size_hw: tuple[int, int] = (72, 96)) -> None:
        super().__init__("drawn")
        self._indices, self._error, self._size_hw = indices, error, size_hw

    def __iter__(self) -> Iterator[Frame]:
        for index in self._indices:
            yield Frame(np.full((*self._size_hw, 3), index % 200, np.uint8), index, self.name, now_s(), f"{index:06d}")
        if self._error is not None:
            raise self._error


class Kept(OpenedSink):
    """Keeps what comes; can be slow, fail, or end the run."""

    kind = "kept"

    def __init__(self, slow_s: float = 0.0, fail_at: int = -1, end_at: int = -1) -> None:
        super().__init__()
        self.seen: list[int] = []
        self.threads: set[threading.Thread] = set()
        self._slow_s, self._fail_at, self._end_at = slow_s, fail_at, end_at
        self.closed = 0

    def write(self, result: Result) -> None:
        time.sleep(self._slow_s)
        self.threads.add(threading.current_thread())
        if result.frame.index == self._fail_at:
            raise SinkError("the shelf", got="full")
        self.seen.append(result.frame.index)
        if result.frame.index == self._end_at:
            raise SinkEnd

    def close(self) -> None:
        self.closed += 1


def test_every_sink_gets_every_frame_on_the_calling_thread(model: Model) -> None:
    sinks = [Kept(), Kept()]
    stats = pipeline.run(model, Drawn(range(40)), sinks)
    assert [sink.seen for sink in sinks] == [list(range(40))] * 2
    assert sinks[0].threads == {threading.current_thread()}
    assert (stats.frames, stats.dropped, stats.reconnects, stats.interrupted) == (40, 0, 0, False)


def test_the_numbers_of_a_run(model: Model, clip: Path, tmp_path: Path) -> None:
    source = open_source(clip)
    info = SinkInfo(source.name, model.manifest, source.fps)
    with source, open_sink("null:overlay", info) as null, open_sink(f"jsonl:{tmp_path}/a.jsonl", info) as lines:
        begin = time.monotonic()
        stats = pipeline.run(model, source, [null, lines])
        spent = time.monotonic() - begin
    data = stats.to_json()
    assert {"frames", "dropped", "reconnects", "seconds", "fps", "backend", "precision", "stages_ms",
            "age_ms"} <= set(data)
    assert (data["frames"], data["backend"], data["device"], data["precision"]) == (30, "onnxruntime", "cpu", "fp32")
    assert list(data["stages_ms"]) == ["decode", "fit", "infer", "overlay", "null", "jsonl"]
    assert all(0 <= p["p50"] <= p["p95"] <= p["p99"] < 1e3 * spent for p in data["stages_ms"].values())
    assert 0 < data["age_ms"]["p50"] < 1e3 * spent
    assert data["seconds"] < spent
    assert data["fps"] == pytest.approx(30 / stats.seconds, rel=1e-3)
    assert data["files"] == [f"{tmp_path}/a.jsonl"]
    text = stats.to_text()
    assert "clip: 30 frames in" in text
    assert f"wrote {tmp_path}/a.jsonl" in text


def test_drawing_is_a_stage_of_its_own(model: Model) -> None:
    """The sink that draws first is not charged for it."""
    source = Drawn(range(10), size_hw=(1080, 1920))
    stats = pipeline.run(model, source, [open_sink("null:overlay", SinkInfo("s", model.manifest))])
    assert stats.stages_ms["null"]["p50"] < stats.stages_ms["overlay"]["p50"]


def test_gaps_are_dropped_frames(model: Model) -> None:
    stats = pipeline.run(model, Drawn([0, 1, 4, 5, 9]), [Kept()])
    assert (stats.frames, stats.dropped) == (5, 5)


def test_limits_end_a_run(model: Model) -> None:
    sink = Kept()
    assert pipeline.run(model, Drawn(range(10**9)), [sink], RunOptions(frames=7)).frames == 7
    assert sink.seen == list(range(7))
    stats = pipeline.run(model, Drawn(range(10**9)), [Kept()], RunOptions(seconds=0.2))
    assert 0.2 <= stats.seconds < 5


def test_a_source_that_raises_loses_nothing(model: Model) -> None:
    sink = Kept()
    with pytest.raises(SourceError, match="the cable: got cut"):
        pipeline.run(model, Drawn(range(9), SourceError("the cable", got="cut")), [sink])
    assert sink.seen == list(range(9))


def test_a_sink_that_raises_is_left_out(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    other, failing = Kept(), Kept(fail_at=5)
    stats = pipeline.run(model, Drawn(range(20)), [other, failing])
    assert other.seen == list(range(20))
    assert failing.seen == list(range(5))
    assert failing.closed == other.closed == 1
    assert stats.to_json()["failed"] == [{"sink": "kept", "error": "the shelf: got full"}]
    assert capsys.readouterr().err == "epee: the shelf: got full; the other sinks go on\n"
    assert "stopped: the shelf: got full" in stats.to_text()


def test_whatever_a_sink_raises_it_harms_no_other(model: Model) -> None:
    class Careless(Kept):
        def prepare(self, result: Result) -> None:
            raise ZeroDivisionError("by nothing")

        def write(self, result: Result) -> None:
            self.prepare(result)

        def close(self) -> None:
            raise RuntimeError("twice")

    other = Kept()
    stats = pipeline.run(model, Drawn(range(9)), [Careless(), other])
    assert other.seen == list(range(9))
    assert [str(f.error) for f in stats.failed] == ["sink 'kept' failed: got ZeroDivisionError: by nothing"]


def test_the_last_sink_that_raises_ends_the_run(model: Model) -> None:
    with pytest.raises(SinkError, match="the shelf: got full"):
        pipeline.run(model, Drawn(range(10**9)), [Kept(fail_at=3), Kept(fail_at=5)])


def test_a_sink_that_cannot_be_finished_is_told(model: Model) -> None:
    class Open(Kept):
        def close(self) -> None:
            raise SinkError("the lid", got="stuck")

    stats = pipeline.run(model, Drawn(range(3)), [Open(), Kept()])
    assert [failure.to_json() for failure in stats.failed] == [{"sink": "kept", "error": "the lid: got stuck"}]
    with pytest.raises(SinkError, match="the lid: got stuck"):
        pipeline.run(model, Drawn(range(3)), [Open()])


def test_a_slow_sink_slows_the_run_and_keeps_order(model: Model) -> None:
    sink = Kept(slow_s=0.01)
    stats = pipeline.run(model, Drawn(range(30)), [sink])
    assert sink.seen == list(range(30))
    assert stats.seconds >= 0.3
    assert stats.stages_ms["kept"]["p50"] >= 10


def test_a_person_may_end_a_run(model: Model) -> None:
    stats = pipeline.run(model, Drawn(range(10**9)), [Kept(end_at=3)])
    assert stats.frames == 3
    assert stats.interrupted


def test_an_event_ends_a_run(model: Model) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    stats = pipeline.run(model, Drawn(range(10**9)), [Kept()], stop=stop)
    assert stats.interrupted
    assert stats.frames > 0


def test_a_stage_changes_results_in_order_before_they_are_drawn(model: Model) -> None:
    seen = []

    def smooth(result: Result) -> Result:
        assert "overlay" not in result.times_ms
        seen.append(result.frame.index)
        return Result(result.frame, {"mask": np.full_like(result.outputs["mask"], 2)}, result.manifest, result.times_ms)

    class Looks(Kept):
        def prepare(self, result: Result) -> None:
            assert (result.mask == 2).all()

    stats = pipeline.run(model, Drawn(range(20)), [Looks()], RunOptions(smooth=smooth))
    assert stats.frames == 20
    assert seen == list(range(20))


def test_a_callback_that_raises_ends_the_run_and_hangs_nothing(model: Model) -> None:
    def progress(stats: object) -> None:
        raise ValueError("no terminal")

    sink = Kept()
    with pytest.raises(ValueError, match="no terminal"):
        pipeline.run(model, Drawn(range(10**9)), [sink], progress=progress)
    assert sink.closed == 1
    time.sleep(0.2)
    assert not [t for t in threading.enumerate() if t.name.startswith("epee-worker")]


def test_no_thread_is_left(model: Model) -> None:
    for source, frames in ((Drawn(range(10)), None), (Drawn(range(10**9)), 3)):
        pipeline.run(model, source, [Kept()], RunOptions(frames=frames))
    time.sleep(0.2)
    assert not [t for t in threading.enumerate() if t.name.startswith("epee-worker")]


def test_percentiles_and_durations() -> None:
    assert percentiles(range(101)) == {"p50": 50, "p95": 95, "p99": 99}
    assert percentiles([]) == {"p50": 0, "p95": 0, "p99": 0}
    times = Durations(keep=10)
    for i in range(25):
        times.add("a", i)
    assert times.percentiles_of("a", 3) == percentiles([22, 23, 24])
    assert times.percentiles_of("none") == percentiles(())
    times.add_all({"b": 1.5})
    assert times.percentiles() == {"a": percentiles(range(15, 25)), "b": percentiles([1.5])}
    calls: list[int] = []
    assert len(measure(lambda: calls.append(1), runs=5, warm_up=2)) == 5
    assert len(calls) == 7
