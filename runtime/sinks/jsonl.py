"""One JSON object an event, one a line (see `events`); each line is on disk when `write` returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..events import frame_event, status_event
from ..frames import Result
from . import Opened, SinkInfo

if TYPE_CHECKING:
    from ..sources import Status


class JsonlSink(Opened):
    """Writes an event for each frame, and one where the source is lost or comes back."""

    kind = "jsonl"

    def __init__(self, target: str, info: SinkInfo) -> None:
        super().__init__(target)
        self._source, self._told = info.source, ""
        try:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            self._file = open(target, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise self.failed(error) from None

    def prepare(self, result: Result) -> None:
        _ = result.shares

    def write(self, result: Result) -> None:
        self._line(frame_event(result))

    def lost(self, status: Status) -> None:
        if status.state != self._told:
            self._told = status.state
            self._line(status_event(self._source, status))

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise self.failed(error) from None

    def _line(self, event: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(event) + "\n")
        except OSError as error:
            raise self.failed(error) from None
