"""One JSON object a frame, one a line; each line is on disk when `write` returns."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ..frames import Result
from . import Opened, SinkInfo


class JsonlSink(Opened):
    """Writes `time`, `source`, `index`, `position_s`, `shares` and `age_ms` of each frame."""

    kind = "jsonl"

    def __init__(self, target: str, info: SinkInfo) -> None:
        super().__init__(target)
        try:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            self._file = open(target, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise self.failed(error) from None

    def prepare(self, result: Result) -> None:
        _ = result.shares

    def write(self, result: Result) -> None:
        try:
            self._file.write(json.dumps(event(result)) + "\n")
        except OSError as error:
            raise self.failed(error) from None

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise self.failed(error) from None


def event(result: Result) -> dict[str, Any]:
    """What is said of a frame: when it was captured (UTC, ISO 8601), where it came from, what it shows, its age."""
    frame, age_ms = result.frame, result.frame.age_ms
    captured = datetime.now(timezone.utc) - timedelta(milliseconds=age_ms)
    return {"time": captured.isoformat(timespec="milliseconds"), "source": frame.source, "index": frame.index,
            "position_s": None if frame.position_s is None else round(frame.position_s, 4),
            "shares": {name: round(share, 5) for name, share in result.shares.items()}, "age_ms": round(age_ms, 3)}
