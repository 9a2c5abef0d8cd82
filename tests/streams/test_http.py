"""JPEGs over HTTP, and what a server may do to them."""

import itertools
import socket
import threading
from typing import Any

import pytest
from epee.benchmarks.studies.taking import Taker, wait_for
from epee.runtime.errors import SourceError
from epee.runtime.sources import StreamOptions, open_source
from epee.runtime.sources.multipart import Parts, jpeg_end

cv2 = pytest.importorskip("cv2")
pytestmark = pytest.mark.timeout(30)


@pytest.mark.parametrize("style", ["length", "bare", "garbage"])
def test_pushed_jpegs(jpegs: Any, style: str) -> None:
    jpegs.style = style
    with Taker(open_source(f"http://127.0.0.1:{jpegs.port}/live"), 0.066) as taker:
        taker.wait(10)
        status = taker.source.status
        assert (status.state, taker.unread, taker.source.live) == ("live", 0, True)
        assert (status.bad > 0) == (style == "garbage")
        assert status.dropped > 0
        assert sorted(seen.age_ms for seen in taker.seen)[5] < 2 * 66 + 67
        assert taker.source.size_wh == (320, 240)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("epee-source")]


def test_a_server_that_ends_is_asked_again(jpegs: Any) -> None:
    jpegs.frames = 10
    with Taker(open_source(f"http://127.0.0.1:{jpegs.port}/live")) as taker:
        taker.wait(3)
        wait_for(lambda: taker.source.status.state == "lost", 2)
        assert taker.source.status.reason == "the server ended it"
        jpegs.size_wh = (400, 300)
        taker.wait(3)
        assert taker.source.status.reconnects >= 1
        assert taker.seen[-1].size_hw == (300, 400)


def test_a_server_that_stalls_is_lost(jpegs: Any) -> None:
    options = StreamOptions(read_timeout_s=0.4)
    with Taker(open_source(f"http://127.0.0.1:{jpegs.port}/live", options=options)) as taker:
        taker.wait(3)
        jpegs.stalled.set()
        wait_for(lambda: taker.source.status.state == "lost", 2)
        jpegs.stalled.clear()
        taker.wait(3)


def test_an_answer_that_is_no_http_is_an_error_of_the_source() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def answer() -> None:
            for _ in range(2):
                end, _ = listener.accept()
                with end:
                    end.recv(4096)
                    end.sendall(bytes(range(256)))

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/live"
        with pytest.raises(SourceError, match="does not open: got badstatusline"):
            open_source(url)
        with open_source(url, options=StreamOptions(wait=True)) as source:
            wait_for(lambda: source.status.state == "lost", 2)
        thread.join(2)


def test_parts_are_cut_wherever_the_chunks_end() -> None:
    """The same pictures whether bytes come one by one or all at once, with a thumbnail that has an end of its own."""
    small = cv2.imencode(".jpg", cv2.UMat(8, 8, cv2.CV_8UC3).get())[1].tobytes()
    inner = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    picture = small[:2] + inner + small[2:]
    assert jpeg_end(bytearray(b"..") + picture + b"rest", 0) == 2 + len(picture)
    head = b"--edge\r\nContent-Type: image/jpeg\r\n"
    stream = (head + b"\r\n" + picture + b"\r\n") * 2 + b"junk" + head + b"Content-Length: %d\r\n\r\n" % len(picture)
    stream += picture + b"\r\n" + head + b"Content-Length: 12\r\n\r\nno picture!!" + b"\r\n" + head
    whole = list(Parts(b"edge").feed(stream))
    assert whole == [picture, picture, None, picture, None]
    parts = Parts(b"edge")
    assert list(itertools.chain.from_iterable(parts.feed(bytes([byte])) for byte in stream)) == whole
