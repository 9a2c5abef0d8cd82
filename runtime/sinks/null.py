"""Throws results away: `null` at once, `null:overlay` after drawing them."""

from __future__ import annotations

from ..errors import SinkError
from ..frames import Result
from . import Opened, SinkInfo


class NullSink(Opened):
    """Measures the pipeline without a place to write to."""

    kind = "null"

    def __init__(self, target: str, info: SinkInfo) -> None:
        if target not in ("", "overlay"):
            raise SinkError(f"sink 'null:{target}'", got="no such sink", expected="null or null:overlay")
        super().__init__()
        self._draws = target == "overlay"

    def prepare(self, result: Result) -> None:
        if self._draws:
            _ = result.picture

    def write(self, result: Result) -> None:
        self.prepare(result)
