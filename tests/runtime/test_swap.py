"""A bundle replaced while it runs: a good one is taken between two frames, a bad one is refused."""

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epee.runtime import pipeline
from epee.runtime.bundle import MANIFEST
from epee.runtime.errors import BackendError
from epee.runtime.frames import Frame, Result
from epee.runtime.model import Model, open_model
from epee.runtime.sinks import Opened as OpenedSink
from epee.runtime.sources import Opened as OpenedSource
from epee.runtime.swap import Replacing

pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def link(tiny_copy: Path, tmp_path: Path) -> Path:
    """`current.epee`, a link to `copy.epee`; `other.epee` beside it has other class names."""
    other = Path(shutil.copytree(tiny_copy, tmp_path / "other.epee"))
    edit(other, lambda manifest: manifest.update(name="other", classes=["b", "g", "r", "d"]))
    link = tmp_path / "current.epee"
    link.symlink_to(tiny_copy.name)
    return link


@pytest.fixture
def model(link: Path) -> Iterator[Model]:
    with open_model(link, "onnxruntime", threads=2, depth=2) as opened:
        yield opened


def edit(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def point(link: Path, to: str) -> None:
    """As a careful person does it: a new link, renamed over the old one."""
    new = link.with_name("new.link")
    new.symlink_to(to)
    new.replace(link)


def wait_for(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in 20 s"
        time.sleep(0.02)


class Names(OpenedSink):
    """Keeps the name of the bundle behind each result."""

    kind = "names"

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, str]] = []

    def write(self, result: Result) -> None:
        assert result.mask.shape == (72, 96)
        self.seen.append((result.frame.index, result.manifest.name))


class Endless(OpenedSource):
    """Black frames, as fast as they are taken."""

    def __init__(self) -> None:
        super().__init__("endless")

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            yield Frame(np.zeros((72, 96, 3), np.uint8), index)
            index += 1


def test_a_link_to_another_version_is_taken_between_two_frames(model: Model, link: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    sink, stop, old = Names(), threading.Event(), model.session
    with Replacing(model, link) as bundles:
        def change() -> None:
            wait_for(lambda: len(sink.seen) > 10)
            point(link, "other.epee")
            wait_for(lambda: any(name == "other" for _, name in sink.seen))
            stop.set()

        changing = threading.Thread(target=change)
        changing.start()
        pipeline.run(model, Endless(), [sink], stop=stop)
        changing.join()
    assert bundles.counts == {"done": 1, "refused": 0}
    assert [index for index, _ in sink.seen] == list(range(len(sink.seen)))  # not a frame is missing
    names = [name for _, name in sink.seen]
    assert names == sorted(names, key=["tiny", "other"].index)  # and no old answer comes after a new one
    assert "the new 'current.epee' runs (onnxruntime:cpu, fp32)" in capsys.readouterr().err
    assert model.manifest.classes == ("b", "g", "r", "d")
    with pytest.raises(BackendError, match="the session is closed"):
        old.run({"frame": np.zeros((1, 72, 96, 3), np.uint8)})


def flipped(bundle: Path) -> None:
    """Other answers than the goldens say."""
    with np.load(bundle / "golden.npz") as file:
        arrays = dict(file)
    np.savez(bundle / "golden.npz", frame=arrays["frame"], mask=(arrays["mask"] + 1) % 4)


@pytest.mark.parametrize(("spoil", "why"), [
    (lambda b: (b / "fp32.onnx").write_bytes((b / "fp32.onnx").read_bytes()[:-9]), "hash of fp32.onnx"),
    (flipped, r"output 'mask': got 0\.\d+ equal, expected 0.999"),
    (lambda b: (b / "golden.npz").unlink(), "golden.npz does not open"),
    (lambda b: (b / MANIFEST).write_text("{"), "manifest.json is no JSON"),
    (lambda b: edit(b, lambda m: m.update(task="enhance")), "task: got enhance, expected segment, as the one that"),
    (lambda b: edit(b, lambda m: m["outputs"][0].update(name="image")), "outputs: got .*image")])
def test_a_bad_bundle_is_refused_in_one_line_and_the_old_one_goes_on(
        model: Model, link: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], object],
        why: str) -> None:
    spoil(link.with_name("other.epee"))
    with Replacing(model, link, "onnxruntime") as bundles:
        point(link, "other.epee")
        wait_for(lambda: bundles.counts["refused"])
    assert bundles.counts == {"done": 0, "refused": 1}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("epee: the new 'current.epee' is refused, the old one goes on: ")
    assert re.search(why, line), line
    assert model.manifest.name == "tiny"
    assert model(np.zeros((72, 96, 3), np.uint8)).mask.shape == (72, 96)


def test_a_folder_that_is_replaced_and_a_person_who_asks(model: Model, link: Path, tmp_path: Path) -> None:
    asked = [0]
    with Replacing(model, link, asked=lambda: asked[0]) as bundles:
        (tmp_path / "copy.epee").rename(tmp_path / "gone.epee")
        time.sleep(1.2)  # nothing there: nothing is tried
        (tmp_path / "other.epee").rename(tmp_path / "copy.epee")
        wait_for(lambda: bundles.counts["done"] == 1)
        assert model.manifest.name == "other"
        asked[0] += 1
        wait_for(lambda: bundles.counts["done"] == 2)
    assert bundles.counts == {"done": 2, "refused": 0}


def test_nothing_happens_to_a_bundle_that_stays(model: Model, link: Path) -> None:
    session = model.session
    with Replacing(model, link) as bundles:
        time.sleep(1.2)
    assert model.session is session
    assert bundles.counts == {"done": 0, "refused": 0}
    assert not [t for t in threading.enumerate() if t.name == "epee-bundle"]


def test_a_bundle_is_replaced_while_it_computes_in_bf16(link: Path, tmp_path: Path) -> None:
    """bf16 is no file of the bundle: the replacement has to find the way to it as the first opening did."""
    pytest.importorskip("openvino")
    try:
        opened = open_model(link, "openvino", "bf16")
    except BackendError as error:
        pytest.skip(f"no bf16 here: {error}")
    with opened as model, Replacing(model, str(link), "auto", "auto") as replacing:
        other = tmp_path / "next"
        other.symlink_to("other.epee")
        other.rename(link)
        end_s = time.monotonic() + 20
        while not replacing.counts["done"] and time.monotonic() < end_s:
            time.sleep(0.05)
        assert replacing.counts == {"done": 1, "refused": 0}
        assert (model.manifest.name, model.session.variant) == ("other", "bf16")
