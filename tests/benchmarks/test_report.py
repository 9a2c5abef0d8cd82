"""The report: what it says to take, a page without anything from elsewhere, a table to paste, disks that are full."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from epee.benchmarks import choosing, report
from epee.benchmarks.compare import compare
from epee.benchmarks.profile import of_nodes
from epee.benchmarks.report.page import page
from epee.benchmarks.report.svg import ticks
from epee.benchmarks.rounds import gather
from epee.benchmarks.rows import PIPELINE, SINGLE, Results, Round, Row, Settings
from epee.benchmarks.versus import Contest, Score
from epee.runtime import machine
from epee.runtime.errors import EpeeError
from epee.runtime.placement import Node

OPEN = ("meta", "!doctype", "br", "img")


def row(backend: str, variant: str, ms: float, miou: float | None, **facts: object) -> Row:
    rng = np.random.default_rng(int(100 * ms))
    rounds = []
    for i in range(5):
        samples = ms * np.exp(rng.normal(0, 0.02, 20))
        rounds.append(Round(i, i, float(np.median(samples)), 20, 20, 0.02 * ms, samples_ms=samples.tolist(),
                            conditions={"others": 0.2, "throttled": 0}))
    whole = [Round(i, i, 2 * ms, 9, 9, 0.1, stages_ms={"decode": 1.0, "infer": ms}) for i in range(3)]
    return Row(backend, "cpu", variant, variant.partition("-")[0], 10 ** 6, 1,
               scenarios={SINGLE: gather(rounds), PIPELINE: gather(whole)}, golden_equal=1.0,
               quality={} if miou is None else {"miou": miou}, **facts)  # type: ignore[arg-type]


@pytest.fixture
def results() -> Results:
    rows = [row("onnxruntime", "fp32", 9.0, 0.70), row("openvino", "int8-u8s8", 3.0, 0.698),
            row("openvino", "int8-bad", 2.0, 0.50),
            row("opencv", "fp32", 1.0, 0.70, wrong=["output 'mask': <b>no</b>"]),
            Row("ncnn", "", "fp32", "fp32", 10 ** 6, 1, error="the process crashed with SIGSEGV")]
    return Results({"name": "a<b", "task": "segment", "digest": "0"}, machine.describe(),
                   Settings((SINGLE, PIPELINE), rounds=5, data="d.yaml", source="v.mp4"), rows, "2026-01-01T10:00:00")


class Balanced(HTMLParser):
    """Checks that tags close in the order in which they opened."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in OPEN:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def test_takes_the_fastest_right_row_that_gives_up_no_quality(results: Results) -> None:
    taken = choosing.choice(results.rows)
    assert taken is results.rows[1]
    assert choosing.sentence(results.rows).startswith("On this machine take int8-u8s8 on openvino:cpu, 1 thread: ")
    assert "mIoU 0.698" in choosing.sentence(results.rows)
    assert [r.variant for r in choosing.front(results.rows, "miou")] == ["int8-bad", "int8-u8s8", "fp32"]
    assert "there is nothing to take" in choosing.sentence(results.rows[3:])


def test_of_a_distance_less_is_better() -> None:
    rows = [row("onnxruntime", "fp32", 9.0, None), row("onnxruntime", "int8", 3.0, None)]
    rows[0].quality, rows[1].quality = {"kid-cifar": 0.01}, {"kid-cifar": 0.05}
    assert choosing.main_score(rows) == "kid-cifar"
    assert choosing.choice(rows) is rows[0]


def test_page_is_whole_and_takes_nothing_from_elsewhere(results: Results) -> None:
    old = [row("onnxruntime", "fp32", 8.0, 0.7), row("openvino", "int8-u8s8", 3.0, 0.7)]
    profiles = [of_nodes(results.rows[0], [Node("/c", "Conv", "cpu", "fp32", True, 3.0),
                                           Node("/r", "Resize", "cpu", "fp32", False, 1.0)])]
    contest = Contest({SINGLE: results.rows[1].name}, (Score("theirs", SINGLE, 9.0, None, 3.0, (2.9, 3.1)),
                                                       Score("lost", SINGLE, note="exit status 1")))
    text = page(results, compare(results.rows, old, 0.05, "bundle 'old'"), profiles, contest)
    checker = Balanced()
    checker.feed(text)
    assert checker.stack == []
    assert not re.search(r"https?:|<script|<link|@import|url\(", text)
    assert "a&lt;b" in text
    assert "<b>no</b>" not in text
    assert text.index("On this machine take") < text.index("All rows") < text.index("<h2>Machine") < text.index("Do it")
    charts = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(charts) >= 5
    for chart in charts:
        ElementTree.fromstring(chart)
    assert "prefers-color-scheme: dark" in text
    assert "epee bench a&lt;b --out bench" in text


def test_a_page_of_nothing_but_failures(results: Results) -> None:
    results.rows = results.rows[4:]
    assert "failed: fp32 on ncnn, 1 thread: the process crashed with SIGSEGV" in page(results)


def test_markdown_has_a_cell_a_column(results: Results) -> None:
    lines = report.markdown(results).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 4
    assert len({line.count("|") for line in table}) == 1
    assert table[2].startswith("| openvino:cpu | int8-bad | ")  # it is right, only not good
    assert "fp32 WRONG" in table[-1]


def test_results_come_back_as_they_were(results: Results, tmp_path: Path) -> None:
    report.prepare(tmp_path)
    files = report.write(tmp_path, results)
    assert set(files) == {"results", "table", "report", "latency", "quality"}
    assert Results.load(tmp_path / "results.json").to_json() == results.to_json()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize(("name", "line"), [
    ("report.html", "cannot write the report to .*No space left on device; free some space or name another --out; "
                    "what was measured is in results.json"),
    ("results.json", "cannot write '.*results.json': got No space left")])
def test_a_full_disk_is_one_clear_line(results: Results, tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(EpeeError, match=line):
        report.write(tmp_path, results)


@pytest.mark.parametrize(("low", "high", "expected"), [
    (0, 10, [0, 2, 4, 6, 8, 10]), (0.68, 0.71, [0.68, 0.69, 0.7, 0.71]), (0, 0.9, [0, 0.2, 0.4, 0.6, 0.8])])
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, 5) == pytest.approx(expected)
