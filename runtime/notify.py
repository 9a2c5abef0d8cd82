"""Tells systemd that the service is up and alive (`Type=notify`, `WatchdogSec=`); does nothing elsewhere.

The protocol is one datagram to the socket that `NOTIFY_SOCKET` names, see sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from .timing import now_s


class Watchdog:
    """Sends READY at the first beat, then WATCHDOG twice in each period that systemd asks for, and STOPPING at last."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        asked = os.environ.get("WATCHDOG_USEC", "")
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.period_s = int(asked) / 1e6 if asked.isdecimal() and mine else 0.0
        self._next_s = 0.0
        self._ready = False

    def beat(self) -> None:
        """Says that all is well; cheap enough to be called for each frame."""
        if not self._address:
            return
        if not self._ready:
            self._ready = True
            self._send("READY=1")
        if self.period_s and now_s() >= self._next_s:
            self._next_s = now_s() + self.period_s / 2
            self._send("WATCHDOG=1")

    def stop(self) -> None:
        """Says that the service is about to end."""
        if self._address:
            self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end, suppress(BlockingIOError):
            end.setblocking(False)  # a reader whose queue is full must not hold a stream up
            end.sendto(text.encode(), address)
