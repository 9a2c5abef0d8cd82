"""The sinks of one stream: each result goes to all, and one that fails is closed while the others go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import EpeeError, SinkError
from .frames import Result
from .sinks import Sink, SinkEnd
from .sources import notice

if TYPE_CHECKING:
    from .sources import Status


@dataclass(frozen=True)
class Failure:
    """A sink that stopped before its stream did.

    Attributes:
        sink: its target, or its kind where it has none.
        error: why.
    """

    sink: str
    error: EpeeError

    def to_json(self) -> dict[str, str]:
        """For `epee run --json`."""
        return {"sink": self.sink, "error": str(self.error)}


class Outlets:
    """Writes to several sinks as if they were one; `write`, `lost` and `close` are for one thread.

    A sink that raises, whatever it raises, is closed and left out from then on; one line on standard error says so.
    Where none is left, the last one's error is raised.

    Attributes:
        failed: the sinks that stopped, in order.
        files: what was written, also by those that stopped.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks, self._open = list(sinks), list(sinks)
        self.failed: list[Failure] = []

    @property
    def files(self) -> list[str]:
        """What all sinks have written and not deleted again."""
        return [file for sink in self._sinks for file in sink.files]

    def prepare(self, result: Result) -> None:
        """Lets each sink do on a worker what needs no order."""
        for sink in list(self._open):
            with suppress(Exception):  # `write` does the same again, in its turn, and its error is told
                _timed(result, sink.kind, sink.prepare)

    def write(self, result: Result) -> None:
        """Gives a result to every sink.

        Raises:
            SinkEnd: the person at a sink ends the run; all sinks have the result.
            EpeeError: no sink is left.
        """
        self._each(lambda sink: _timed(result, sink.kind, sink.write))

    def lost(self, status: Status) -> None:
        """Tells every sink of the source's state. Raises SinkEnd and EpeeError as `write` does."""
        self._each(lambda sink: sink.lost(status))

    def close(self) -> None:
        """Finishes every sink; a second call does nothing. Raises EpeeError where not one could be finished."""
        finished, self._open = self._open, []
        before = len(self.failed)
        for sink in finished:
            self._finish(sink)
        if finished and len(self.failed) == len(self._sinks):
            raise self.failed[-1].error
        self._tell(before)

    def _each(self, call: Callable[[Sink], None]) -> None:
        ends = [end for sink in list(self._open) if (end := self._attempt(sink, call)) is not None]
        if not self._open and self.failed:
            raise self.failed[-1].error
        if ends:
            raise ends[0]

    def _attempt(self, sink: Sink, call: Callable[[Sink], None]) -> SinkEnd | None:
        try:
            call(sink)
        except SinkEnd as end:
            return end
        except Exception as error:
            self._leave_out(sink, error)
        return None

    def _leave_out(self, sink: Sink, error: Exception) -> None:
        self._open.remove(sink)
        self._note(sink, error)
        with suppress(Exception):  # what is broken need not close well; the first error is the one to tell
            sink.close()
        if self._open:
            self._tell(len(self.failed) - 1)

    def _finish(self, sink: Sink) -> None:
        try:
            sink.close()
        except Exception as error:
            self._note(sink, error)

    def _note(self, sink: Sink, error: Exception) -> None:
        if not isinstance(error, EpeeError):
            text = " ".join(str(error).split())[:300]
            named = SinkError(f"sink '{sink.kind}' failed", got=f"{type(error).__name__}: {text}")
            named.__cause__ = error
            error = named
        self.failed.append(Failure(sink.target or sink.kind, error))

    def _tell(self, since: int) -> None:
        for failure in self.failed[since:]:
            notice(f"{failure.error}; the other sinks go on")


def _timed(result: Result, stage: str, call: Callable[[Result], None]) -> None:
    """Calls and adds the time to the stage, without what went to drawing the overlay, which is a stage of its own."""
    times_ms = result.times_ms
    drawn_ms = times_ms.get("overlay", 0.0)
    start = time.perf_counter()
    call(result)
    spent_ms = 1e3 * (time.perf_counter() - start) - (times_ms.get("overlay", 0.0) - drawn_ms)
    times_ms[stage] = times_ms.get(stage, 0.0) + spent_ms
