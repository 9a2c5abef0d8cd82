"""Events: what is said of a stream, one JSON object each, to files and brokers.

`docs/event.schema.json` describes them. Within `epee.event/1` fields may be added, but none is changed or removed.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .frames import Result
from .timing import now_s

if TYPE_CHECKING:
    from .sources import Status

SCHEMA = "epee.event/1"


def frame_event(result: Result) -> dict[str, Any]:
    """What is said of a frame: when it was captured, where it came from, what it shows, how old it is by now."""
    frame = result.frame
    return {"schema": SCHEMA, "type": "frame", "time": utc(frame.captured_s), "source": frame.source,
            "index": frame.index, "position_s": None if frame.position_s is None else round(frame.position_s, 4),
            "shares": {name: round(share, 5) for name, share in result.shares.items()},
            "age_ms": round(frame.age_ms, 3), **frame.facts}


def status_event(source: str, status: Status) -> dict[str, Any]:
    """What is said where a source is lost, comes back or ends.

    Args:
        source: the source's name, without credentials.
    """
    return {"schema": SCHEMA, "type": "status", "time": utc(now_s()), "source": source, "state": status.state,
            "since": utc(status.since_s), "reason": status.reason, "received": status.received,
            "dropped": status.dropped, "bad": status.bad, "reconnects": status.reconnects}


def utc(at_s: float) -> str:
    """A moment of `timing.now_s()` as UTC in ISO 8601, to the millisecond."""
    moment = datetime.now(timezone.utc) - timedelta(seconds=now_s() - at_s)
    return moment.isoformat(timespec="milliseconds")
