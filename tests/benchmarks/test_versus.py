"""Other people's runs: real commands that work, fail, hang or are not there, and an ONNX in the same rounds."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from epee.benchmarks import outsider, versus
from epee.benchmarks.outsider import Failed
from epee.runtime.bundle import Bundle
from epee.runtime.cli import main
from epee.runtime.errors import ConfigError, DataError
from epee.runtime.verify import answer, read_goldens

QUICK = ["--backend", "onnxruntime", "--precision", "fp32", "--rounds", "1", "--seconds", "0.02", "--threads", "1"]
WORKS = "import os, sys, time; [time.sleep(0.2) for _ in os.listdir(sys.argv[1])]; open(sys.argv[2] + '/x', 'w')"


def command(code: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *words)


@pytest.fixture
def folders(tmp_path: Path) -> list[tuple[Path, int]]:
    """Two folders, of 1 and 9 pictures."""
    cv2 = pytest.importorskip("cv2")
    (tmp_path / "pictures").mkdir()
    for i in range(9):
        cv2.imwrite(str(tmp_path / f"pictures/{i}.png"), np.zeros((8, 8, 3), np.uint8))
    with outsider.clips(str(tmp_path / "pictures"), 9, None) as found:  # type: ignore[arg-type]
        assert [(count, len(list(path.iterdir()))) for path, count in found] == [(1, 1), (9, 9)]
    (tmp_path / "one").mkdir()
    (tmp_path / "one/0.png").write_bytes((tmp_path / "pictures/0.png").read_bytes())
    return [(tmp_path / "one", 1), (tmp_path / "pictures", 9)]


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Somebody's ONNX: a float picture, channels first, and a convolution."""
    onnx = pytest.importorskip("onnx")
    kinds, helper = onnx.TensorProto, onnx.helper
    weight = onnx.numpy_helper.from_array(np.full((2, 3, 3, 3), 0.1, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["images", "w"], ["logits"], pads=[1, 1, 1, 1])], "theirs",
        [helper.make_tensor_value_info("images", kinds.FLOAT, ["batch", 3, 20, 24])],
        [helper.make_tensor_value_info("logits", kinds.FLOAT, ["batch", 2, 20, 24])], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
              tmp_path / "theirs.onnx")
    return tmp_path / "theirs.onnx"


def test_frames_cost_what_the_longer_clip_takes_more(folders: list[tuple[Path, int]]) -> None:
    found = versus.slope(command(WORKS, "{source}", "{out}"), folders, 60)
    assert found["frames"] == 8
    assert found["ms"] > 0


@pytest.mark.parametrize(("code", "line"), [
    ("import sys; print('one', file=sys.stderr); sys.exit('no weights here')", "exit status 1: got no weights here"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the process crashed with SIGSEGV"),
])
def test_a_command_that_fails_says_why(folders: list[tuple[Path, int]], code: str, line: str) -> None:
    with pytest.raises(Failed, match=line):
        versus.slope(command(code), folders, 60)


def test_a_command_that_hangs_ends_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = ("import subprocess, sys; p = subprocess.Popen(['sleep', '60']); "
            "open(sys.argv[1], 'w').write(str(p.pid)); p.wait()")
    with pytest.raises(Failed, match="no end within 5 s"):
        outsider.run(command(code, str(note)), 5)
    for _ in range(100):
        try:
            os.kill(int(note.read_text()), 0)
            gone = Path(f"/proc/{note.read_text()}/stat").read_text().split()[2] == "Z"
        except (ProcessLookupError, FileNotFoundError):
            gone = True
        if gone:
            break
        time.sleep(0.05)
    assert gone


def test_what_is_not_there_is_said_before_measuring(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(ConfigError, match="no program 'yolo26'"):
        versus.parse("yolo=yolo26 predict source={source}")
    with pytest.raises(ConfigError, match=r"no file 'gone\.onnx'"):
        versus.parse("theirs=gone.onnx")
    with pytest.raises(ConfigError, match=r"a command without \{source\}"):
        versus.parse(f"theirs={sys.executable} run.py")
    with pytest.raises(ConfigError, match="expected NAME=COMMAND"):
        versus.parse("yolo predict")
    words = ["bench", str(tiny_bundle), "--out", str(tmp_path / "out"), *QUICK]
    assert main([*words, "--vs", f"theirs={sys.executable} {{source}}"]) == 1
    assert "a command line, but no --source" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_onnx_becomes_a_bundle_that_answers_its_goldens(theirs: Path, tiny_bundle: Path) -> None:
    from epee.runtime.backends import open_session

    bundle = Bundle.open(tiny_bundle)
    with outsider.as_bundle("theirs", theirs, bundle) as found:
        goldens = read_goldens(found)
        assert goldens["images"].shape == (1, 3, 20, 24)
        assert 0 <= goldens["images"].min() < goldens["images"].max() <= 1
        with open_session(found, "onnxruntime", "fp32") as session:
            np.testing.assert_allclose(answer(session, goldens)["logits"], goldens["logits"], rtol=1e-5)


def test_an_onnx_that_is_none_or_takes_no_picture_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    bundle = Bundle.open(tiny_bundle)
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(DataError, match="ONNX Runtime does not open"), outsider.as_bundle(
            "theirs", tmp_path / "text.onnx", bundle):
        pass
    sizes = ["N", 3, "H", "W"]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "free",
                                   [value("x", 1, sizes)], [value("y", 1, sizes)])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9),
              tmp_path / "free.onnx")
    with pytest.raises(DataError, match="of a fixed size; export it with fixed sizes"), outsider.as_bundle(
            "theirs", tmp_path / "free.onnx", bundle):
        pass


def test_a_video_is_cut_into_two_clips(tiny_bundle: Path, clip: Path) -> None:
    av = pytest.importorskip("av")
    with outsider.clips(str(clip), 16, Bundle.open(tiny_bundle).manifest) as found:
        assert [count for _, count in found] == [2, 16]
        for path, count in found:
            with av.open(str(path)) as opened:
                assert sum(1 for _ in opened.decode(video=0)) == count


def test_rivals_stand_in_the_same_table(theirs: Path, folders: list[tuple[Path, int]], tiny_bundle: Path,
                                        tmp_path: Path, capsys) -> None:
    code = WORKS.replace('"', "'")
    words = ["bench", str(tiny_bundle), "--out", str(tmp_path / "out"), *QUICK, "--json", "--source",
             str(folders[1][0]), "--frames", "9", "--vs", f"graph={theirs}",
             "--vs", f'slow={sys.executable} -c "{code}" {{source}} {{out}}',
             "--vs", f'lost={sys.executable} -c "import sys; sys.exit(7)" {{source}}']
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    scores = {score["name"].partition(" ")[0]: score for score in found["versus"]["scores"]}
    assert scores["graph"]["ms"] > 0
    assert scores["graph"]["ratio"] > 0
    assert "exit status 7" in scores["lost"]["note"]
    assert {row["label"] for row in found["rows"]} == {"", "epee run", "graph", "slow", "lost"}
    assert "Other people" in (tmp_path / "out/report.html").read_text()
