"""The command: fast help, one JSON object, exit statuses, one clear line for an error."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from epee.runtime import cli
from epee.runtime.cli import COMMANDS, Command, Report, main
from epee.runtime.errors import EpeeError


@pytest.fixture
def probe(monkeypatch):
    """Puts a command `probe` in the table that does what the test says; gives a way to say it."""
    def install(run) -> None:
        module = sys.modules[__name__]
        monkeypatch.setattr(module, "PROBE", Command(lambda parser: None, run), raising=False)
        monkeypatch.setitem(COMMANDS, "probe", (f"{__name__}:PROBE", "does what a test says"))
        monkeypatch.setitem(sys.modules, __name__, module)
    return install


def test_help_is_fast_and_lists_every_command() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "epee", "--help"], capture_output=True, text=True, timeout=30,
                              check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0
    assert all(name in done.stdout for name in COMMANDS)


def test_the_installed_command_says_its_version() -> None:
    command = Path(sys.executable).parent / "epee"
    if not command.exists():
        pytest.skip("epee is not installed as a command beside this Python")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith("epee ")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(name: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert "usage: epee " + name in capsys.readouterr().out


@pytest.mark.parametrize("words", [
    ["eval"], ["flyy"], ["verify", "a", "b"], ["eval", "b", "--data", "d", "--limit", "0"], ["bench", "b"], ["train"]])
def test_wrong_usage_is_2(words: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == cli.USAGE
    assert "usage: epee" in capsys.readouterr().err


def test_no_command_prints_help_and_is_2(capsys) -> None:
    assert main([]) == cli.USAGE
    assert "COMMAND" in capsys.readouterr().out


def test_text_or_json(probe, capsys) -> None:
    probe(lambda args: Report({"x": 1.5, "path": Path("a")}, "x is 1.5"))
    assert main(["probe"]) == cli.DONE
    assert capsys.readouterr().out == "x is 1.5\n"
    assert main(["probe", "--json"]) == cli.DONE
    assert json.loads(capsys.readouterr().out) == {"x": 1.5, "path": "a"}


def test_measured_and_failed_is_3(probe) -> None:
    probe(lambda args: Report({}, "", cli.FAILED))
    assert main(["probe"]) == 3


def test_an_error_is_one_line_and_1(probe, capsys) -> None:
    def fail(args: argparse.Namespace) -> Report:
        raise EpeeError("frame", got="none", expected="one")
    probe(fail)
    assert main(["probe", "--json"]) == cli.ERROR
    assert capsys.readouterr() == ("", "epee: frame: got none, expected one\n")


def test_a_bug_is_one_line_and_debug_shows_the_traceback(probe, capsys) -> None:
    def fail(args: argparse.Namespace) -> Report:
        raise ZeroDivisionError("division\nby zero")
    probe(fail)
    assert main(["probe"]) == cli.ERROR
    line = capsys.readouterr().err
    assert line == "epee: unexpected ZeroDivisionError: division by zero; --debug shows where, please report it\n"
    with pytest.raises(ZeroDivisionError):
        main(["probe", "--debug"])


def test_interrupted_is_130(probe, capsys) -> None:
    def fail(args: argparse.Namespace) -> Report:
        raise KeyboardInterrupt
    probe(fail)
    assert main(["probe"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "epee: interrupted\n"


def test_ctrl_c_ends_a_real_command_with_130(tiny_bundle: Path, tmp_path: Path) -> None:
    out_folder = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-m", "epee", "bench", str(tiny_bundle), "--out", str(out_folder),
                           "--seconds", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        while not out_folder.exists():  # it is made right before the first round
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        try:
            out, err = child.communicate(timeout=30)
        finally:
            child.kill()
    assert (child.returncode, out, err) == (130, "", "epee: interrupted\n")


def test_a_closed_pipe_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "epee", "doctor", "--json"], stdout=write, stderr=subprocess.PIPE,
                          text=True, timeout=30, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (cli.ERROR, "")


def test_nan_never_reaches_json(probe) -> None:
    probe(lambda args: Report({"x": float("nan")}))
    assert main(["probe", "--json"]) == cli.ERROR


def test_ctrl_c_while_a_room_is_imported_is_no_traceback(monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(name: str) -> cli.Command:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_load", interrupted)
    assert (main(["doctor"]), capsys.readouterr().err) == (cli.INTERRUPTED, "epee: interrupted\n")
