"""Recordings: parts, caps that delete only what is theirs, cards while the source is lost, disks that fill up."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epee.runtime.bundle import Bundle
from epee.runtime.errors import SinkError
from epee.runtime.frames import Frame, Result
from epee.runtime.manifest import Manifest
from epee.runtime.sinks import SinkInfo, open_sink, recording
from epee.runtime.sinks.recording import parse_parts, pattern
from epee.runtime.sources.status import Status
from epee.runtime.timing import now_s

cv2 = pytest.importorskip("cv2")
av = pytest.importorskip("av")
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def info(tiny_bundle: Path) -> SinkInfo:
    return SinkInfo("yard", Bundle.open(tiny_bundle).manifest, fps=25.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The recording's clock, to be moved by hand."""
    now = [1000.0]
    monkeypatch.setattr(recording.time, "monotonic", lambda: now[0])
    return now


def noise(manifest: Manifest, index: int, hw: tuple[int, int] = (120, 160)) -> Result:
    image = np.random.default_rng(index).integers(0, 256, (*hw, 3), np.uint8)
    return Result(Frame(image, index, "yard", now_s()), {"mask": np.zeros((72, 96), np.uint8)}, manifest)


def frames_of(path: str | Path) -> int:
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_a_part_lasts_as_long_as_asked(info: SinkInfo, tmp_path: Path, clock: list[float]) -> None:
    with open_sink(f"{tmp_path}/{{source}}-%Y%m%d-%H%M%S.mp4?every=10min", info) as sink:
        for i in range(30):
            clock[0] += 60
            sink.write(noise(info.manifest, i))
    assert [frames_of(path) for path in sink.files] == [9, 10, 10, 1]
    assert all(Path(path).name.startswith("yard-20") for path in sink.files)


def test_a_part_is_as_large_as_asked(info: SinkInfo, tmp_path: Path, clock: list[float]) -> None:
    with open_sink(f"{tmp_path}/a.mp4?size=150kB", info) as sink:
        for i in range(100):
            clock[0] += 0.04
            sink.write(noise(info.manifest, i))
    sizes = [os.path.getsize(path) for path in sink.files]
    assert len(sizes) > 2
    assert sum(map(frames_of, sink.files)) == 100
    assert max(sizes) < 150_000 + 2 * 25 * 10_000  # two seconds of this noise more: one to look, one in a fragment
    assert all("a-20" in path for path in sink.files)


def test_the_cap_deletes_the_oldest_of_its_own(info: SinkInfo, tmp_path: Path, clock: list[float]) -> None:
    foreign = [tmp_path / name for name in ("holiday.mp4", "a.mp4", "a-20240101-000000.mp4.txt",
                                            "b-20240101-000000.mp4")]
    for path in foreign:
        path.write_bytes(bytes(400_000))
    old = tmp_path / "a-20240101-000000.mp4"  # of an earlier run
    old.write_bytes(bytes(400_000))
    os.utime(old, (1, 1))
    with open_sink(f"{tmp_path}/a.mp4?every=1s&keep=1MB", info) as sink:
        for i in range(200):
            clock[0] += 0.04
            sink.write(noise(info.manifest, i))
    assert not old.exists()
    assert all(path.exists() for path in foreign)
    mine = [path for path in tmp_path.iterdir() if path not in foreign]
    assert sum(map(os.path.getsize, mine)) <= 1_000_000
    assert sorted(map(str, mine)) == sink.files
    assert len(mine) > 1
    assert frames_of(sorted(mine)[-1]) > 0


def test_a_lost_source_is_recorded_as_lost(info: SinkInfo, tmp_path: Path, clock: list[float]) -> None:
    """The card is dark and has a band; parts that begin meanwhile show it too; then another size comes back."""
    live = SinkInfo("yard", info.manifest, fps=25.0, live=True)
    with open_sink(f"{tmp_path}/a.mp4?every=1h", live) as sink:
        sink.lost(Status("connecting", now_s()))
        sink.write(noise(info.manifest, 0))
        for _ in range(3):
            sink.lost(Status("lost", now_s() - 12, "unplugged"))
        clock[0] += 3700
        sink.lost(Status("lost", now_s() - 12, "unplugged"))
        sink.lost(Status("live", now_s()))
        sink.write(noise(info.manifest, 1, (200, 100)))
    assert [frames_of(path) for path in sink.files] == [4, 2]
    with av.open(sink.files[0]) as video:
        first, *cards = [frame.to_ndarray(format="bgr24").astype(int) for frame in video.decode(video=0)]
    assert cards[0][:20].mean() < 0.5 * first[:20].mean()
    band = cards[0][40:80].reshape(-1, 3).mean(0)
    assert band[2] > 2 * band[1]  # red
    with av.open(sink.files[1]) as video:
        assert {(f.width, f.height) for f in video.decode(video=0)} == {(160, 120)}


@pytest.mark.parametrize(("options", "why"), [
    ("evry=10min", "option 'evry': got no such option, expected every, size, keep; did you mean 'every'"),
    ("every=10", "'every': got '10', expected a number above 0 and one of s, min, h, d"),
    ("every=0s", "'every': got '0s'"), ("size=5min", "'size': got '5min', expected .* kB, MB, GB, TB"),
    ("keep=5GB", "got nothing that ends a part, expected every=10min or size=500MB"), ("", "nothing that ends a part")])
def test_options_are_checked(options: str, why: str) -> None:
    with pytest.raises(SinkError, match=why):
        parse_parts("a.mp4", options)


def test_options_and_names() -> None:
    parts = parse_parts("a.mp4", "every=1.5h&size=2GB&keep=3GB")
    assert (parts.every_s, parts.size, parts.keep) == (5400, 1_500_000_000, 3_000_000_000)
    assert pattern("x/yard-%Y.mp4").fullmatch("yard-2026_2.mp4")
    assert not pattern("x/yard-%Y.mp4").fullmatch("yard-20261.mp4")
    for target, why in (("%Y/a.mp4", "a time in the folder's name"), ("a-%A.mp4", "no time that can be told")):
        with pytest.raises(SinkError, match=why):
            pattern(target)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_is_one_line_and_leaves_what_plays(info: SinkInfo, small_disk: Path) -> None:
    sink: Any = open_sink(f"{small_disk}/a.mp4?every=1h", info)

    def fill() -> None:
        for i in range(500):
            sink.write(noise(info.manifest, i))

    with pytest.raises(SinkError, match="no space left on device; free some space"):
        fill()
    with pytest.raises(SinkError, match="no space left"):
        sink.close()
    sink.close()
    with av.open(sink.files[0]) as video:
        count = 0
        try:
            for _ in video.decode(video=0):
                count += 1
        except av.FFmpegError:
            pass
    assert count >= 20


def test_a_cap_keeps_a_small_disk_from_filling_up(info: SinkInfo, small_disk: Path, clock: list[float]) -> None:
    with open_sink(f"{small_disk}/a.mp4?every=1s&keep=600kB", info) as sink:
        for i in range(200):
            clock[0] += 0.2
            sink.write(noise(info.manifest, i, (60, 80)))
    assert sum(os.path.getsize(path) for path in sink.files) <= 600_000
