"""LiveSource: the newest frame of something that never waits for us, and comes back when it was lost.

    link --(reader thread: everything as it comes)--> one place --(the newest, once)--> the taker

A link is one connection. The reader thread takes from it whatever comes, so that nothing queues up inside decoders and
sockets, and puts it in a place for one; what is not taken in time is replaced and counted. A link that fails is closed
and opened anew, after 0.25 s, then 0.5, 1 and at most 1.5, each give or take a quarter, so that many sources of one
restarted server do not come at once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ..errors import DataError, EpeeError, SourceError
from ..frames import Frame
from ..pixels import Image
from ..timing import now_s
from . import Opened
from .options import StreamOptions
from .status import CONNECTING, LIVE, LOST, Status, Tally

FIRST_WAIT_S, LONGEST_WAIT_S, JITTER = 0.25, 1.5, 0.25
POLL_S = 0.1
CLOSE_S = 0.4
"""How long `close` waits for the reader; one that sits in a library's call ends by itself after that call."""


@dataclass(frozen=True)
class Arrival:
    """A frame as a link gives it.

    Attributes:
        captured_s: `timing.now_s()` when it was captured.
        image: makes the (H, W, 3) uint8 BGR image, on the thread of who takes it; raises DataError where it does not
            decode.
        decode_ms: what decoding took so far.
        late: it had queued before the connection stood, so how old it is cannot be known; it is not handed out.
    """

    captured_s: float
    image: Callable[[], Image]
    decode_ms: float = 0.0
    late: bool = False


class Link(Protocol):
    """One connection; opening it is its constructor's job, which raises SourceError.

    Iterating gives arrivals as they come, and None for each packet or frame that did not decode. It ends where the
    stream came to its end for good and raises SourceError where it was lost; `got` says why. A link that hears nothing
    for `read_timeout_s` raises too.
    """

    fps: float | None
    size_wh: tuple[int, int] | None

    def __iter__(self) -> Iterator[Arrival | None]: ...

    def interrupt(self) -> None:
        """Has the iteration end soon, where that can be done from another thread."""
        ...

    def close(self) -> None:
        """Frees what is open; called by the reader thread alone."""
        ...


class LiveSource(Opened):
    """Frames of a link, and of the next when that is lost; see Source.

    The first connection is made by the constructor and raises where it fails, unless `options.wait` is set.

    Args:
        name: see Source.
        what: the source in messages, without credentials.
        connect: opens a link.

    Raises:
        SourceError: the first connection fails.
    """

    def __init__(self, name: str, what: str, connect: Callable[[], Link], options: StreamOptions) -> None:
        super().__init__(name, live=True)
        self._tally = Tally(CONNECTING)
        self._what, self._connect, self._options = what, connect, options
        self._fresh = threading.Condition()
        self._closing = threading.Event()
        self._newest: tuple[int, Arrival] | None = None
        self._asked, self._over, self._next_index, self._heard_s = False, False, 0, now_s()
        self._error: BaseException | None = None
        self._link = self._open_first()
        self._thread = threading.Thread(target=self._keep_reading, name=f"epee-source-{name}", daemon=True)
        self._thread.start()

    @property
    def status(self) -> Status:
        """State and counters at this moment; notices by itself when a reader has been silent for too long."""
        status = self._tally.status
        silent_s = now_s() - self._heard_s
        if status.state == LIVE and silent_s > self._options.read_timeout_s and not self._over:
            self._lose(f"no frame for {silent_s:.1f} s")
            return self._tally.status
        return status

    def __iter__(self) -> Iterator[Frame]:
        first_s: float | None = None
        while (taken := self._take()) is not None:
            index, arrival = taken
            start = time.perf_counter()
            try:
                image = self.bgr(arrival.image())
            except DataError:
                self._tally.bad()
                continue
            self.size_wh = (int(image.shape[1]), int(image.shape[0]))
            first_s = arrival.captured_s if first_s is None else first_s
            yield Frame(image, index, self.name, arrival.captured_s, f"{index:06d}", arrival.captured_s - first_s,
                        arrival.decode_ms + 1e3 * (time.perf_counter() - start))

    def close(self) -> None:
        """Ends the reader and whoever waits for a frame; a second call does nothing."""
        self._closing.set()
        with self._fresh:
            self._newest = None
            self._fresh.notify_all()
        link = self._link
        if link is not None:
            link.interrupt()
        if self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)
        self._tally.ended()

    # The taker's side

    def _take(self) -> tuple[int, Arrival] | None:
        """The newest frame and its index, waiting for one; None at the end."""
        with self._fresh:
            if not self._asked and self._newest is not None:
                self._tally.frame()  # the one of those before that is handed out
            self._asked = True
            while not self._closing.is_set():
                if self._newest is not None:
                    newest, self._newest = self._newest, None
                    self._next_index = max(self._next_index, newest[0] + 1)
                    return newest
                if self._error is not None:
                    raise self._error
                if self._over:
                    return None
                self._perhaps_give_up()
                self._fresh.wait(POLL_S)
        return None

    def _perhaps_give_up(self) -> None:
        status, limit_s = self.status, self._options.give_up_s
        if limit_s is not None and status.state in (LOST, CONNECTING) and status.for_s > limit_s:
            raise SourceError(f"{self._what} is lost for {status.for_s:.0f} s", got=status.reason or "no frame",
                              expected=f"frames again within {limit_s:g} s",
                              do="check the cable, the network and whether another program holds it")

    # The reader's side

    def _open_first(self) -> Link | None:
        try:
            link = self._connect()
        except SourceError as error:
            if not self._options.wait:
                raise
            self._lose(_reason(error))
            return None
        self.fps, self.size_wh = link.fps, link.size_wh
        return link

    def _keep_reading(self) -> None:
        waits = _waits()
        try:
            while not self._closing.is_set():
                heard_s = self._heard_s
                try:
                    if self._link is None:
                        self._link = self._connect()
                    self._read(self._link)
                    break
                except SourceError as error:
                    self._lose(_reason(error))
                finally:
                    if self._link is not None:
                        self._link.close()
                        self._link = None
                if self._heard_s > heard_s:
                    waits = _waits()
                self._closing.wait(next(waits))
        except BaseException as error:  # whatever it is, it belongs to the taker, who would wait for ever
            self._error = error
        with self._fresh:
            self._over = True
            self._fresh.notify_all()
        self._tally.ended()

    def _read(self, link: Link) -> None:
        """Takes what the link gives until it ends for good or the source is closed."""
        for arrival in link:
            if self._closing.is_set():
                return
            if arrival is None:
                self._tally.bad()
            else:
                self._put(arrival)

    def _put(self, arrival: Arrival) -> None:
        self._heard_s = now_s()
        with self._fresh:
            self._tally.frame(counted=self._asked)  # what came before anybody asked was neither delivered nor dropped
            if self._asked and (arrival.late or self._newest is not None):
                self._tally.dropped()
            if not arrival.late:
                self._newest = self._next_index, arrival
                self._fresh.notify()
            self._next_index += int(self._asked)

    def _lose(self, reason: str) -> None:
        """Tells the status, and takes back a frame that nobody took: it would be handed out when it is long old."""
        if self._closing.is_set():
            return
        with self._fresh:
            if self._newest is not None:
                self._newest = None
                if self._asked:
                    self._tally.dropped()
        self._tally.lost(reason)


def _waits() -> Iterator[float]:
    """Seconds to wait before each further attempt."""
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s * random.uniform(1 - JITTER, 1 + JITTER)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _reason(error: EpeeError) -> str:
    return str(error.got or error)
