"""Baselines: kept, found, and refused where a comparison would say nothing."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from epee.benchmarks import baseline, report
from epee.benchmarks.rounds import gather
from epee.benchmarks.rows import SINGLE, Results, Round, Row, Settings
from epee.runtime import machine
from epee.runtime.bundle import Bundle
from epee.runtime.cli import main
from epee.runtime.errors import ConfigError, DataError, EpeeError

QUICK = ["--backend", "onnxruntime", "--precision", "fp32", "--rounds", "1", "--seconds", "0.02", "--threads", "1"]


def figures(bundle: Bundle, rounds_ms: tuple[float, ...] = (1.0, 1.1, 1.0), **facts: Any) -> Results:
    """Results of one row, of this machine but for `facts`."""
    rounds = [Round(i, i, ms, 10, 10, 0.1) for i, ms in enumerate(rounds_ms)]
    row = Row("onnxruntime", "cpu", "fp32", "fp32", 1, 1, scenarios={SINGLE: gather(rounds)})
    named = {"name": bundle.manifest.name, "task": bundle.manifest.task, "digest": bundle.digest()}
    return Results(named, machine.describe() | facts, Settings(), [row], "2026-01-01T10:00:00")


def test_a_baseline_is_a_bundle_with_its_figures(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    baseline.save(tmp_path / "old", bundle, figures(bundle))
    baseline.save(tmp_path / "old", bundle, figures(bundle, (2.0, 2.0, 2.0)))  # again, in its place
    found = baseline.find(str(tmp_path / "old"))
    assert found.bundle is not None
    assert found.bundle.digest() == bundle.digest()
    assert found.results is not None
    assert found.results.rows[0].scenarios[SINGLE].ms == 2.0
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    assert baseline.find(str(tiny_bundle)).results is None
    assert baseline.find(str(tmp_path / "old/results.json")).bundle is None


def test_something_else_in_its_place_is_left_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("kept")
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(ConfigError, match="something that is no baseline is there"):
        baseline.save(tmp_path / "mine", bundle, figures(bundle))
    assert (tmp_path / "mine/file").read_text() == "kept"
    with pytest.raises(EpeeError, match="cannot save the baseline"):
        baseline.save(tmp_path / "mine/file/old", bundle, figures(bundle))


def test_a_missing_baseline_says_how_to_make_one(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    words = ["bench", str(tiny_bundle), "--out", str(tmp_path / "out"), *QUICK]
    assert main([*words, "--compare", str(tmp_path / "nowhere")]) == 1
    said = capsys.readouterr().err
    assert "nothing there" in said
    assert "--save-baseline FOLDER" in said
    (tmp_path / "bad.json").write_text("{}")
    assert main([*words, "--compare", str(tmp_path / "bad.json")]) == 1
    assert "format" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_figures_of_another_machine_name_what_differs(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle, here = Bundle.open(tiny_bundle), machine.describe()
    cpu = here["cpu"] | {"name": "Abacus 9", "cores": 64}
    figures(bundle, cpu=cpu).save(tmp_path / "theirs.json")
    found = baseline.find(str(tmp_path / "theirs.json"))
    with pytest.raises(DataError) as raised:
        baseline.check_machine(found, here)
    assert "'Abacus 9' with 64 cores" in str(raised.value)
    assert f"'{here['cpu']['name']}' with {here['cpu']['cores']} cores" in str(raised.value)
    assert "--compare OLD.epee: it is run again here" in str(raised.value)
    baseline.save(tmp_path / "theirs", bundle, figures(bundle, cpu=cpu))
    baseline.check_machine(baseline.find(str(tmp_path / "theirs")), here)  # that one is run again


def test_upgraded_libraries_are_compared_and_said(tiny_bundle: Path, tmp_path: Path) -> None:
    here = machine.describe()
    figures(Bundle.open(tiny_bundle), versions=here["versions"] | {"numpy": "1.0"}).save(tmp_path / "old.json")
    found = baseline.find(str(tmp_path / "old.json"))
    baseline.check_machine(found, here)
    assert baseline.upgrades(found, here) == f"numpy 1.0 then, {here['versions']['numpy']} now"


def test_bundles_that_do_other_work_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    for name, change in {"task": {"task": "generate"}, "inputs": {"inputs": [
            {**dataclasses.asdict(bundle.manifest.inputs[0]), "shape": [None, 10, 10, 3]}]}}.items():
        other = Path(shutil.copytree(tiny_bundle, tmp_path / f"{name}.epee"))
        data = json.loads((other / "manifest.json").read_text())
        (other / "manifest.json").write_text(json.dumps(data | change))
        with pytest.raises(DataError, match=f"{name}: got .*expected .*compare bundles that do the same work"):
            baseline.check_bundle(bundle.manifest, baseline.find(str(other)))


def test_the_old_bundle_runs_beside_the_new_one(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    words = ["bench", str(tiny_bundle), "--out", str(tmp_path / "out"), *QUICK, "--json",
             "--save-baseline", str(tmp_path / "kept"), "--compare", str(tiny_bundle)]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    (compared,) = found["comparison"]["rows"]
    assert compared["verdict"] == "undecided"  # of one round
    assert [row["label"] for row in sorted(found["rows"], key=lambda r: r["label"])] == ["", "baseline"]
    kept = Results.load(tmp_path / "kept/results.json")
    assert [row.label for row in kept.rows] == [""]
    assert "Against bundle" in (tmp_path / "out/report.html").read_text()


def test_a_row_that_breaks_exits_with_3(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    broken = Path(shutil.copytree(tiny_bundle, tmp_path / "new.epee"))
    (broken / Bundle.open(broken).manifest.variants[0].file).write_bytes(b"changed")
    assert main(["bench", str(broken), "--out", str(tmp_path / "out"), *QUICK, "--compare", str(tiny_bundle)]) == 3
    out = capsys.readouterr().out
    assert "BROKEN" in out
    assert "fp32 on onnxruntime" in out


def test_slower_figures_exit_with_3_and_name_the_row(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    figures(Bundle.open(tiny_bundle), (1e-5, 1.1e-5, 1e-5)).save(tmp_path / "old.json")
    assert main(["bench", str(tiny_bundle), "--out", str(tmp_path / "out"), *QUICK, "--compare",
                 str(tmp_path / "old.json"), "--max-slower", "5%"]) == 3
    assert "fp32 on onnxruntime:cpu, 1 thread" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/comparison.json").read_text())["rows"][0]["verdict"] == "slower"
    assert report.faults(Results.load(tmp_path / "out/results.json").rows) == []
