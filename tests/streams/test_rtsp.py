"""RTSP against a real server: fresh, and back after whatever happened to it."""

import os
import statistics
import threading
import time

import pytest
from epee.benchmarks.studies.serving import RtspServer, Wire
from epee.benchmarks.studies.taking import Taker, wait_for
from epee.runtime.errors import ConfigError, SourceError
from epee.runtime.sources import StreamOptions, open_source

pytestmark = pytest.mark.timeout(40)
FRAME_MS, MODEL_MS = 1000 / 30, 66


def test_frames_are_fresh_behind_a_slow_model(rtsp: RtspServer) -> None:
    """Age is what the picture's own clock says, so whatever queues in encoder, network and decoder counts."""
    with Taker(open_source(rtsp.start().url), MODEL_MS / 1e3) as taker:
        taker.wait(3)
        time.sleep(3)
        seen, status = list(taker.seen), taker.source.status
    ages = [frame.age_ms for frame in seen[3:]]
    assert len(ages) > 20
    assert statistics.median(ages) < 2 * MODEL_MS + 2 * FRAME_MS
    assert abs(statistics.median(ages[-10:]) - statistics.median(ages[:10])) < MODEL_MS  # nothing piles up
    assert statistics.median(abs(frame.age_ms - frame.says_ms) for frame in seen) < 3 * FRAME_MS
    assert taker.unread == 0
    numbers, indices = [frame.number for frame in seen], [frame.place for frame in seen]
    assert numbers == sorted(set(numbers))
    assert [n - numbers[5] for n in numbers[5:]] == [i - indices[5] for i in indices[5:]]  # gaps are dropped frames
    assert (status.state, status.bad, status.reconnects) == ("live", 0, 0)
    assert status.dropped >= indices[-1] + 1 - len(indices) > 0


@pytest.mark.parametrize("how", [{"codec": "h265"}, {"transport": "udp"}])
def test_h265_and_udp(rtsp: RtspServer, how: dict[str, str]) -> None:
    options = StreamOptions(transport=how.pop("transport", "tcp"), read_timeout_s=2)
    with Taker(open_source(rtsp.start(**how).url, options=options)) as taker:
        taker.wait(30)
        assert (taker.unread, taker.source.size_wh, taker.source.name) == (0, (320, 240), "127.0.0.1/live")
        rtsp.kill()
        wait_for(lambda: taker.source.status.state == "lost", 4)
        rtsp.start()
        taker.wait(5)


def test_a_killed_server_is_found_again_also_with_another_size(rtsp: RtspServer) -> None:
    with Taker(open_source(rtsp.start().url)) as taker:
        taker.wait(10)
        source = taker.source
        rtsp.kill()
        wait_for(lambda: source.status.state == "lost", 1)
        assert source.status.reason
        time.sleep(0.5)  # what was already taken is still on its way
        lost, count = source.status, len(taker.seen)
        time.sleep(0.4)
        assert len(taker.seen) == count  # neither frozen nor black frames
        assert source.status.since_s == lost.since_s
        rtsp.start(size="480x272")
        taker.wait(10)
        assert (taker.seen[0].size_hw, taker.seen[-1].size_hw, source.size_wh) == ((240, 320), (272, 480), (480, 272))
        status = source.status
        assert (status.state, status.reconnects, status.reason) == ("live", 1, "")
        assert [seen.place for seen in taker.seen] == sorted({seen.place for seen in taker.seen})
    assert source.status.state == "ended"


def test_packets_that_are_silently_dropped(rtsp: RtspServer) -> None:
    rtsp.start()
    with Wire(rtsp.port) as wire:
        options = StreamOptions(open_timeout_s=2, read_timeout_s=1)
        with Taker(open_source(rtsp.url.replace(str(rtsp.port), str(wire.port)), options=options)) as taker:
            taker.wait(10)
            wire.cut()
            wait_for(lambda: taker.source.status.state == "lost", 2)
            assert "within 1 s" in taker.source.status.reason or "no frame for 1" in taker.source.status.reason
            time.sleep(0.5)
            wire.mend()
            taker.wait(10)
            assert taker.source.status.reconnects == 1


def test_garbage_in_the_stream(rtsp: RtspServer) -> None:
    """Bytes between the packets: whether the reader finds its way or connects anew, good frames come again."""
    rtsp.start()
    with Wire(rtsp.port) as wire:
        wire.add_garbage(bytes(range(256)) * 8, after=30_000)
        options = StreamOptions(open_timeout_s=2, read_timeout_s=1)
        with Taker(open_source(rtsp.url.replace(str(rtsp.port), str(wire.port)), options=options)) as taker:
            taker.wait(10)
            wait_for(lambda: taker.source.status.bad or taker.source.status.reconnects, 5)
            wire.add_garbage(b"", after=0)
            taker.wait(30)


def test_closing_ends_a_waiting_iterator_at_once(rtsp: RtspServer) -> None:
    with Taker(open_source(rtsp.start().url)) as taker:
        taker.wait(3)
        rtsp.kill()
        wait_for(lambda: taker.source.status.state == "lost", 1)
        begin_s = time.monotonic()
        taker.source.close()
        taker.thread.join(1)
        assert not taker.thread.is_alive()
        assert time.monotonic() - begin_s < 0.9  # half a second, and a busy machine
        assert taker.error is None
        taker.source.close()


def test_giving_up_is_an_error_that_says_why(rtsp: RtspServer) -> None:
    with Taker(open_source(rtsp.start().url, options=StreamOptions(give_up_s=0.5))) as taker:
        taker.wait(3)
        rtsp.kill()
        taker.thread.join(4)
        assert isinstance(taker.error, SourceError)
        assert "stream 'rtsp://127.0.0.1" in str(taker.error)
        assert "expected frames again within 0.5 s" in str(taker.error)


def test_a_server_that_comes_later_is_waited_for(rtsp: RtspServer) -> None:
    rtsp.start()
    rtsp.kill()
    with pytest.raises(SourceError, match=r"stream 'rtsp://127.*' does not open: got connection refused; check"):
        open_source(rtsp.url)
    with Taker(open_source(rtsp.url, options=StreamOptions(wait=True))) as taker:
        time.sleep(0.3)
        assert (taker.source.status.state, taker.source.status.reason) == ("lost", "connection refused")
        rtsp.start()
        taker.wait(3)
        assert taker.source.status.reconnects == 0


def test_restarts_leave_no_thread_and_no_handle(rtsp: RtspServer) -> None:
    with Taker(open_source(rtsp.start().url)) as taker:
        taker.wait(3)
        handles, threads = open_handles(), threading.active_count()
        for _ in range(4):
            rtsp.kill()
            wait_for(lambda: taker.source.status.state == "lost", 2)
            rtsp.start()
            taker.wait(3)
        assert taker.source.status.reconnects == 4
        assert open_handles() <= handles
        assert threading.active_count() <= threads
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("epee-source")]


def open_handles() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))


def test_a_hardware_decoder_that_is_not_there_is_no_silent_fall_back(rtsp: RtspServer) -> None:
    with pytest.raises(ConfigError, match=r"--hardware 'abacus': got no such decoder in this PyAV, expected auto or"):
        open_source(rtsp.start().url, options=StreamOptions(hardware="abacus"))
