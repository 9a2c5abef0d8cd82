"""What a live source does with a link, whatever the link is: its place for one, its watchdog, its clock."""

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from epee.runtime.errors import ConfigError, DataError, SourceError
from epee.runtime.frames import Frame
from epee.runtime.sources import StreamOptions
from epee.runtime.sources.clock import LEAK, CaptureClock
from epee.runtime.sources.live import Arrival, LiveSource
from epee.runtime.sources.packets import Pace
from epee.runtime.timing import now_s

pytestmark = pytest.mark.timeout(20)


class Hand:
    """A link whose arrivals come from a test's hand."""

    fps: float | None = 30.0
    size_wh: tuple[int, int] | None = (4, 2)

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.seen, self.closed = threading.Semaphore(0), False

    def give(self, *items: Any) -> None:
        """Arrivals, None, an error to raise, or 'end'; comes back when they were taken."""
        self.given += items
        for _ in items:
            assert self.seen.acquire(timeout=5)

    def __iter__(self) -> Iterator[Arrival | None]:
        while not self.closed:
            if not self.given:
                time.sleep(0.001)
                continue
            item = self.given.pop(0)
            if item == "end" or isinstance(item, BaseException):
                self.seen.release()
                if item == "end":
                    return
                raise item
            yield item
            self.seen.release()

    def interrupt(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True


def grey(level: int, late: bool = False) -> Arrival:
    return Arrival(now_s(), lambda: np.full((2, 4, 3), level, np.uint8), late=late)


def broken() -> Arrival:
    def image() -> Any:
        raise DataError("picture", got="nothing")

    return Arrival(now_s(), image)


def source(*links: Hand, **options: Any) -> LiveSource:
    waiting = list(links)

    def connect() -> Hand:
        if not waiting:
            raise SourceError("hand", got="no more links")
        return waiting.pop(0)

    return LiveSource("hand", "the hand", connect, StreamOptions(**options))


def level(frame: Frame) -> tuple[int, int]:
    return frame.index, int(frame.image[0, 0, 0])


def test_the_newest_frame_is_handed_out_once_and_the_rest_is_counted() -> None:
    hand = Hand()
    with source(hand) as live:
        frames = iter(live)
        hand.give(grey(1), grey(2), grey(3))  # before anybody asks: the last is taken, nobody missed the others
        assert level(next(frames)) == (0, 3)
        hand.give(grey(4), grey(5), None, grey(6))
        assert level(next(frames)) == (3, 6)
        hand.give(grey(7, late=True), broken(), grey(8))
        assert level(next(frames)) == (6, 8)
        hand.give("end")
        assert next(frames, None) is None
        status = live.status
    assert (status.state, status.received, status.dropped, status.bad) == ("ended", 7, 4, 1)


def test_a_frame_that_does_not_decode_is_counted_and_the_next_awaited() -> None:
    hand = Hand()
    with source(hand) as live:
        threading.Timer(0.1, lambda: hand.give(grey(9))).start()
        hand.give(broken())
        assert level(next(iter(live)))[1] == 9
        assert live.status.bad == 1


def test_a_reader_that_hangs_is_noticed_without_its_help() -> None:
    hand = Hand()
    with source(hand, read_timeout_s=0.2) as live:
        hand.give(grey(1))
        assert live.status.state == "live"
        time.sleep(0.3)
        status = live.status
        assert (status.state, status.reason[:12]) == ("lost", "no frame for")
        hand.give(grey(2))
        assert (live.status.state, live.status.reconnects) == ("live", 1)
        assert level(next(iter(live)))[1] == 2  # the first is too old to be shown


def test_a_lost_link_is_replaced_and_an_unforeseen_error_reaches_the_taker() -> None:
    first, second = Hand(), Hand()
    with source(first, second) as live:
        frames = iter(live)
        first.give(grey(1))
        next(frames)
        first.give(SourceError("hand", got="a cut"))
        assert (live.status.state, live.status.reason, first.closed) == ("lost", "a cut", True)
        second.give(grey(2))
        assert level(next(frames)) == (1, 2)
        assert live.status.reconnects == 1
        second.give(ZeroDivisionError("a fault of ours"))
        with pytest.raises(ZeroDivisionError, match="a fault of ours"):
            next(frames)


def test_a_decoder_that_is_too_slow_skips_to_key_frames(capfd: pytest.CaptureFixture[str]) -> None:
    decoder = SimpleNamespace(skip_frame="DEFAULT")
    pace = Pace("hand")
    pace.WINDOW_S = 0.01
    for _ in range(10):  # no packet is ever waited for
        time.sleep(0.005)
        pace.late(0.0)
    pace.choose(decoder, False, 0.1)
    assert decoder.skip_frame == "DEFAULT"  # never waiting is no fault as long as frames are young
    pace.choose(decoder, False, 1.0)
    assert decoder.skip_frame == "NONKEY"
    pace.choose(decoder, False, 0.1)
    assert decoder.skip_frame == "NONKEY"  # what follows would refer to frames that were skipped
    pace.choose(decoder, True, 0.1)
    assert decoder.skip_frame == "DEFAULT"
    assert capfd.readouterr().err.count("only its key frames are decoded") == 1


def test_options_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match=r"--rtsp: got 'tpc', expected tcp or udp; did you mean 'tcp'"):
        StreamOptions(transport="tpc")
    with pytest.raises(ConfigError, match="'read_timeout_s': got 0, expected seconds above 0"):
        StreamOptions(read_timeout_s=0)


def test_the_capture_clock_takes_every_delay_for_age() -> None:
    clock = CaptureClock()
    for i in range(10):  # ten frames that had queued come at once, then one a 30th of a second
        clock.arrived(i / 30, 100.0)
    assert clock.captured_s(9 / 30) == pytest.approx(100.0)
    assert clock.captured_s(0.0) == pytest.approx(100.0 - 9 / 30)
    for i in range(10, 100):
        clock.arrived(i / 30, 100.0 + (i - 9) / 30 + (0.5 if i > 50 else 0.0))  # half a second piles up
    assert clock.captured_s(99 / 30) == pytest.approx(103.0, abs=1e-3)


def test_the_capture_clock_follows_drift_and_jumps() -> None:
    clock, drift = CaptureClock(), 0.5 * LEAK
    for i in range(30 * 3600):
        clock.arrived(i / 30 * (1 - drift), i / 30)
    assert clock.captured_s((30 * 3600 - 1) / 30 * (1 - drift)) == pytest.approx(3600, abs=0.05)
    clock.arrived(5.0, 3601.0)
    assert clock.captured_s(5.0) == pytest.approx(3601.0)
    clock.arrived(None, 3602.0)
    assert clock.captured_s(None) == pytest.approx(3602.0)
