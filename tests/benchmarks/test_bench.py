"""bench on real bundles: rows, scenarios, files, and what a row says."""

import hashlib
import json
import sys
from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from epee.benchmarks.matrix import Contestant, check_scenarios, contestants, rows_of
from epee.benchmarks.rounds import bench as measured
from epee.benchmarks.rounds import disturbed, take_turns
from epee.benchmarks.rows import KEPT_SAMPLES, PIPELINE, Results, Round, Row, Settings
from epee.benchmarks.scenarios import TIMED, warm_up
from epee.benchmarks.worker import feeds_of
from epee.runtime.backends import candidates, open_session, probe_all
from epee.runtime.bundle import Bundle
from epee.runtime.cli import main
from epee.runtime.errors import BackendError, ConfigError, DataError
from epee.runtime.verify import read_goldens

AVAILABLE = [b.name for b in probe_all() if b.available]
QUICK = ["--rounds", "1", "--seconds", "0.05", "--threads", "1"]
ONE = ["--backend", "onnxruntime", "--precision", "fp32"]


def silent(line: str) -> None:
    """Progress that nobody wants."""


@pytest.fixture(scope="module")
def bench(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One quick benchmark of every backend and variant; gives its folder."""
    out = tmp_path_factory.mktemp("bench")
    assert main(["bench", str(tiny_bundle), "--out", str(out), *QUICK]) == 0
    return out


@pytest.fixture(scope="module")
def repeated(tiny_bundle: Path) -> Results:
    """One row in three rounds."""
    bundle = Bundle.open(tiny_bundle)
    rows = rows_of(bundle, ["onnxruntime"], ["fp32"], [1])
    return measured(bundle, rows, Settings(rounds=3, seconds=0.02), silent)


def test_every_backend_and_variant_has_a_row(bench: Path, tiny_bundle: Path) -> None:
    results = Results.load(bench / "results.json")
    bundle, rows = Bundle.open(tiny_bundle), results.rows
    assert [(r.backend, r.variant) for r in rows] == [(b, v.name) for b in AVAILABLE for v in candidates(bundle, b)]
    for row in rows:
        (scenario,) = row.scenarios.values()
        ms = scenario.latency_ms
        assert 0 < ms["min"] <= ms["p50"] <= ms["p90"] <= ms["p99"] <= ms["max"]
        assert ms["p50"] == scenario.ms
        assert scenario.rounds[0].calls >= 10
        assert (scenario.interval_ms, scenario.prediction_ms) == (None, None)
        assert row.cold_start_ms is not None
        assert row.cold_start_ms > ms["min"]
        assert (row.peak_rss_mb or 0) > 10
        assert (row.error, row.wrong, row.device, row.threads, row.batch) == ("", [], "cpu", 1, 1)
        assert row.computed in ("fp32", "bf16")


def test_the_harness_costs_less_than_20_microseconds_a_call(bench: Path) -> None:
    for row in Results.load(bench / "results.json").rows:
        assert 0 < (row.scenarios["single-stream"].rounds[0].harness_us or 0) < 20


def test_results_say_the_machine(bench: Path, tiny_bundle: Path) -> None:
    results = Results.load(bench / "results.json")
    assert results.bundle == {"name": "tiny", "task": "segment", "digest": hashlib.sha256(
        (tiny_bundle / "manifest.json").read_bytes()).hexdigest()[:16]}
    assert results.machine["cpu"]["cores"] >= 1
    assert len(results.machine["fingerprint"]) == 16
    assert results.machine["versions"]["numpy"] == np.__version__
    assert results.settings.rounds == 1
    assert results.energy["cpu"].startswith(("not measurable here: ", "RAPL", "INA3221"))
    found = results.rows[0].scenarios["single-stream"].rounds[0].conditions
    assert set(found) == {"load_1m", "others", "stolen", "mhz", "celsius", "throttled"}
    assert sys.executable not in (bench / "results.json").read_text()


@pytest.mark.parametrize(("scenario", "frames"), [("single-stream", 3), ("multi-stream", 6), ("offline", 3),
                                                  ("paced", 3)])
def test_a_scenario_counts_its_frames(tiny_bundle: Path, scenario: str, frames: int) -> None:
    bundle = Bundle.open(tiny_bundle)
    feeds, expected = feeds_of(bundle, read_goldens(bundle), 3)  # of two goldens; a query of four needs two calls
    assert [len(feed["frame"]) for feed in feeds] == [3]
    assert (expected["mask"][2] == expected["mask"][0]).all()
    with open_session(bundle, "onnxruntime", "fp32", threads=2, depth=2) as session:
        call_ms, _ = warm_up(session, feeds)
        found = TIMED[scenario](session, feeds, Settings(seconds=0.02, fps=200.0, streams=4), call_ms)
    r = Round(number=0, at_s=0.0, **found)
    assert r.frames == frames * r.calls
    assert r.calls >= 10 or scenario == "paced"
    assert 0 < r.ms < 1e3 * r.seconds
    assert bool(r.latency_ms) == (len(r.samples_ms) == r.calls) == (scenario != "offline")
    assert r.counts.get("dropped", 30 - r.calls) >= 30 - r.calls


def test_a_paced_stream_that_cannot_keep_up_drops_and_counts(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    feeds, _ = feeds_of(bundle, read_goldens(bundle), 1)
    with open_session(bundle, "onnxruntime", "fp32", threads=1) as session:
        found = TIMED["paced"](session, feeds, Settings(seconds=0.02, fps=50_000.0), 1.0)
    assert found["calls"] + found["counts"]["dropped"] >= 1000
    assert 0 < found["counts"]["late"] <= found["calls"] < 1000


def test_three_rounds_make_intervals(repeated: Results) -> None:
    (row,) = repeated.rows
    scenario = row.scenarios["single-stream"]
    assert [r.number for r in scenario.rounds] == [0, 1, 2]
    (low, high), (below, above) = scenario.interval_ms or (0, 0), scenario.prediction_ms or (0, 0)
    assert 0 < below <= low <= scenario.ms <= high <= above
    assert row.golden_equal == 1.0
    assert (scenario.cpu_ms or 0) > 0


def test_the_pipeline_tells_its_stages_apart(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    (row,) = rows = rows_of(bundle, ["onnxruntime"], ["fp32"], [1])
    measured(bundle, rows, Settings((PIPELINE,), rounds=1, source="synthetic:street", frames=3), silent)
    found = row.scenarios[PIPELINE]
    assert {"decode", "infer", "overlay", "encode"} <= set(found.stages_ms)
    assert [r.frames for r in found.rounds] == [3]


def test_a_busy_machine_is_told(repeated: Results) -> None:
    copy = deepcopy(repeated)
    for r in copy.rows[0].scenarios["single-stream"].rounds:
        r.conditions.update(others=0.5, throttled=2)
    assert disturbed(copy).startswith("other processes took 50% of the processors and processors were slowed down for "
                                      "their heat 6 times: ")
    for r in copy.rows[0].scenarios["single-stream"].rounds:
        r.conditions.update(others=0.01, throttled=None)
    assert disturbed(copy) == ""


def test_results_come_back_as_they_were(repeated: Results, tmp_path: Path) -> None:
    repeated.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == repeated
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["format"] == 1
    counts = [len(r["samples_ms"]) for r in stored["rows"][0]["scenarios"]["single-stream"]["rounds"]]
    assert all(0 < count <= KEPT_SAMPLES for count in counts)
    for text, line in (("{", "no JSON"), ('{"format": 2}', "got 2, expected 1"), ('{"format": 1}', "misshapen")):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(DataError, match=line):
            Results.load(tmp_path / "other.json")
    with pytest.raises(DataError, match="No such file"):
        Results.load(tmp_path / "none.json")


def labelled(folder: Path, bundle: Path) -> Path:
    """A dataset YAML of one labelled picture, split `val`, in the bundle's classes."""
    names = Bundle.open(bundle).manifest.classes
    random = np.random.default_rng(0)
    for name, shape, top in (("images", (60, 80, 3), 256), ("masks", (60, 80), len(names))):
        (folder / name / "val").mkdir(parents=True)
        cv2.imwrite(str(folder / name / "val/0.png"), random.integers(0, top, shape, np.uint8))
    (folder / "set.yaml").write_text(yaml.safe_dump({"val": "images/val", "names": list(names)}))
    return folder / "set.yaml"


def test_data_adds_scores_and_json_leaves_samples_out(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    pictures = labelled(tmp_path / "set", tiny_bundle)
    assert main(["bench", str(tiny_bundle), "--out", str(tmp_path / "out"), *ONE, "--json", *QUICK[:4], "--threads",
                 "1,2", "--data", str(pictures)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["eval", str(tiny_bundle), "--data", str(pictures), *ONE, "--json"]) == 0
    miou = json.loads(capsys.readouterr().out)["miou"]
    assert sorted(row["threads"] for row in found["rows"]) == [1, 2]
    assert [row["quality"]["miou"] for row in found["rows"]] == [miou, miou]
    assert "samples_ms" not in found["rows"][0]["scenarios"]["single-stream"]["rounds"][0]


def test_names_of_the_matrix_are_checked(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(BackendError, match="no such backend"):
        rows_of(bundle, ["onyx"], ["all"])
    with pytest.raises(BackendError, match="precision 'int1'"):
        rows_of(bundle, ["all"], ["int1"])
    assert [r.where for r in rows_of(bundle, ["openvino:cpu", "openvino:cpu"], ["fp32", "fp32"])] == ["openvino:cpu"]
    rows = rows_of(bundle, ["onnxruntime"], ["fp32"], [1, 2, 1], [1, 8])
    assert [(r.batch, r.threads) for r in rows] == [(1, 1), (1, 2), (8, 1), (8, 2)]
    assert rows[-1].name == "fp32 on onnxruntime, batch 8, 2 threads"
    assert len(contestants(bundle, rows, Settings(("single-stream", PIPELINE), source="synthetic:street"))) == 4 + 2


def test_scenarios_are_checked() -> None:
    assert check_scenarios(["all"], "") == ("single-stream", "multi-stream", "offline", "paced")
    assert check_scenarios(["offline", "single-stream"], "clip.mp4") == ("single-stream", "offline", PIPELINE)
    with pytest.raises(ConfigError, match="'server', expected all, or some of single-stream"):
        check_scenarios(["server"], "")
    with pytest.raises(ConfigError, match="no --source"):
        check_scenarios([PIPELINE], "")


def test_rounds_are_interleaved_and_shuffled_and_take_others_along() -> None:
    seen: list[str] = []

    def contestant(name: str, rounds: int) -> Contestant:
        def measure(number: int) -> dict[str, object]:
            seen.append(name)
            return {"ms": number + 1.0, "calls": 2, "frames": 2, "seconds": 0.5, "facts": {"device": "here"}}
        return Contestant(Row(name, "", "theirs", "", 0, label="others"), "single-stream", measure, rounds)

    taking_part = [contestant(name, 2 if name == "d" else 99) for name in "abcd"]
    take_turns(taking_part, Settings(rounds=6), silent)
    assert {name: seen.count(name) for name in "abcd"} == {"a": 6, "b": 6, "c": 6, "d": 2}
    rounds = [tuple(seen[8 + i:11 + i]) for i in range(0, 12, 3)]
    assert all(sorted(r) == list("abc") for r in rounds)
    assert len(set(rounds)) > 1
    row = taking_part[0].row
    assert (row.device, row.scenarios["single-stream"].ms, row.scenarios["single-stream"].fps) == ("here", 3.5, 4.0)


def test_ctrl_c_keeps_the_rounds_measured_until_then() -> None:
    def contestant(name: str, last: int) -> Contestant:
        def measure(number: int) -> dict[str, object]:
            if number > last:
                raise KeyboardInterrupt
            return {"ms": number + 1.0, "calls": 2, "frames": 2, "seconds": 0.5}
        return Contestant(Row(name, "", "theirs", "", 0), "single-stream", measure)

    whole, cut = contestant("whole", 9), contestant("cut", 2)
    _, interrupted = take_turns([whole, cut], Settings(rounds=6), silent)
    assert interrupted
    assert len(cut.row.scenarios["single-stream"].rounds) == 3
    assert len(whole.row.scenarios["single-stream"].rounds) in (3, 4)
    none, one = contestant("none", -1), contestant("one", 9)
    taken = Contestant(none.row, none.scenario, none.measure, rounds=0)
    assert take_turns([taken, one, contestant("cut", 0)], Settings(rounds=2), silent)[1]
    assert none.row.error == "interrupted before its first round"
    with pytest.raises(KeyboardInterrupt):
        take_turns([contestant("none", -1)], Settings(rounds=2), silent)
