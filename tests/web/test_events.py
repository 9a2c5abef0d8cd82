"""Events as they are written keep to the schema that is published."""

import json
from pathlib import Path
from typing import Any

import pytest
from epee.runtime.events import status_event, utc
from epee.runtime.model import open_model
from epee.runtime.sinks import SinkInfo, open_sink
from epee.runtime.sources.status import Tally
from epee.runtime.timing import now_s

jsonschema = pytest.importorskip("jsonschema")
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "event.schema.json"


@pytest.fixture(scope="module")
def check() -> Any:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).validate


def test_a_run_and_a_lost_source_write_events_of_the_schema(tiny_bundle: Path, clip: Path, tmp_path: Path,
                                                            check: Any) -> None:
    pytest.importorskip("onnxruntime")
    tally = Tally()
    with open_model(tiny_bundle, "onnxruntime") as model, \
            open_sink(f"jsonl:{tmp_path}/events.jsonl", SinkInfo("clip", model.manifest)) as sink:
        for result in model.stream(clip, limit=3):
            sink.write(result)
        tally.lost("no frame for 5 s")
        for _ in range(3):
            sink.lost(tally.status)
        tally.frame()
        sink.lost(tally.status)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    for event in events:
        check(event)
    assert [e["type"] for e in events] == ["frame"] * 3 + ["status"] * 2
    assert [e["state"] for e in events[3:]] == ["lost", "live"]
    assert events[0]["position_s"] == 0
    assert sum(events[0]["shares"].values()) == pytest.approx(1, abs=1e-3)


def test_the_schema_refuses_what_is_no_event(check: Any) -> None:
    event = status_event("gate", Tally("live").status)
    check(event)
    for change in ({"state": "asleep"}, {"schema": "epee.event/2"}, {"time": "noon"}, {"received": -1}):
        with pytest.raises(jsonschema.ValidationError):
            check({**event, **change})


def test_utc_is_the_wall_clock_of_a_moment() -> None:
    from datetime import datetime, timezone

    then = datetime.fromisoformat(utc(now_s() - 60))
    assert 59.9 < (datetime.now(timezone.utc) - then).total_seconds() < 61


