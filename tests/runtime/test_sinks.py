"""Sinks write real files, and fail in one line where they cannot."""

import errno
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epee.runtime.bundle import Bundle
from epee.runtime.errors import DataError, SinkError
from epee.runtime.frames import Frame, Result
from epee.runtime.manifest import Manifest
from epee.runtime.sinks import SINKS, SinkInfo, open_sink, parse_sink
from epee.runtime.sinks.mp4 import rate
from epee.runtime.timing import now_s

cv2 = pytest.importorskip("cv2")
av = pytest.importorskip("av")


@pytest.fixture
def info(tiny_bundle: Path) -> SinkInfo:
    return SinkInfo("yard", Bundle.open(tiny_bundle).manifest, fps=30000 / 1001)


def result(manifest: Manifest, index: int = 0, size_hw: tuple[int, int] = (120, 160), name: str = "") -> Result:
    image = np.full((*size_hw, 3), (5 * index + 40) % 256, np.uint8)
    mask = np.zeros((72, 96), np.uint8)
    mask[:, :24] = 2
    return Result(Frame(image, index, "yard", now_s(), name or f"{index:06d}", index / 25), {"mask": mask}, manifest)


def write(text: str, info: SinkInfo, results: list[Result]) -> None:
    with open_sink(text, info) as sink:
        for r in results:
            sink.write(r)


def test_an_mp4_plays_in_browsers_at_the_exact_rate(info: SinkInfo, tmp_path: Path) -> None:
    write(f"{tmp_path}/deeper/{{source}}.mp4", info, [result(info.manifest, i) for i in range(40)])
    with av.open(str(tmp_path / "deeper" / "yard.mp4")) as video:
        stream = video.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.width, stream.height) == ("h264", "yuv420p", 160, 120)
        assert (stream.average_rate, stream.frames) == (Fraction(30000, 1001), 40)
        frames = list(video.decode(stream))
    assert [round(float(f.pts * f.time_base) * 30000 / 1001) for f in frames] == list(range(40))
    drawn, want = frames[9].to_ndarray(format="bgr24"), result(info.manifest, 9).picture
    assert np.abs(drawn.astype(int) - want).mean() < 4


def test_odd_sizes_and_sizes_that_change_fit_into_one_video(info: SinkInfo, tmp_path: Path) -> None:
    sizes_hw = [(75, 101), (75, 101), (200, 50)]
    write(f"{tmp_path}/odd.mp4", info, [result(info.manifest, i, size_hw) for i, size_hw in enumerate(sizes_hw)])
    with av.open(str(tmp_path / "odd.mp4")) as video:
        assert [(f.width, f.height) for f in video.decode(video=0)] == [(102, 76)] * 3


def test_a_live_source_keeps_its_times(info: SinkInfo, tmp_path: Path) -> None:
    live = SinkInfo("yard", info.manifest, fps=25.0, live=True)
    results = [result(info.manifest, i) for i in range(3)]
    for r, at in zip(results, (10.0, 10.04, 10.5), strict=True):
        r.frame = Frame(r.frame.image, r.frame.index, captured_s=at)
    write(f"{tmp_path}/live.mp4", live, results)
    with av.open(str(tmp_path / "live.mp4")) as video:
        assert [round(float(f.pts * f.time_base), 3) for f in video.decode(video=0)] == [0, 0.04, 0.5]


def test_a_killed_process_leaves_an_mp4_that_plays(tiny_bundle: Path, tmp_path: Path) -> None:
    code = f"""
import os, signal
import numpy as np
from epee.runtime.bundle import Bundle
from epee.runtime.frames import Frame, Result
from epee.runtime.sinks import SinkInfo, open_sink
manifest = Bundle.open({str(tiny_bundle)!r}).manifest
sink = open_sink({str(tmp_path / 'killed.mp4')!r}, SinkInfo("s", manifest, fps=25.0))
for i in range(100):
    image = np.random.default_rng(i).integers(0, 256, (120, 160, 3), np.uint8)
    sink.write(Result(Frame(image, i), {{"mask": np.zeros((72, 96), np.uint8)}}, manifest))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == -9
    with av.open(str(tmp_path / "killed.mp4")) as video:
        assert len(list(video.decode(video=0))) >= 74


def test_nothing_written_leaves_no_mp4(info: SinkInfo, tmp_path: Path) -> None:
    write(f"{tmp_path}/none.mp4", info, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fps", "exact"), [(29.97, "30000/1001"), (29.97002997, "30000/1001"), (23.976, "24000/1001"),
                                            (59.94, "60000/1001"), (25.0, "25"), (12.5, "25/2"), (30.0, "30"),
                                            (7.5, "15/2"), (1.0, "1"), (14.985, "15000/1001")])
def test_rates_are_exact_fractions(fps: float, exact: str) -> None:
    assert rate(fps) == Fraction(exact)


def test_masks_and_pictures_are_named_as_the_frames(info: SinkInfo, tmp_path: Path) -> None:
    results = [result(info.manifest, 0, name="left"), result(info.manifest, 1)]
    write(f"masks:{tmp_path}/masks", info, results)
    write(f"png:{tmp_path}/{{source}}", info, results)
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["000001.png", "left.png"]
    mask = cv2.imread(str(tmp_path / "masks" / "left.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (120, 160)
    assert (mask == results[0].mask).all()
    assert (cv2.imread(str(tmp_path / "yard" / "000001.png")) == results[1].picture).all()


def test_a_json_line_for_each_frame(info: SinkInfo, tmp_path: Path) -> None:
    with open_sink(f"jsonl:{tmp_path}/a/{{source}}.jsonl", info) as sink:
        for i in range(3):
            sink.write(result(info.manifest, i))
            lines = (tmp_path / "a" / "yard.jsonl").read_text().splitlines()
            assert len(lines) == i + 1
    event = json.loads(lines[2])
    assert list(event) == ["schema", "type", "time", "source", "index", "position_s", "shares", "age_ms"]
    assert (event["source"], event["index"], event["position_s"]) == ("yard", 2, 0.08)
    assert event["shares"] == {"blue": 0.75, "green": 0, "red": 0.25, "dark": 0}
    assert 0 <= event["age_ms"] < 5000
    assert event["time"].endswith("+00:00")


def test_null_draws_only_when_asked(info: SinkInfo) -> None:
    for text, stages in (("null", []), ("null:overlay", ["overlay"])):
        r = result(info.manifest)
        write(text, info, [r])
        assert list(r.times_ms) == stages


def test_a_picture_is_made_once_for_all_sinks(info: SinkInfo) -> None:
    r = result(info.manifest)
    assert r.picture is r.picture
    assert r.mask is r.mask
    assert r.jpeg() is r.jpeg()
    assert r.jpeg(50) is not r.jpeg()
    assert r.jpeg()[:2] == b"\xff\xd8"
    assert r.overlay() is not r.overlay()
    with pytest.raises(DataError, match="result of a 'segment' model: 'image'"):
        r._output("image")


@pytest.mark.parametrize(("text", "why"), [
    ("film.avi", r"a file ending in \.avi.*videos are written as \.mp4"), ("windw", "did you mean 'window'"),
    ("nul", "did you mean 'null'"), ("masks", "no place, expected masks:DIR"),
    ("jsonl:", "no place, expected jsonl:FILE"), ("null:nothing", "no such sink"),
    ("film", "no such sink"), ("wep:8080", "did you mean 'web'"), ("web:", "no place, expected web:")])
def test_an_unknown_sink_is_one_clear_line(info: SinkInfo, text: str, why: str) -> None:
    with pytest.raises(SinkError, match=why):
        open_sink(text, info)


def test_every_kind_can_be_spelled() -> None:
    spelled = ["window", "a.mp4", "a.mp4?every=1h", "masks:a", "png:a", "jsonl:a", "web:8080", "mqtt:a/b", "null"]
    assert {parse_sink(text)[0] for text in spelled} == set(SINKS)


@pytest.mark.parametrize("text", ["{}/out.mp4", "masks:{}", "png:{}", "jsonl:{}/a.jsonl"])
def test_a_place_that_cannot_be_written_is_one_clear_line(info: SinkInfo, tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text("a file, no folder")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SinkError, match=r"cannot write '.*': got (not a directory|file exists)") as caught:
            open_sink(text.format(place), info)
        assert "\n" not in str(caught.value)
    if os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(SinkError, match="permission denied"):
            open_sink(text.format(tmp_path / "locked" / "deeper"), info)


def test_a_source_is_never_overwritten(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    manifest = Bundle.open(tiny_bundle).manifest
    for text, path in ((str(clip), str(clip)), (f"masks:{tmp_path}", f"{tmp_path}/.")):
        with pytest.raises(SinkError, match="the place that the source is read from"):
            open_sink(text, SinkInfo("s", manifest, path=path))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("kind", ["mp4", "jsonl"])
def test_a_full_disk_is_one_clear_line(info: SinkInfo, tmp_path: Path, kind: str) -> None:
    target = tmp_path / f"full.{kind}"
    target.symlink_to("/dev/full")
    with pytest.raises(SinkError, match=f"sink '{kind}' cannot write .*: got no space left on device; free some space"):
        write(f"{target}" if kind == "mp4" else f"jsonl:{target}", info,
              [result(info.manifest, i) for i in range(200)])


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import numpy as np
from epee.runtime.bundle import Bundle
from epee.runtime.errors import SinkError
from epee.runtime.frames import Frame, Result
from epee.runtime.sinks import SinkInfo, open_sink
text, manifest = sys.argv[1], Bundle.open(sys.argv[2]).manifest
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    with open_sink(text, SinkInfo("s", manifest, fps=25.0)) as sink:
        for i in range(200):
            image = np.random.default_rng(i).integers(0, 256, (60 * (1 + i // 50), 160, 3), np.uint8)
            sink.write(Result(Frame(image, i, name=f"{i:06d}"), {"mask": image[:72, :96, 0] % 4}, manifest))
except SinkError as error:
    print(error)
"""


@pytest.mark.parametrize(("text", "limit"), [("{}/a.mp4", 200_000), ("png:{}", 40_000), ("jsonl:{}/a.jsonl", 5_000)])
def test_what_was_written_before_the_end_of_space_stays(tiny_bundle: Path, tmp_path: Path, text: str,
                                                        limit: int) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, text.format(tmp_path), str(tiny_bundle), str(limit)],
                          capture_output=True, text=True, timeout=60)
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    assert os.strerror(errno.EFBIG).lower() in done.stdout
    if text.startswith("png"):
        kept = [cv2.imread(str(path)) for path in sorted(tmp_path.iterdir())]
        assert len(kept) == 50
        assert all(image is not None for image in kept)
    elif text.startswith("jsonl"):
        lines = (tmp_path / "a.jsonl").read_text().splitlines()
        assert len(lines) > 10
        assert all(json.loads(line) for line in lines[:-1])
    else:
        with av.open(str(tmp_path / "a.mp4")) as video:
            assert playable(video) >= 5


def playable(video: Any) -> int:
    """How many frames decode before the end or an error."""
    count = 0
    try:
        for _ in video.decode(video=0):
            count += 1
    except av.FFmpegError:
        pass
    return count


def test_the_window_says_what_is_missing(info: SinkInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    from epee.runtime.sinks.window import has_windows

    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if has_windows(cv2) and not sys.platform.startswith("linux"):
        pytest.skip("this system has a screen")
    with pytest.raises(SinkError, match=r"epee\[cv\]" if not has_windows(cv2) else "DISPLAY is not set"):
        open_sink("window", info)


def test_the_window_shows_frames(info: SinkInfo) -> None:
    from epee.runtime.sinks.window import has_windows

    if not has_windows(cv2):
        pytest.skip("this OpenCV is headless")
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        pytest.skip("no screen (run under xvfb-run)")
    write("window", info, [result(info.manifest, i) for i in range(3)])
