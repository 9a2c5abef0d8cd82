"""Threads that share a session: order, equal shares, batches, errors."""

import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epee.runtime.backends import open_session
from epee.runtime.batching import choose
from epee.runtime.bundle import Bundle
from epee.runtime.model import Model, open_model
from epee.runtime.turns import Turns

pytestmark = pytest.mark.timeout(30)


def item(value: float) -> dict[str, Any]:
    return {"x": np.full((1, 2), value, np.float32)}


def together(count: int, call: Any) -> None:
    """Calls with 0, 1, 2 … on threads that begin at once."""
    threads = [threading.Thread(target=call, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_never_more_at_once_than_the_depth() -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def work(feeds: dict[str, Any]) -> dict[str, Any]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.002)
        with lock:
            inside -= 1
        return {"y": 2 * feeds["x"]}

    turns = Turns(work, depth=2)
    answers: dict[int, float] = {}

    def call(i: int) -> None:
        for _ in range(10):
            answers[i] = float(turns(item(i))["y"][0, 0])

    together(6, call)
    assert most == 2
    assert answers == {i: 2.0 * i for i in range(6)}


def test_threads_get_equal_shares_whoever_is_quicker() -> None:
    """One thread comes back at once, three are away for a while between their turns; none gets a second turn before
    one that has waited longer."""
    shares: Counter[int] = Counter()
    end = time.monotonic() + 0.6

    def work(feeds: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.003)
        return feeds

    turns = Turns(work)

    def call(i: int) -> None:
        while time.monotonic() < end:
            turns(item(i))
            shares[i] += 1
            time.sleep(0.003 * (i > 0))

    together(4, call)
    assert min(shares.values()) >= 0.8 * max(shares.values())


def test_requests_that_wait_go_together_and_come_back_apart() -> None:
    sizes = []
    first = threading.Event()

    def work(feeds: dict[str, Any]) -> dict[str, Any]:
        sizes.append(len(feeds["x"]))
        if len(sizes) == 1:
            first.set()
            while len(turns._waiting) < 6:
                time.sleep(0.001)
        return {"y": 3 * feeds["x"]}

    turns, answers = Turns(work, most=4), {}

    def call(i: int) -> None:
        if i:
            first.wait()
        answers[i] = turns(item(i))["y"]

    together(7, call)
    assert sizes == [1, 4, 2]
    assert all(answers[i].shape == (1, 2) and (answers[i] == 3 * i).all() for i in range(7))


def test_an_error_reaches_all_that_went_together_and_nobody_hangs() -> None:
    first = threading.Event()
    calls = 0

    def work(feeds: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls == 1:
            first.set()
            time.sleep(0.05)
        elif calls == 2:
            raise ValueError("no power")
        return feeds

    turns, outcomes = Turns(work, most=2), []

    def call(i: int) -> None:
        if i:
            first.wait()
        try:
            turns(item(i))
            outcomes.append("done")
        except ValueError as error:
            outcomes.append(str(error))

    together(5, call)
    assert Counter(outcomes) == {"done": 3, "no power": 2}
    assert turns(item(9))["x"][0, 0] == 9


@pytest.fixture
def model(tiny_bundle: Path) -> Iterator[Model]:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("cv2")
    with open_model(tiny_bundle, "onnxruntime", threads=2, depth=2) as opened:
        yield opened


def test_batches_are_measured_and_only_where_there_is_a_choice(model: Model) -> None:
    assert choose(model.session, 1).reason == "one stream"
    chosen = model.share(4)
    assert set(chosen.ms) == {1, 2, 4}
    assert all(ms > 0 for ms in chosen.ms.values())
    assert chosen.most == 1 or chosen.ms[chosen.most] < 0.9 * chosen.ms[1]
    assert "ms a frame" in chosen.reason or "one by one" in chosen.reason
    assert chosen.to_json()["most"] == chosen.most


def test_a_batch_answers_as_single_frames_do(tiny_bundle: Path) -> None:
    """The network itself, four frames in one call, each back in its own thread."""
    golden = Bundle.open(tiny_bundle).goldens()
    frames = np.concatenate([golden["frame"], golden["frame"][:, ::-1]])
    with open_session(Bundle.open(tiny_bundle), "onnxruntime", threads=1) as session:
        alone = [session.run({"frame": frame[None]})["mask"] for frame in frames]
        sizes, answers = [], {}

        def run(feeds: Any) -> Any:
            sizes.append(len(feeds["frame"]))
            time.sleep(0.03)
            return session.run(feeds)

        turns = Turns(run, most=4)

        def call(i: int) -> None:
            answers[i] = turns({"frame": frames[i % 4][None]})["mask"]

        together(12, call)
    assert max(sizes) > 1
    assert all((answers[i] == alone[i % 4]).all() for i in range(12))


@pytest.mark.parametrize("most", [1, 4])
def test_arrays_of_requests_that_waited_are_let_go_without_a_collection(most: int) -> None:
    kept: list[weakref.ref[np.ndarray]] = []

    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        time.sleep(0.01)
        answer = feeds["x"] + 1
        kept.append(weakref.ref(answer))
        return {"y": answer}

    turns = Turns(run, depth=1, most=most)

    def ask() -> None:
        mine = np.zeros((1, 8))
        kept.append(weakref.ref(mine))
        turns({"x": mine})

    gc.collect()
    gc.disable()
    try:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(kept) > 4
        assert [ref() for ref in kept] == [None] * len(kept)
    finally:
        gc.enable()
