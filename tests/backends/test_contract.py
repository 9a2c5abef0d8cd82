"""One contract for every backend of the table. What is not installed here is skipped with its reason, or fails where
EPEE_REQUIRE_BACKENDS (a comma list) names it."""

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from epee.runtime.backends import (
    BACKENDS,
    Availability,
    Session,
    SessionOptions,
    check_feeds,
    describe,
    load,
    open_session,
    parse_backend,
    probe_all,
)
from epee.runtime.bundle import Bundle
from epee.runtime.errors import BackendError
from epee.runtime.manifest import TensorSpec
from epee.runtime.scores import equal_share
from epee.runtime.variants import choose_variant


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    """The tiny bundle, opened."""
    return Bundle.open(tiny_bundle)


@pytest.fixture
def session(bundle: Bundle, backend: str) -> Iterator[Session]:
    """The fp32 variant on the backend, one thread."""
    with open_session(bundle, backend, "fp32", threads=1) as opened:
        yield opened


def feeds(bundle: Bundle, count: int = 1, start: int = 0) -> dict[str, np.ndarray]:
    """`count` golden inputs, from `start` on, around again where there are fewer."""
    goldens = bundle.goldens()
    return {s.name: np.take(goldens[s.name], np.arange(start, start + count), axis=0, mode="wrap")
            for s in bundle.manifest.inputs}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    """Whether two answers are the same to the last value."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_what_is_required_may_not_be_skipped(absence: Callable[[Availability, str], None]) -> None:
    gone = Availability("openvino", False, "not installed")
    with pytest.raises(pytest.skip.Exception, match="not installed"):
        absence(gone, "onnxruntime,opencv")
    with pytest.raises(pytest.fail.Exception, match=r"asks for backend 'openvino': not installed"):
        absence(gone, "onnxruntime,openvino")
    named = set(filter(None, os.environ.get("EPEE_REQUIRE_BACKENDS", "").split(",")))
    assert named <= set(BACKENDS)


def test_probe_says_devices_and_version(backend: str) -> None:
    found = load(backend).probe()
    assert (found.name, found.reason) == (backend, "")
    assert found.devices
    assert found.version
    assert all(d == d.lower() for d in found.devices)


def test_session_says_what_is_active(session: Session, bundle: Bundle, backend: str) -> None:
    assert (session.backend, session.variant, session.precision) == (backend, "fp32", "fp32")
    assert session.device in load(backend).probe().devices
    assert (session.inputs, session.outputs) == (bundle.manifest.inputs, bundle.manifest.outputs)
    assert session.depth >= 1


def test_every_variant_answers_its_goldens(bundle: Bundle, backend: str) -> None:
    goldens = bundle.goldens()
    for variant in bundle.manifest.variants:
        if variant.kind != "onnx":
            continue
        with open_session(bundle, backend, variant.name) as opened:
            answers = opened.run({s.name: goldens[s.name] for s in opened.inputs})
            for spec in opened.outputs:
                assert answers[spec.name].dtype == spec.dtype
                assert equal_share(answers[spec.name], goldens[spec.name], variant.tolerance.max_step) \
                    >= variant.tolerance.min_equal


def test_a_batch_answers_like_its_frames(session: Session, bundle: Bundle) -> None:
    if bundle.manifest.inputs[0].shape[0] is not None:
        pytest.skip("the graph's batch is fixed")
    batch = session.run(feeds(bundle, 3))
    singles = [session.run(feeds(bundle, 1, i)) for i in range(3)]
    for name, array in batch.items():
        assert len(array) == 3
        assert equal_share(array, np.concatenate([s[name] for s in singles])) > 0.999


def test_the_same_frame_gives_the_same_answer(session: Session, bundle: Bundle) -> None:
    assert same(session.run(feeds(bundle)), session.run(feeds(bundle)))


def test_outputs_belong_to_the_caller(session: Session, bundle: Bundle) -> None:
    first = session.run(feeds(bundle))
    kept = {name: array.copy() for name, array in first.items()}
    inverted = {name: 255 - array for name, array in feeds(bundle).items()}
    second = session.run(inverted)
    for array in second.values():
        array[...] = 77
    session.run(inverted)
    assert same(first, kept)
    assert all((array == 77).all() for array in second.values())
    session.close()
    assert same(first, kept)


def test_inputs_are_left_alone_and_may_be_reused(session: Session, bundle: Bundle) -> None:
    frame = feeds(bundle)
    before = {name: array.copy() for name, array in frame.items()}
    answer = session.run(frame)
    assert same(frame, before)
    for array in frame.values():
        array[...] = 0
    assert same(session.run(before), answer)


def test_views_and_read_only_frames_are_taken(session: Session, bundle: Bundle) -> None:
    plain = feeds(bundle)
    want = session.run(plain)
    flipped = {name: np.ascontiguousarray(array[..., ::-1])[..., ::-1] for name, array in plain.items()}
    assert same(session.run(flipped), want)
    locked = {name: array.copy() for name, array in plain.items()}
    for array in locked.values():
        array.flags.writeable = False
    assert same(session.run(locked), want)


def test_submitted_requests_come_back_in_order(bundle: Bundle, backend: str) -> None:
    with open_session(bundle, backend, "fp32", threads=1, depth=3) as opened:
        assert 1 <= opened.depth <= 3
        want = [opened.run(feeds(bundle, 1, i)) for i in range(6)]
        held = [feeds(bundle, 1, i) for i in range(6)]  # submitted arrays stay as they are until their result
        got = []
        for i in range(6):
            if i >= opened.depth:
                got.append(opened.result())
            opened.submit(held[i])
        got += [opened.result() for _ in range(opened.depth)]
        assert [same(a, b) for a, b in zip(got, want, strict=True)] == [True] * 6


def test_results_of_submit_belong_to_the_caller(bundle: Bundle, backend: str) -> None:
    with open_session(bundle, backend, "fp32", threads=1, depth=2) as opened:
        frames = [feeds(bundle), {name: 255 - array for name, array in feeds(bundle).items()}]
        opened.submit(frames[0])
        first = opened.result()
        kept = {name: array.copy() for name, array in first.items()}
        for _ in range(3):
            opened.submit(frames[1])
            opened.result()
        assert same(first, kept)


def test_too_many_and_too_few_requests(session: Session, bundle: Bundle) -> None:
    with pytest.raises(BackendError, match=r"result: got no request waits; call submit first"):
        session.result()
    held = [feeds(bundle) for _ in range(session.depth + 1)]
    for i in range(session.depth):
        session.submit(held[i])
    with pytest.raises(BackendError, match=r"submit: got .* waits? already"):
        session.submit(held[-1])
    for _ in range(session.depth):
        session.result()
    with pytest.raises(BackendError, match="no request waits"):
        session.result()


def test_what_does_not_fit_is_refused_and_the_session_goes_on(session: Session, bundle: Bundle) -> None:
    good = feeds(bundle)
    name, array = next(iter(good.items()))
    expected = describe(bundle.manifest.inputs[0])
    for bad, got in [({name: array[..., 0]}, f"{array.shape[:-1]} uint8"), ({name: array[:, 1:]}, "uint8"),
                     ({name: array.astype(np.float32)}, "float32"), ({}, "missing"), ({"picture": array}, "missing")]:
        with pytest.raises(BackendError) as caught:
            session.run(bad)
        assert f"input '{name}': got " in str(caught.value)
        assert got in str(caught.value)
        assert expected in str(caught.value)
    with pytest.raises(BackendError, match="inputs: got picture, expected "):
        session.run(good | {"picture": array})
    session.run(good)


def test_a_greyscale_frame_gets_the_hint(session: Session, bundle: Bundle) -> None:
    name, array = next(iter(feeds(bundle).items()))
    with pytest.raises(BackendError, match="is this a greyscale source"):
        session.run({name: array[0, ..., 0]})


def test_closed_is_closed(bundle: Bundle, backend: str) -> None:
    session = open_session(bundle, backend, "fp32", threads=1)
    session.submit(feeds(bundle))
    session.close()
    session.close()
    for call in (session.run, session.submit):
        with pytest.raises(BackendError, match="the session is closed; open it again"):
            call(feeds(bundle))


def test_an_exception_closes(bundle: Bundle, backend: str) -> None:
    opened: list[Session] = []

    def fail() -> None:
        with open_session(bundle, backend, "fp32", threads=1) as session:
            opened.append(session)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    with pytest.raises(BackendError, match="closed"):
        opened[0].run(feeds(bundle))


def test_two_sessions_in_two_threads(bundle: Bundle, backend: str) -> None:
    with open_session(bundle, backend, "fp32", threads=1) as a, open_session(bundle, backend, "fp32", threads=1) as b:
        want = [a.run(feeds(bundle, 1, i)) for i in range(2)]
        wrong: list[int] = []

        def work(session: Session, i: int) -> None:
            wrong.extend(i for _ in range(20) if not same(session.run(feeds(bundle, 1, i)), want[i]))

        threads = [threading.Thread(target=work, args=(s, i)) for i, s in enumerate((a, b))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert wrong == []


def test_an_unknown_device_is_refused(bundle: Bundle, backend: str) -> None:
    with pytest.raises(BackendError, match=f"backend '{backend}:abacus': got no such .*expected one of .*(cpu|cuda)"):
        open_session(bundle, f"{backend}:abacus", "fp32")


def test_an_engine_is_refused_where_it_cannot_run(bundle: Bundle, backend: str) -> None:
    variant = dataclasses.replace(bundle.manifest.variants[0], kind="engine", name="engine-sm999")
    with pytest.raises(BackendError, match=r"engine-sm999"):
        load(backend).open_session(bundle, variant, SessionOptions())


def test_sleeping_threads_answer_the_same(bundle: Bundle, backend: str) -> None:
    with open_session(bundle, backend, "fp32", spinning=False) as a, open_session(bundle, backend, "fp32") as b:
        assert same(a.run(feeds(bundle)), b.run(feeds(bundle)))


def test_auto_takes_the_first_available(bundle: Bundle) -> None:
    first = next(b.name for b in probe_all() if b.available)
    with open_session(bundle) as session:
        assert session.backend == first


def test_a_wrong_name_hints() -> None:
    with pytest.raises(BackendError, match=r"backend 'openvno': got no such backend, .*did you mean 'openvino'"):
        load("openvno")


def test_names_are_split() -> None:
    assert parse_backend("onnxruntime") == ("onnxruntime", "")
    assert parse_backend("openvino:GPU.1") == ("openvino", "gpu.1")


def test_variants_are_chosen_by_name_then_precision(bundle: Bundle) -> None:
    first = bundle.manifest.variants[0]
    u8 = dataclasses.replace(first, name="int8-u8s8", precision="int8")
    s8 = dataclasses.replace(first, name="int8-s8s8", precision="int8")
    many = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, variants=(first, u8, s8)))
    assert choose_variant(many, "auto") == first
    assert choose_variant(many, "int8") == u8
    assert choose_variant(many, "int8-s8s8") == s8
    assert choose_variant(many, "bf16").file == first.file
    with pytest.raises(BackendError, match=r"precision 'int4': got not in it, expected one of .*int8-u8s8"):
        choose_variant(many, "int4")


def test_feeds_of_any_tensor_are_checked() -> None:
    specs = (TensorSpec("z", (None, 64), "float32", "NZ"),)
    check_feeds(specs, {"z": np.zeros((5, 64), np.float32)})
    with pytest.raises(BackendError, match=r"input 'z': got \(5, 63\) float32, expected \(N, 64\) float32"):
        check_feeds(specs, {"z": np.zeros((5, 63), np.float32)})
