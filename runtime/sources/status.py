"""What a source says of itself while it runs, to be asked from any thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from ..timing import now_s

CONNECTING, LIVE, LOST, ENDED = STATES = ("connecting", "live", "lost", "ended")


@dataclass(frozen=True)
class Status:
    """A source's state and counters at one moment.

    Attributes:
        state: `connecting` (no frame yet), `live` (frames come), `lost` (none comes, it tries again) or `ended`.
        since_s: `timing.now_s()` when this state began.
        reason: why it is lost, without credentials, or ''.
        received: frames that decoded.
        dropped: frames never handed out because a newer one came first.
        bad: packets or frames that did not decode.
        reconnects: how often frames came again after the source was lost.
    """

    state: str
    since_s: float
    reason: str = ""
    received: int = 0
    dropped: int = 0
    bad: int = 0
    reconnects: int = 0

    @property
    def for_s(self) -> float:
        """Seconds since this state began."""
        return now_s() - self.since_s


class Tally:
    """Keeps a Status up to date; every method may be called from any thread.

    Args:
        state: what to begin with, one of STATES.
    """

    def __init__(self, state: str = CONNECTING) -> None:
        self._status = Status(state, now_s())
        self._seen = self._lost_before = False
        self._lock = threading.Lock()

    @property
    def status(self) -> Status:
        """The newest snapshot."""
        return self._status

    def frame(self, counted: bool = True) -> None:
        """Takes note of a frame that decoded, and counts it; the source is live, and a lost one came back."""
        with self._lock:
            self._seen = True
            status = replace(self._status, received=self._status.received + int(counted))
            if status.state in (CONNECTING, LOST):
                back = int(self._lost_before)
                status = replace(status, state=LIVE, since_s=now_s(), reason="", reconnects=status.reconnects + back)
                self._lost_before = False
            self._status = status

    def dropped(self, count: int = 1) -> None:
        """Counts frames that nobody took."""
        with self._lock:
            self._status = replace(self._status, dropped=self._status.dropped + count)

    def bad(self, count: int = 1) -> None:
        """Counts packets or frames that did not decode."""
        with self._lock:
            self._status = replace(self._status, bad=self._status.bad + count)

    def lost(self, reason: str) -> None:
        """The source is lost; where it was so before, the state goes on and the reason is the newest."""
        self._lost_before = self._lost_before or self._seen
        self._enter(LOST, reason)

    def ended(self) -> None:
        """The source is at its end, or was closed."""
        self._enter(ENDED)

    def _enter(self, state: str, reason: str = "") -> None:
        with self._lock:
            if self._status.state != ENDED:
                since_s = self._status.since_s if self._status.state == state else now_s()
                self._status = replace(self._status, state=state, since_s=since_s, reason=reason)
