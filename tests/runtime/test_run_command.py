"""`epee run` from outside: processes, files, exit statuses."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from epee.runtime.cli import main

cv2 = pytest.importorskip("cv2")
av = pytest.importorskip("av")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.timeout(60)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "epee", "run", *map(str, words)]


def epee(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=60, **options)


def clear(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("epee: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def frames_of(path: Path) -> int:
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_all_sinks_at_once_and_one_json_object(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    done = epee(tiny_bundle, "--source", clip, "--sink", tmp_path / "{source}.mp4", "--sink", f"masks:{tmp_path}/masks",
                "--sink", f"png:{tmp_path}/png", "--sink", f"jsonl:{tmp_path}/a.jsonl", "--sink", "null:overlay",
                "--backend", "onnxruntime:cpu", "--precision", "fp32", "--threads", 2, "--frames", 12, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    stats = json.loads(done.stdout)
    assert list(stats["stages_ms"]) == ["decode", "fit", "infer", "overlay", "mp4", "masks", "png", "jsonl", "null"]
    assert (stats["frames"], stats["dropped"], stats["reconnects"], stats["backend"]) == (12, 0, 0, "onnxruntime")
    assert frames_of(tmp_path / "clip.mp4") == 12
    assert len(list((tmp_path / "masks").iterdir())) == len(list((tmp_path / "png").iterdir())) == 12
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 12


def test_what_a_person_reads(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    done = epee(tiny_bundle, "--source", clip, "--sink", tmp_path / "out.mp4")
    assert done.returncode == 0
    assert "clip: 30 frames in" in done.stdout
    assert f"wrote {tmp_path}/out.mp4" in done.stdout
    done = epee(tiny_bundle, "--source", clip)
    assert "no --sink is given: results are thrown away" in done.stderr


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_progress_on_a_terminal_leaves_no_trace(tiny_bundle: Path, clip: Path) -> None:
    terminal, inside = os.openpty()
    try:
        done = subprocess.run(command(tiny_bundle, "--source", clip, "--sink", "null"), stdout=subprocess.PIPE,
                              stderr=inside, timeout=60)
        shown = os.read(terminal, 10_000).decode()
    finally:
        os.close(terminal)
        os.close(inside)
    assert done.returncode == 0
    assert shown.startswith("\r1 of 30 frames, ")
    assert shown.endswith("\r\033[K")


def test_an_endless_source_ends_where_nobody_watches(tiny_bundle: Path) -> None:
    done = epee(tiny_bundle, "--source", "synthetic:street", "--sink", "null", "--json")
    assert json.loads(done.stdout)["frames"] == 250
    assert "never ends: taking 250 frames" in done.stderr
    done = epee(tiny_bundle, "--source", "synthetic:street?frames=5", "--sink", "null", "--seed", 3, "--json")
    assert json.loads(done.stdout)["frames"] == 5
    assert done.stderr == ""


def test_bad_input_is_one_clear_line(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out.mp4"
    for words, why in [
            ((tiny_bundle, "--source", tmp_path / "none.mp4", "--sink", "null"), "none.mp4': got nothing there"),
            ((tiny_bundle, "--source", tmp_path / "empty", "--sink", "null"), "no picture in it"),
            ((tmp_path / "none.epee", "--source", clip, "--sink", "null"), "none.epee': got nothing there"),
            ((tiny_bundle, "--source", clip, "--sink", clip / "out.mp4"), "cannot write"),
            ((tiny_bundle, "--source", clip, "--sink", "null", "--backend", "onnxrt"), "did you mean 'onnxruntime'"),
            ((tiny_bundle, "--source", clip, "--sink", out, "--precision", "int8"), "expected one of fp32"),
            ((tiny_bundle, "--source", clip, "--sink", out, "--sink", out), "the same one twice"),
            ((tiny_bundle, "--source", clip, "--source", clip, "--sink", out), "2 cameras that would write it"),
            (("--config", tmp_path / "none.toml"), "none.toml': got no such file")]:
        assert why in clear(epee(*words))
    assert not out.exists()


@pytest.mark.parametrize("words", [
    ["b.epee", "--source", "0", "--threads", "-1"], ["b.epee"], ["--source", "0"], [],
    ["--config", "site.toml", "--source", "0"], ["b.epee", "--source", "0", "--rtsp", "smoke"],
    ["b.epee", "--source", "0", "--max-age", "old"]])
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", *words])
    assert end.value.code == 2
    assert "usage: epee run" in capsys.readouterr().err


def test_a_cut_video_is_processed_as_far_as_it_goes(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:clip.stat().st_size * 2 // 3])
    done = epee(tiny_bundle, "--source", cut, "--sink", tmp_path / "out.mp4", "--sink", f"jsonl:{tmp_path}/a.jsonl")
    line = clear(done)
    written = len((tmp_path / "a.jsonl").read_text().splitlines())
    assert 3 < written < 30
    assert f"is cut off: {written} of 30 frames decoded" in line
    assert frames_of(tmp_path / "out.mp4") == written


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_stops_its_sink_and_no_other(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "full.jsonl").symlink_to("/dev/full")
    full = ("--sink", f"jsonl:{tmp_path}/full.jsonl", "--json")
    done = epee(tiny_bundle, "--source", clip, "--sink", tmp_path / "out.mp4", *full)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no space left on device; free some space" in done.stderr
    stats = json.loads(done.stdout)
    assert [failed["sink"] for failed in stats["failed"]] == [f"{tmp_path}/full.jsonl"]
    assert frames_of(tmp_path / "out.mp4") == stats["frames"] == 30
    assert "no space left on device" in clear(epee(tiny_bundle, "--source", clip, *full))


SITE = """
[defaults]
bundle = {bundle!r}
backend = "onnxruntime"
threads = 2

[[camera]]
name = "yard"
source = "synthetic:street?size=96x72&seed=1"
sinks = ["jsonl:{out}/{{source}}.jsonl", "mosaic:{out}/both.mp4"]

[[camera]]
name = "gate"
source = "synthetic:street?size=96x72&seed=2"
sinks = ["jsonl:{out}/{{source}}.jsonl", "mosaic:{out}/both.mp4"]
"""


def test_a_site_runs_all_its_cameras(tiny_bundle: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(SITE.format(bundle=str(tiny_bundle), out=tmp_path))
    done = epee("--config", site, "--frames", 40, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    stats = json.loads(done.stdout)
    assert [(stream["source"], stream["frames"]) for stream in stats["streams"]] == [("yard", 40), ("gate", 40)]
    assert {"frames", "received", "dropped", "dropped_old", "bad", "reconnects", "seconds", "fps", "batching", "files",
            "failed", "interrupted"} < set(stats)
    assert stats["batching"][0]["streams"] == ["yard", "gate"]
    for name in ("yard", "gate"):
        lines = (tmp_path / f"{name}.jsonl").read_text().splitlines()
        assert len(lines) == 40
        assert json.loads(lines[0])["source"] == name
    assert frames_of(tmp_path / "both.mp4") > 0


def test_a_hangup_opens_the_bundle_again_and_a_bad_one_is_refused(tiny_copy: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tiny_copy, "--source", "synthetic:street?size=96x72", "--sink", f"jsonl:{tmp_path}/a.jsonl",
                "--backend", "onnxruntime", "--frames", 10**9, "--json"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    wait_for(lambda: (tmp_path / "a.jsonl").is_file() and (tmp_path / "a.jsonl").read_text().count("\n") > 20)
    process.send_signal(signal.SIGHUP)
    assert "the new 'copy.epee' runs" in process.stderr.readline()
    (tiny_copy / "golden.npz").write_bytes(b"rubbish")
    assert "the new 'copy.epee' is refused, the old one goes on: " in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    stats = json.loads(out)
    assert stats["swaps"] == {"done": 1, "refused": 1}
    assert (tmp_path / "a.jsonl").read_text().count("\n") == stats["frames"]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_systemd_hears_that_it_is_ready_alive_and_stopping(tiny_bundle: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        said: list[str] = []

        def listen() -> None:
            while "STOPPING=1" not in said:
                said.append(systemd.recv(100).decode())

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        done = epee(tiny_bundle, "--source", "synthetic:street?size=96x72", "--sink", "null", "--seconds", 0.5,
                    "--backend", "onnxruntime",
                    env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"})
        assert done.returncode == 0, done.stderr
        listener.join(10)
    assert said[0] == "READY=1"
    assert said.count("WATCHDOG=1") > 3
    assert said[-1] == "STOPPING=1"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_systemd_that_does_not_listen_holds_nothing_up(tiny_bundle: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        done = epee(tiny_bundle, "--source", "synthetic:street?size=96x72", "--sink", "null", "--seconds", 0.5,
                    "--backend", "onnxruntime",
                    env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000"})
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_finish_the_files(tiny_bundle: Path, tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        command(tiny_bundle, "--source", "synthetic:street", "--sink", tmp_path / "out.mp4", "--sink",
                f"jsonl:{tmp_path}/a.jsonl", "--frames", 10**9, "--json"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (tmp_path / "a.jsonl").is_file() and (tmp_path / "a.jsonl").read_text().count("\n") > 20)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    stats = json.loads(out)
    assert stats["interrupted"] is True
    assert frames_of(tmp_path / "out.mp4") == stats["frames"] == (tmp_path / "a.jsonl").read_text().count("\n")


def wait_for(happened: Any) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in 20 s"
        time.sleep(0.02)


def test_without_pyav_the_error_names_the_extra(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    """A process in which `av` cannot be found."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nclass Hide:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'av':\n            raise ModuleNotFoundError(\"No module named 'av'\", name='av')\n"
        "sys.meta_path.insert(0, Hide())\n")
    done = epee(tiny_bundle, "--source", clip, "--sink", tmp_path / "out.mp4",
                env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert "epee[video]" in clear(done)
    done = epee(tiny_bundle, "--source", clip, "--sink", "null", "--json", env={**os.environ,
                                                                              "PYTHONPATH": str(tmp_path)})
    assert json.loads(done.stdout)["frames"] == 30
