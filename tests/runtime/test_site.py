"""`site.toml`: what it says is what runs, and what it cannot mean is one clear line."""

from pathlib import Path

import pytest
from epee.runtime.errors import ConfigError
from epee.runtime.site import Camera, checked, read_site, several

GOOD = """
[defaults]
bundle = "street-nano"
backend = "openvino"
max_age_ms = 200

[[camera]]
name = "yard"
source = "rtsp://10.0.0.7/yard"
sinks = ["rec/{source}-%Y%m%d-%H%M%S.mp4?every=10min&keep=20GB", "web:8080", "mosaic:window"]
rtsp = "udp"

[[camera]]
name = "gate"
source = "0"
backend = "onnxruntime"
sinks = ["jsonl:{source}.jsonl", "web:8080", "mosaic:window"]
"""


def site(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(text)
    return path


def test_defaults_hold_and_give_way(tmp_path: Path) -> None:
    yard, gate = read_site(site(tmp_path, GOOD), {"seconds": 5.0})
    assert (yard.name, yard.backend, yard.max_age_ms, yard.rtsp) == ("yard", "openvino", 200.0, "udp")
    assert (gate.bundle, gate.backend, gate.rtsp) == ("street-nano", "onnxruntime", "tcp")
    assert gate.sinks == ("jsonl:{source}.jsonl", "web:8080", "mosaic:window")
    assert yard.seconds == gate.seconds == 5.0
    options = yard.stream_options(wait=True)
    assert (options.transport, options.wait) == ("udp", True)


@pytest.mark.parametrize(("old", "new", "why"), [
    ('name = "gate"', 'nmae = "gate"', "camera 2: unknown key 'nmae'; did you mean 'name'"),
    ('name = "gate"', 'name = "yard"', "camera 'yard': got 2 of that name"),
    ('source = "0"', "source = 0", "camera gate: 'source': got 0, expected text"),
    ('source = "0"', "", "camera gate: 'source': got nothing, expected text"),
    ('rtsp = "udp"', "threads = -1", "camera yard: 'threads': got -1, expected 0 or more"),
    ('rtsp = "udp"', 'seconds = "5"', "camera yard: 'seconds': got '5', expected a number"),
    ("[defaults]", "[default]", r"unknown table 'default'.*did you mean 'defaults'"),
    ('"jsonl:{source}.jsonl", ', '"web:8080", ', "camera gate: sinks: got the same one twice"),
    ('sinks = ["jsonl', 'sinks = ["jsnl', r"camera gate: sink 'jsnl:\{source\}\.jsonl'"),
    ('sinks = ["jsonl:{source}.jsonl"', 'sinks = ["jsonl:a.jsonl", 3', "'sinks': got 3, expected text"),
    ("[[camera]]", "[[cam]]", "unknown table 'cam'"), ("[defaults]", "[defaults", "is no TOML")])
def test_what_cannot_be_meant_is_one_clear_line(tmp_path: Path, old: str, new: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        read_site(site(tmp_path, GOOD.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


def test_an_empty_site_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got no camera, expected a table"):
        read_site(site(tmp_path, "[defaults]\nbundle = 'a'\n"))
    with pytest.raises(ConfigError, match=r"none\.toml': got no such file"):
        read_site(tmp_path / "none.toml")


def test_cameras_never_write_each_others_files() -> None:
    for text, why in (("out.mp4", r"2 cameras that would write it.*e\.g\. out-\{source\}\.mp4"),
                      ("jsonl:a/b.jsonl", r"e\.g\. jsonl:a/b-\{source\}\.jsonl"),
                      ("mqtt:host/topic", r"e\.g\. mqtt:host/topic-\{source\}"),
                      ("window", "mosaic:window shows all of them")):
        with pytest.raises(ConfigError, match=why):
            several(["0", "1"], Camera("", "b", sinks=(text,)))
    for text in ("out-{source}.mp4", "web:80", "null:overlay", "mosaic:window"):
        assert len(several(["0", "1"], Camera("", "b", sinks=(text,)))) == 2
    with pytest.raises(ConfigError, match="got one camera, expected several; leave mosaic: out"):
        checked([Camera("0", "b", sinks=("mosaic:window",))])
