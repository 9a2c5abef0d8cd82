"""The other quantisers: real ones on the real tiny network, skipped where they are not installed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from epee.export.budget import Budget  # noqa: E402
from epee.export.exam import float_exams, outputs_of  # noqa: E402
from epee.export.quantize import ENGINES, Quantizer, check_engine  # noqa: E402
from epee.export.samples import framed  # noqa: E402
from epee.export.schemes import SCHEMES  # noqa: E402
from epee.export.search import search  # noqa: E402
from epee.runtime.errors import ExportError, MissingExtra  # noqa: E402

WRITES = {"nncf": "int8-u8s8", "modelopt": "int8-s8s8"}


@pytest.fixture(params=list(WRITES))
def engine(request: pytest.FixtureRequest) -> Any:
    name = request.param
    try:
        check_engine(name)
    except MissingExtra as error:
        pytest.skip(str(error))
    return name


def test_it_answers_as_the_float_graph_does(engine: str, candidate, frames) -> None:
    quantizer = Quantizer(candidate.model, framed(frames), engine)
    want = np.stack(outputs_of(candidate.model, framed(frames)))
    for calibrator in quantizer.calibrators:
        model = quantizer.quantize(SCHEMES[WRITES[engine]], calibrator)
        # Model Optimizer leaves convolutions of few channels float
        assert len(_quantised(model)) > sum(n.op_type == "Conv" for n in model.graph.node) / 2
        assert (np.stack(outputs_of(model, framed(frames))) == want).mean() > 0.85


def test_a_layer_that_is_left_out_stays_float(engine: str, candidate, frames) -> None:
    quantizer = Quantizer(candidate.model, framed(frames), engine)
    scheme = SCHEMES[WRITES[engine]]
    all_of_them = _quantised(quantizer.quantize(scheme))
    layer = min(all_of_them)
    assert _quantised(quantizer.quantize(scheme, left_out=[layer])) == all_of_them - {layer}


def test_the_search_takes_it(engine: str, candidate, frames) -> None:
    quantizer = Quantizer(candidate.model, framed(frames), engine)
    exams = float_exams(candidate, framed(frames), "stills")
    found = search(SCHEMES[WRITES[engine]], quantizer, exams, Budget(max_drop=0.5, quantizer=engine))
    assert (found.reason, found.steps[0].step) == ("", "minmax")


def test_it_says_which_target_it_does_not_serve(engine: str, candidate, frames) -> None:
    quantizer = Quantizer(candidate.model, framed(frames), engine)
    other = next(s for name, s in SCHEMES.items() if name not in (WRITES[engine], "int8-u8s8-rr"))
    assert "take another --quantizer" in quantizer.engine.cannot(other)
    assert quantizer.engine.cannot(SCHEMES[WRITES[engine]]) == ""


def test_an_unknown_one_is_an_error(candidate, frames) -> None:
    with pytest.raises(ExportError, match=r"quantizer: got nncv, expected onnxruntime, nncf, modelopt; did you mean"):
        Quantizer(candidate.model, framed(frames), "nncv")
    assert set(ENGINES) == {"onnxruntime", *WRITES}


def _quantised(model: Any) -> set[str]:
    """Names of the convolutions whose weights come out of a DequantizeLinear."""
    made = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return {node.name for node in model.graph.node if node.op_type == "Conv" and node.input[1] in made}


def _small_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))


def test_a_disk_that_fills_in_the_middle_leaves_nothing_but_a_line(run_folder: Path, labelled: Path,
                                                                   tmp_path: Path) -> None:
    """The system refuses files of more than 40 kB, which the float graph is and a checkpoint is not asked for."""
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "epee", "export", str(run_folder), "--out", str(tmp_path / "out" / "b.epee"),
               "--precision", "int8-s8s8", "--calibration", str(labelled)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=_small_files,
                          env={**os.environ, "TMPDIR": str(tmp_path / "tmp")})
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("epee: ")
    assert "File too large" in last
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "tmp").glob("epee-*")) == []
    assert list((tmp_path / "out").iterdir()) == []
