"""Sources read real files, broken ones too."""

import http.server
import itertools
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epee.runtime.errors import SourceError
from epee.runtime.sources import SOURCES, Source, kind_of, open_source

cv2 = pytest.importorskip("cv2")


def read(source: Source) -> tuple[list[Any], SourceError | None]:
    """All frames, and the error that ended them."""
    frames: list[Any] = []
    with source:
        try:
            for frame in source:
                frames.append(frame)  # noqa: PERF402 - keeps those before an error
        except SourceError as error:
            return frames, error
    return frames, None


def picture(path: Path, image: Any) -> Path:
    cv2.imwrite(str(path), image)
    return path


def test_a_video_gives_every_frame_in_order_at_its_exact_rate(clip: Path) -> None:
    source = open_source(clip)
    assert (source.name, source.path, source.count, source.size_wh, source.live) == ("clip", str(clip), 30, (160, 120),
                                                                                     False)
    assert source.fps == pytest.approx(30000 / 1001, abs=1e-6)
    frames, error = read(source)
    assert error is None
    assert (source.status.state, source.status.received, source.status.dropped) == ("ended", 30, 0)
    assert [f.index for f in frames] == list(range(30))
    assert [float(f.image.mean()) for f in frames] == pytest.approx([40 + 5 * i for i in range(30)], abs=4)
    assert frames[29].position_s == pytest.approx(29 * 1001 / 30000, abs=1e-3)
    assert all(a.captured_s < b.captured_s for a, b in itertools.pairwise(frames))
    assert frames[7].name == "000007"


def test_a_video_is_turned_upright(clip: Path, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 40  # version 0: 40 bytes stand before the matrix
    assert struct.unpack(">9i", data[matrix:matrix + 36])[0] == 1 << 16
    data[matrix:matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 120 << 16, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(data)
    source = open_source(tmp_path / "turned.mp4")
    assert source.size_wh == (120, 160)
    frames, _ = read(source)
    upright, turned = next(iter(open_source(clip))).image, frames[0].image
    assert turned.shape == (160, 120, 3)
    assert np.abs(turned.astype(int) - cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE)).max() <= 2


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_cut_video_gives_what_it_has_and_says_how_much(clip: Path, tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    convert(clip, whole)
    frames, error = read(open_source(whole))
    assert (len(frames), error) == (30, None)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[:whole.stat().st_size * 2 // 3])
    frames, error = read(open_source(cut))
    assert 3 < len(frames) < 30
    assert "is cut off" in str(error)
    assert f": {len(frames)} of " in str(error)
    assert "\n" not in str(error)


def convert(clip: Path, target: Path) -> None:
    """The clip in another container; AVI takes no B-frames, so it gets MPEG-4."""
    av = pytest.importorskip("av")
    options = {"movflags": "+faststart"} if target.suffix == ".mp4" else {}
    with av.open(str(clip)) as source, av.open(str(target), "w", options=options) as copy:
        stream = copy.add_stream("mpeg4" if target.suffix == ".avi" else "libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i, frame in enumerate(source.decode(video=0)):
            frame.pts, frame.time_base = i, 1 / stream.codec_context.framerate
            copy.mux(stream.encode(frame))
        copy.mux(stream.encode())


def test_videos_that_do_not_open_say_why(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    ftyp, moov = data.find(b"ftyp") - 4, data.find(b"moov") - 4
    head, index = data[ftyp:moov], struct.unpack(">I", data[moov:moov + 4])[0]
    for name, content, why in [
            ("no_index.mp4", head + data[moov + index:], r"an MP4 without its index \(moov\)"),
            ("cut_index.mp4", data[:moov + index // 2], "the copy is cut off"),
            ("empty.mp4", b"", "an empty file"),
            ("text.mp4", b"this is no video\n" * 100, "no video that FFmpeg knows")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError, match=why):
            open_source(tmp_path / name)
    code = ("import sys\nfrom epee.runtime.errors import SourceError\nfrom epee.runtime.sources import open_source\n"
            "for path in sys.argv[1:]:\n"
            "    try:\n        open_source(path)\n    except SourceError:\n        print('no')")
    done = subprocess.run([sys.executable, "-c", code, *map(str, sorted(tmp_path.iterdir()))], capture_output=True,
                          text=True, timeout=60)  # FFmpeg asks once in a process how much it may say
    assert (done.stdout.split(), done.stderr) == (["no"] * 4, "")


def test_what_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source '.*none.mp4': got nothing there, expected a video"):
        open_source(tmp_path / "none.mp4")
    with pytest.raises(SourceError, match=r"the folder .*missing does not exist"):
        open_source(tmp_path / "missing" / "none.mp4")
    with pytest.raises(SourceError, match=r"scheme 'rstp://': got no such scheme.*did you mean 'rtsp'"):
        open_source("rstp://camera/1")
    with pytest.raises(SourceError, match=r"folder .*: got no picture in it, expected files ending in \.png"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match=r"camera 63 does not open; is it plugged in"):
        open_source("63")


def test_credentials_reach_no_message() -> None:
    with pytest.raises(SourceError) as caught:
        open_source("http://user:hidden@127.0.0.1:9/live?key=hidden")
    assert "'http://127.0.0.1:9/live' does not open" in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_a_recording_over_http_is_read_whole(clip: Path, share: float) -> None:
    data = clip.read_bytes()

    class File(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:int(share * len(data))])

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), File)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        source = open_source(f"http://127.0.0.1:{server.server_port}/clip.mp4")
        assert (source.name, source.live, source.count) == ("127.0.0.1/clip.mp4", False, 30)
        frames, error = read(source)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (source.status.state, source.status.received) == ("ended", len(frames))
    if share == 1:
        assert (len(frames), error) == (30, None)
    else:
        assert 9 < len(frames) < 30
        assert f"broke off: {len(frames)} of 30 frames decoded" in str(error)


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 1, 100):
        picture(tmp_path / f"frame{number}.png", np.full((4, 6, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "deeper").mkdir()
    source = open_source(tmp_path)
    assert (source.count, source.fps, source.size_wh) == (4, None, None)
    frames, error = read(source)
    assert error is None
    assert [(f.index, f.name, f.image[0, 0, 0]) for f in frames] == [
        (0, "frame1", 1), (1, "frame9", 9), (2, "frame10", 10), (3, "frame100", 100)]


def test_pictures_of_one_stem_keep_their_endings(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        picture(tmp_path / name, np.zeros((4, 4, 3), np.uint8))
    assert [f.name for f in read(open_source(tmp_path))[0]] == ["a.jpg", "a.png", "b"]


def test_broken_pictures_are_named_after_all_others_were_read(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        picture(tmp_path / f"{name}.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").write_bytes(b"no picture at all")
    frames, error = read(open_source(tmp_path))
    assert [f.name for f in frames] == ["a", "d"]
    assert "2 of 4 pictures do not decode: got b.png (empty file), c.png (not decodable)" in str(error)


def test_one_picture(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    frames, error = read(open_source(picture(tmp_path / "one.png", image)))
    assert error is None
    assert [(f.name, f.image.tolist()) for f in frames] == [("one", image.tolist())]


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, :16] = 255
    _, data = cv2.imencode(".jpg", image)
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    (tmp_path / "photo.jpg").write_bytes(
        bytes(data[:2]) + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + bytes(data[2:]))
    frame = next(iter(open_source(tmp_path / "photo.jpg")))
    assert frame.image.shape == (32, 16, 3)
    assert frame.image[2, 8, 0] > 200
    assert frame.image[-3, 8, 0] < 50


def test_grey_alpha_and_16_bit_pictures_are_expanded_with_one_notice(
        tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "a.png", np.full((4, 4), 7, np.uint8))
    picture(tmp_path / "b.png", np.full((4, 4, 4), 8, np.uint8))
    picture(tmp_path / "c.png", np.full((4, 4), 257 * 9, np.uint16))
    frames, error = read(open_source(tmp_path))
    assert error is None
    assert [(f.image.shape, f.image.dtype.name, f.image[0, 0].tolist()) for f in frames] == [
        ((4, 4, 3), "uint8", [n, n, n]) for n in (7, 8, 9)]
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "frames such as 4x4 uint8 are expanded to BGR" in err


def test_the_synthetic_street_is_seeded_and_endless() -> None:
    source = open_source("synthetic:street", seed=3, size_wh=(96, 72))
    assert (source.name, source.count, source.size_wh, source.fps) == ("street", None, (96, 72), 25.0)
    first = [frame.image for frame, _ in zip(source, range(3), strict=False)]
    other = read(open_source("synthetic:street?seed=3&size=96x72&frames=3&fps=12.5"))[0]
    assert [image.tolist() for image in first] == [f.image.tolist() for f in other]
    assert other[2].position_s == pytest.approx(0.16)
    for bad, why in [("synthetic:sea", "no scene 'sea'"), ("synthetic:street?sead=3", "did you mean 'seed'"),
                     ("synthetic:street?size=big", "expected WIDTHxHEIGHT"), ("synthetic:street?fps=0x", "a number")]:
        with pytest.raises(SourceError, match=why):
            open_source(bad)


def test_kinds_follow_from_the_text(clip: Path, tmp_path: Path) -> None:
    picture(tmp_path / "a.JPG.png", np.zeros((2, 2, 3), np.uint8))
    texts = {"0": "camera", "/dev/video2": "camera", "rtsp://a/b": "stream", "http://a/b": "stream",
             "gst:videotestsrc": "gstreamer", "synthetic:street": "synthetic", "latents:walk": "latents",
             str(clip): "video", str(tmp_path): "folder", str(tmp_path / "a.JPG.png"): "image"}
    assert {text: kind_of(text) for text in texts} == texts
    assert set(texts.values()) == set(SOURCES)
