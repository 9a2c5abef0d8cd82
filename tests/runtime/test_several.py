"""Several streams in one process: fair, apart in their faults, together in a mosaic."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from epee.runtime.backends import Session, open_session
from epee.runtime.bundle import Bundle
from epee.runtime.errors import SinkError, SourceError
from epee.runtime.frames import Frame, Result
from epee.runtime.mosaic import Mosaic
from epee.runtime.opening import Streams, open_streams
from epee.runtime.pipeline import Run, RunOptions
from epee.runtime.several import SiteStats, run_all
from epee.runtime.sinks import Opened as OpenedSink
from epee.runtime.site import Camera, several
from epee.runtime.sources import Opened as OpenedSource
from epee.runtime.sources.status import Status
from epee.runtime.timing import now_s

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.timeout(60)


class Drawn(OpenedSource):
    """Grey frames, so many, and then perhaps an error."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        super().__init__("drawn", count=count)
        self._error = error

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count or 0):
            yield Frame(np.full((72, 96, 3), 100, np.uint8), index, self.name, now_s(), f"{index:06d}")
        if self._error is not None:
            raise self._error


class Kept(OpenedSink):
    """Counts; can fail."""

    kind = "kept"

    def __init__(self, fail_at: int = -1) -> None:
        super().__init__()
        self.count, self._fail_at, self.thread = 0, fail_at, ""

    def write(self, result: Result) -> None:
        if self.count == self._fail_at:
            raise SinkError("the shelf", got="full")
        self.count += 1
        self.thread = threading.current_thread().name


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def streams_of(tiny_bundle: Path, opened: ExitStack, sources: list[OpenedSource], sinks: list[Kept]) -> Streams:
    """Streams opened the usual way, with sources and sinks of this file in their places."""
    cameras = several(["synthetic:street?frames=1"] * len(sources),
                      Camera("", str(tiny_bundle), backend="onnxruntime", threads=2))
    streams = open_streams(cameras, opened)
    streams.ready = [replace(ready, source=source, sinks=(sink,))
                     for ready, source, sink in zip(streams.ready, sources, sinks, strict=True)]
    return streams


def run(streams: Streams, options: RunOptions | None = None, stop: threading.Event | None = None) -> SiteStats:
    stop = stop or threading.Event()
    runs: list[Run] = [ready.run(options or RunOptions(), stop) for ready in streams.ready]
    return run_all(runs, streams.mosaics, stop=stop)


def test_each_stream_has_its_thread_and_all_its_frames(tiny_bundle: Path, opened: ExitStack) -> None:
    sinks = [Kept() for _ in range(3)]
    streams = streams_of(tiny_bundle, opened, [Drawn(20), Drawn(30), Drawn(40)], sinks)
    assert len({id(ready.model) for ready in streams.ready}) == 1
    stats = run(streams)
    assert [sink.count for sink in sinks] == [20, 30, 40]
    assert sorted(sink.thread for sink in sinks) == ["epee-stream-0", "epee-stream-1", "epee-stream-2"]
    data = stats.to_json()
    assert [stream["frames"] for stream in data["streams"]] == [20, 30, 40]
    assert [stream["source"] for stream in data["streams"]] == ["street-1", "street-2", "street-3"]
    assert (data["frames"], data["dropped"], data["interrupted"], stats.whole) == (90, 0, False, True)
    assert data["fps"] == pytest.approx(90 / data["seconds"], rel=0.01)
    assert "3 streams: 90 frames in" in stats.to_text()
    assert not [t for t in threading.enumerate() if t.name.startswith(("epee-worker", "epee-stream"))]


class Held:
    """A session that takes a while longer, so that it is what the streams wait for, and in which batches do not pay."""

    def __init__(self, session: Session, seconds: float) -> None:
        self._session, self._seconds = session, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        time.sleep(self._seconds * len(inputs["frame"]) ** 1.5)
        return self._session.run(inputs)


def test_streams_get_equal_shares_of_a_network_that_all_wait_for(tiny_bundle: Path, opened: ExitStack) -> None:
    """How equal they are where processor time is scarce as well is measured by benchmarks.studies.fairness."""
    sinks = [Kept() for _ in range(5)]
    streams = streams_of(tiny_bundle, opened, [Drawn(10**9) for _ in sinks], sinks)
    model = streams.ready[0].model
    session = open_session(Bundle.open(tiny_bundle), "onnxruntime", threads=2, depth=model.session.depth)
    model.swap(cast(Session, Held(session, 0.02)), model.manifest)
    assert model.batching.most == 1
    shares = [stream.frames for stream in run(streams, RunOptions(seconds=1.5)).streams]
    assert min(shares) > 10
    assert min(shares) >= 0.8 * max(shares)


def test_what_happens_to_one_stream_ends_no_other(tiny_bundle: Path, opened: ExitStack,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    sinks = [Kept(), Kept(), Kept(fail_at=5)]
    sources: list[OpenedSource] = [Drawn(30), Drawn(3, SourceError("the cable", got="cut")), Drawn(30)]
    stats = run(streams_of(tiny_bundle, opened, sources, sinks))
    assert [sink.count for sink in sinks] == [30, 3, 5]
    assert [stream.error for stream in stats.streams] == ["", "the cable: got cut", "the shelf: got full"]
    assert not stats.whole
    assert "epee: stream 'street-2' ends: the cable: got cut" in capsys.readouterr().err


def test_an_event_ends_all(tiny_bundle: Path, opened: ExitStack) -> None:
    stop, sinks = threading.Event(), [Kept(), Kept()]
    streams = streams_of(tiny_bundle, opened, [Drawn(10**9), Drawn(10**9)], sinks)
    threading.Timer(0.5, stop.set).start()
    stats = run(streams, stop=stop)
    assert stats.interrupted
    assert min(sink.count for sink in sinks) > 0


def test_other_settings_open_another_session(tiny_bundle: Path, opened: ExitStack) -> None:
    shared = Camera("synthetic:street?frames=1", str(tiny_bundle), name="a", backend="onnxruntime")
    streams = open_streams([shared, replace(shared, name="b"), replace(shared, name="c", threads=1)], opened)
    models = [ready.model for ready in streams.ready]
    assert models[0] is models[1]
    assert models[2] is not models[0]
    assert (models[0].streams, models[2].streams) == (2, 1)
    assert [ready.source.name for ready in streams.ready] == ["a", "b", "c"]


def picture(colour: tuple[int, int, int], manifest: Any) -> Result:
    image = np.full((60, 80, 3), colour, np.uint8)
    return Result(Frame(image), {"mask": np.full((72, 96), 255, np.uint8)}, manifest)


def test_a_mosaic_shows_the_newest_of_each_and_who_is_lost(tiny_bundle: Path, tmp_path: Path) -> None:
    manifest = Bundle.open(tiny_bundle).manifest
    with Mosaic([f"png:{tmp_path}"], ["yard", "gate", "roof"], manifest) as mosaic:
        yard, gate, _ = mosaic.tiles
        yard.write(picture((0, 0, 200), manifest))
        yard.write(picture((0, 200, 0), manifest))
        gate.write(picture((200, 0, 0), manifest))
        while not any(tmp_path.iterdir()):
            mosaic.tick()
        gate.lost(Status("lost", now_s() - 12))
        lost = mosaic.draw()
        gate.lost(Status("live", now_s()))
        assert mosaic.draw()[100, 800].tolist() == [200, 0, 0]
    image = cv2.imread(str(tmp_path / "000000.png"))
    assert image.shape == (960, 1280, 3)
    assert [image[y, x].tolist() for y, x in ((100, 100), (100, 800), (600, 100), (600, 800))] == [
        [0, 200, 0], [200, 0, 0], [24, 24, 24], [24, 24, 24]]
    assert lost[20, 800].tolist() == [60, 0, 0]
    assert (lost[100, 100] == [0, 200, 0]).all()
    with pytest.raises(SinkError, match="a sink that shows no pictures"):
        Mosaic(["jsonl:a"], ["a", "b"], manifest)


def test_a_mosaic_is_drawn_while_streams_run(tiny_bundle: Path, opened: ExitStack, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    sources = ["synthetic:street?seed=1&size=96x72", "synthetic:street?seed=2&size=96x72"]
    cameras = several(sources, Camera("", str(tiny_bundle), sinks=("null", f"mosaic:{tmp_path}/m.mp4"),
                                      backend="onnxruntime", threads=2))
    streams = open_streams(cameras, opened)
    begin = time.monotonic()
    stats = run(streams, RunOptions(seconds=2.0))
    assert time.monotonic() - begin < 10
    assert stats.files == [f"{tmp_path}/m.mp4"]
    assert all("mosaic" in stream.stages_ms and stream.frames > 5 for stream in stats.streams)
    with av.open(str(tmp_path / "m.mp4")) as video:
        frames = [frame.to_ndarray(format="bgr24") for frame in video.decode(video=0)]
    assert len(frames) > 3
    assert frames[-1].shape == (480, 1280, 3)
    assert frames[-1][:, :640].std() > 5
    assert frames[-1][:, 640:].std() > 5


def test_a_stream_that_hangs_in_a_sink_is_noticed(tiny_bundle: Path, opened: ExitStack,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog's beat stops while a sink does not return, and goes on when it does."""
    monkeypatch.setattr("epee.runtime.pipeline.STUCK_S", 0.2)
    beats: list[float] = []

    class Hanging(Kept):
        def write(self, result: Result) -> None:
            super().write(result)
            if self.count == 5:
                time.sleep(0.8)

    streams = streams_of(tiny_bundle, opened, [Drawn(100), Drawn(10)], [Hanging(), Kept()])
    stop = threading.Event()
    runs = [ready.run(RunOptions(), stop) for ready in streams.ready]
    stats = run_all(runs, stop=stop, beat=lambda _: beats.append(now_s()))
    assert [stream.frames for stream in stats.streams] == [100, 10]
    gaps = [after - before for before, after in pairwise([*beats, now_s()])]
    assert 0.4 < max(gaps) < 5
