"""Errors say what, got, expected and what to do; a missing extra names its install line."""

import subprocess
import sys

import pytest
from epee.runtime.errors import INSTALL, EpeeError, MissingExtra, near, need

BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
from epee.runtime.cli import main
sys.exit(main({argv!r}))
"""


def run_without(modules: list[str], *argv: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process where those modules cannot be imported."""
    code = BLOCKED.format(modules=set(modules), argv=list(argv))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_line_has_four_parts_in_order() -> None:
    error = EpeeError("input 'frame'", got="(480, 640) uint8", expected="(H, W, 3) uint8", do="is it greyscale?")
    assert str(error) == "input 'frame': got (480, 640) uint8, expected (H, W, 3) uint8; is it greyscale?"


@pytest.mark.parametrize(("parts", "line"), [
    ({}, "no backend"), ({"got": 0}, "no backend: got 0"), ({"expected": 1}, "no backend: expected 1"),
    ({"do": "install one"}, "no backend; install one")])
def test_parts_may_be_left_out(parts: dict[str, object], line: str) -> None:
    assert str(EpeeError("no backend", **parts)) == line  # type: ignore[arg-type]


def test_near_hints_or_lists() -> None:
    assert near("epocs", ["epochs", "seed"]) == "did you mean 'epochs'?"
    assert near("zzz", ["seed", "epochs"]) == "known: epochs, seed"


def test_need_gives_the_module() -> None:
    assert need("numpy").__name__ == "numpy"


def test_need_lets_a_fault_inside_the_module_through(tmp_path, monkeypatch) -> None:
    (tmp_path / "av_with_fault.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        need("av_with_fault")


def test_every_missing_extra_has_an_install_line() -> None:
    for module, line in INSTALL.items():
        assert line.startswith("pip install ")
        assert line in str(MissingExtra(module))


@pytest.mark.parametrize(("modules", "argv", "line"), [
    (["cv2"], ["eval", "BUNDLE", "--data", "DATA"], INSTALL["cv2"]),
    (["onnxruntime"], ["eval", "BUNDLE", "--data", "DATA", "--backend", "onnxruntime"], INSTALL["onnxruntime"]),
    (["openvino"], ["verify", "BUNDLE", "--backend", "openvino"], INSTALL["openvino"]),
    (["torch"], ["train", "segment", "--data", "DATA", "--epochs", "1", "--out", "OUT"], INSTALL["torch"]),
    (["matplotlib"], ["bench", "BUNDLE", "--out", "OUT"], INSTALL["matplotlib"]),
    (["rich"], ["bench", "BUNDLE", "--out", "OUT"], INSTALL["rich"]),
    (["torch"], ["demo", "--out", "OUT"], INSTALL["torch"]),
])
def test_missing_extra_is_one_line(modules, argv, line, tiny_bundle, pictures, tmp_path) -> None:
    words = {"BUNDLE": str(tiny_bundle), "DATA": str(pictures), "OUT": str(tmp_path / "out")}
    done = run_without(modules, *(words.get(word, word) for word in argv))
    if argv[0] == "verify":  # a backend that cannot answer is what verify reports
        assert (done.returncode, line in done.stdout) == (3, True), done
    else:
        assert done.returncode == 1, done
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1
        assert line in done.stderr
    assert not (tmp_path / "out").exists()
