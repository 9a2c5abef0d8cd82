"""The model as a function, and as a stream that hangs nowhere."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import epee
import numpy as np
import pytest
from epee.runtime.bundle import Bundle
from epee.runtime.errors import BackendError, BundleError, DataError, SourceError
from epee.runtime.model import Model, depth_for, open_model
from epee.runtime.stream import Crew

pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.timeout(30)


@pytest.fixture(params=[1, 2], ids=["one", "side by side"])
def model(tiny_bundle: Path, request: pytest.FixtureRequest) -> Iterator[Model]:
    with open_model(tiny_bundle, "onnxruntime", threads=2, depth=request.param) as opened:
        yield opened


def images(count: int) -> Iterator[Any]:
    """Frame i is blue, green or red by turns."""
    for i in range(count):
        image = np.zeros((72, 96, 3), np.uint8)
        image[..., i % 3] = 200
        yield image


def workers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("epee-worker")]


def gone() -> bool:
    """Whether all workers end within a second."""
    deadline = time.monotonic() + 1
    while workers() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not workers()


def test_a_bundle_opens_through_the_face(tiny_bundle: Path) -> None:
    with epee.open(tiny_bundle) as model:
        assert model.manifest.classes == ("blue", "green", "red", "dark")
        assert model.size_wh == (96, 72)
        result = model(np.full((72, 96, 3), (9, 9, 200), np.uint8))
        assert (result.mask == 2).all()
        assert result.shares == {"blue": 0, "green": 0, "red": 1, "dark": 0}
        assert model.session.run({"frame": np.zeros((3, 72, 96, 3), np.uint8)})["mask"].shape == (3, 72, 96)


def test_goldens_come_out(model: Model, tiny_bundle: Path) -> None:
    golden = Bundle.open(tiny_bundle).goldens()
    got = [model(frame).mask for frame in golden["frame"]]
    assert np.mean(np.stack(got) == golden["mask"]) > 0.999


@pytest.mark.parametrize("shape", [(72, 96, 3), (100, 33, 3), (480, 640), (50, 60, 1), (50, 60, 4)])
def test_masks_have_the_size_of_any_frame(model: Model, shape: tuple[int, ...]) -> None:
    result = model(np.full(shape, 10, np.uint8))
    assert result.mask.shape == shape[:2]
    assert (result.mask == 3).all()
    assert result.overlay(legend=True).shape == (*shape[:2], 3)
    assert ("fit" in result.times_ms) == (shape[:2] != (72, 96))


def test_what_is_no_frame_is_refused(model: Model) -> None:
    with pytest.raises(DataError, match=r"frame: got \(4,\) uint8"):
        model(np.zeros(4, np.uint8))


def test_views_that_are_not_contiguous_are_taken(model: Model) -> None:
    rgb = np.full((72, 96, 3), (200, 9, 9), np.uint8)
    assert (model(rgb[:, :, ::-1]).mask == 2).all()


def test_what_does_not_open_says_why(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match="nothing there"):
        epee.open("no-such-bundle")
    with pytest.raises(BackendError, match="precision 'int8': got not in it, expected one of fp32"):
        epee.open(tiny_bundle, precision="int8")


def test_a_stream_keeps_the_order(model: Model) -> None:
    results = list(model.stream(images(50)))
    assert [r.frame.index for r in results] == list(range(50))
    assert [int(r.mask[5, 5]) for r in results] == [i % 3 for i in range(50)]
    assert gone()


def test_a_stream_opens_what_it_is_named(model: Model, clip: Path) -> None:
    results = list(model.stream(clip))
    assert len(results) == 30
    assert results[0].mask.shape == (120, 160)
    assert set(results[0].times_ms) == {"decode", "fit", "infer"}
    assert len(list(model.stream(str(clip), limit=7))) == 7
    with pytest.raises(SourceError, match="nothing there"):
        next(iter(model.stream("none.mp4")))


def test_a_source_that_raises_is_heard_after_its_good_frames(model: Model) -> None:
    def source() -> Iterator[Any]:
        yield from images(5)
        raise SourceError("the cable", got="cut")

    seen: list[int] = []
    with pytest.raises(SourceError, match="the cable: got cut"):
        seen.extend(result.frame.index for result in model.stream(source()))
    assert seen == [0, 1, 2, 3, 4]
    assert gone()


def test_a_frame_that_does_not_fit_is_heard_in_its_place(model: Model) -> None:
    def source() -> Iterator[Any]:
        yield from images(3)
        yield np.zeros((4, 4, 7), np.uint8)
        yield from images(100)

    seen: list[int] = []
    with pytest.raises(DataError, match=r"frame: got \(4, 4, 7\)"):
        seen.extend(result.frame.index for result in model.stream(source()))
    assert seen == [0, 1, 2]
    assert gone()


def test_leaving_early_stops_the_threads_and_reads_little_ahead(model: Model) -> None:
    read = []

    def source() -> Iterator[Any]:
        for i, image in enumerate(images(10_000)):
            read.append(i)
            yield image

    for result in model.stream(source()):
        if result.frame.index == 3:
            break
    del result
    assert gone()
    assert len(read) < 20


def test_a_slow_reader_holds_the_source_back(model: Model) -> None:
    read = []

    def source() -> Iterator[Any]:
        for i, image in enumerate(images(30)):
            read.append(i)
            yield image

    for result in model.stream(source()):
        time.sleep(0.005)
        assert len(read) - result.frame.index < 10


def test_an_event_stops_a_stream_that_waits(model: Model) -> None:
    stop, silence = threading.Event(), threading.Event()

    def source() -> Iterator[Any]:
        yield from images(2)
        silence.wait(20)

    threading.Timer(0.3, stop.set).start()
    begin = time.monotonic()
    stream = model.stream(source(), stop=stop)
    assert [next(stream).frame.index for _ in range(2)] == [0, 1]
    silence_soon = threading.Timer(0.6, silence.set)
    silence_soon.start()
    assert list(stream) == []
    assert time.monotonic() - begin < 5
    assert gone()


def test_preparing_happens_on_the_workers(model: Model) -> None:
    threads = set()

    def prepare(result: Any) -> None:
        threads.add(threading.current_thread().name)
        _ = result.picture

    results = list(model.stream(images(20), prepare=prepare))
    assert all("overlay" in r.times_ms for r in results)
    assert all(name.startswith("epee-worker") for name in threads)


def test_an_error_while_preparing_is_heard(model: Model) -> None:
    def prepare(result: Any) -> None:
        if result.frame.index == 4:
            raise ValueError("no ink")

    seen: list[int] = []
    with pytest.raises(ValueError, match="no ink"):
        seen.extend(result.frame.index for result in model.stream(images(100), prepare=prepare))
    assert seen == [0, 1, 2, 3]
    assert gone()


def test_many_threads_may_call_one_model(model: Model) -> None:
    answers: list[bool] = []

    def call(colour: int) -> None:
        image = np.zeros((72, 96, 3), np.uint8)
        image[..., colour] = 200
        answers.extend(bool((model(image).mask == colour).all()) for _ in range(20))

    threads = [threading.Thread(target=call, args=(i % 3,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 120


def test_openvino_computes_side_by_side(tiny_bundle: Path) -> None:
    pytest.importorskip("openvino")
    with open_model(tiny_bundle, "openvino", threads=2, depth=2) as model:
        results = list(model.stream(images(30)))
        assert [int(r.mask[5, 5]) for r in results] == [i % 3 for i in range(30)]


def test_depth_follows_the_threads() -> None:
    assert [depth_for(False, n) for n in (1, 2, 4, 16)] == [1, 2, 4, 4]
    assert depth_for(True, 4) == 1
    assert depth_for(False) >= 1


def test_a_crew_computes_side_by_side_and_gives_in_order() -> None:
    """Later frames are done first; all four are worked on at once."""
    together = threading.Barrier(4, timeout=5)

    def work(i: int) -> int:
        if i < 4:
            together.wait()
        time.sleep(0.002 * (4 - i % 4))
        return 10 * i

    with Crew(range(40), work, 4) as crew:
        assert list(crew) == [10 * i for i in range(40)]
        assert list(crew) == []
