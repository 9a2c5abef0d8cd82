"""When a frame of a stream was captured, on our own clock."""

from __future__ import annotations

LEAK = 200e-6
"""How far a camera's clock may run from ours, in seconds a second; more than cheap crystals do."""
JUMP_S, BACK_S = 5.0, 1.0


class CaptureClock:
    """Turns a stream's time stamps into times of capture.

    A frame that arrives at `a` with time stamp `p` was captured at `p + min(a - p)`, the least over all frames so far:
    the one that was held up least in encoder, network and buffers shows how the two clocks stand to each other, so
    every further delay of the others counts as their age. The minimum leaks by LEAK, which follows clocks that drift
    apart, and begins anew where the time stamps jump.

    What remains unseen is the delay of the fastest frame itself. The camera's own time (RTCP sender reports) would show
    it, where its clock is set right; it is not used.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._arrived_s = self._stamp_s = 0.0

    def arrived(self, stamp_s: float | None, arrived_s: float) -> None:
        """Learns from a packet.

        Args:
            stamp_s: the stream's time stamp in seconds, or None where it has none.
            arrived_s: `timing.now_s()` when it arrived.
        """
        if stamp_s is None:
            self._arrived_s = arrived_s
            return
        step_s = stamp_s - self._stamp_s
        if self._offset_s is None or step_s > JUMP_S or step_s < -BACK_S:
            self._offset_s = arrived_s - stamp_s
        else:
            leaked_s = self._offset_s + LEAK * max(0.0, arrived_s - self._arrived_s)
            self._offset_s = min(arrived_s - stamp_s, leaked_s)
        self._arrived_s, self._stamp_s = arrived_s, stamp_s

    def captured_s(self, stamp_s: float | None) -> float:
        """`timing.now_s()` when what bears this time stamp was captured; the last arrival where it bears none."""
        if stamp_s is None or self._offset_s is None:
            return self._arrived_s
        return min(self._arrived_s, stamp_s + self._offset_s)
