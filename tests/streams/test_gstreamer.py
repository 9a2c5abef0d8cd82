"""GStreamer pipelines, in the system's Python, where its bindings are."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from epee.benchmarks.studies.serving import SYSTEM_PYTHON
from epee.runtime.errors import SourceError
from epee.runtime.sources import open_source
from epee.runtime.sources.gstreamer import completed

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
from epee.runtime.errors import SourceError
from epee.runtime.sources import open_source

said = []
for text in sys.argv[1:]:
    try:
        with open_source(text) as source:
            frames = list(source)
            said.append([source.name, source.fps, source.live, source.status.state, source.status.received,
                         frames[0].image.shape, frames[0].image[20, 40].tolist(), frames[0].image.dtype.name])
    except SourceError as error:
        said.append(str(error))
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def bindings() -> None:
    """Skips where the system's Python lacks GStreamer or numpy."""
    code = "import gi, numpy; gi.require_version('Gst', '1.0'); gi.require_version('GstApp', '1.0')"
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, text=True, timeout=60)
        reason = done.stderr.strip().splitlines()[-1] if done.returncode else ""
    except OSError as error:
        reason = str(error)
    if reason and os.environ.get("EPEE_REQUIRE_STREAMS"):
        pytest.fail(reason)
    if reason:
        pytest.skip(f"no GStreamer in the system's Python: {reason}")


def said(*texts: str) -> list[Any]:
    """What each source gave, or its error."""
    done = subprocess.run([SYSTEM_PYTHON, "-c", SCRIPT, *texts], capture_output=True, text=True, timeout=60, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "typings")})
    return list(json.loads(done.stdout))


def test_pipelines(bindings: None) -> None:
    red = "gst:videotestsrc pattern=red num-buffers=9 is-live=true ! video/x-raw,width=322,height=240,framerate=30/1"
    own = "gst:videotestsrc pattern=white num-buffers=4 ! video/x-raw,format=BGRx,width=70 ! appsink name=epee"
    whole, bare, wrong, gone, secret = said(
        red, own, "gst:videotestsrc ! nosuch", "gst:filesrc location=none.mp4 ! decodebin",
        "gst:rtspsrc location=rtsp://viewer:hidden@127.0.0.1:9/a user-pw=hidden ! decodebin")
    assert 3 <= whole.pop(4) <= 9  # a busy machine may lose some
    assert whole == ["gstreamer", 30.0, True, "ended", [240, 322, 3], [0, 0, 255], "uint8"]
    assert (bare[5], bare[6], bare[3]) == ([240, 70, 3], [255, 255, 255], "ended")
    assert wrong == ("pipeline 'videotestsrc ! nosuch': got no element \"nosuch\", "
                     "expected a pipeline as for gst-launch-1.0")
    assert "does not start: got " in gone
    assert "Resource not found" in gone
    assert "hidden" not in secret
    assert "rtsp://***@127.0.0.1:9/a" in secret


def test_an_end_is_added_and_a_wrong_one_refused() -> None:
    assert completed("a ! b").startswith("a ! b ! videoconvert ! video/x-raw,format=BGR ! appsink name=epee")
    assert completed("videotestsrc ! appsink name=epee") == "videotestsrc ! appsink name=epee"
    with pytest.raises(SourceError, match=r"got an appsink without this name, expected appsink name=epee"):
        completed("videotestsrc ! appsink")


def test_without_bindings_the_error_says_what_to_do() -> None:
    try:
        import gi  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(SourceError, match=r"needs GStreamer's Python bindings.*--system-site-packages"):
            open_source("gst:videotestsrc")
    else:
        pytest.skip("this environment has GStreamer's bindings")
