"""Processes of their own: the worker, and any other command. What fails there is one line here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from ..runtime.errors import EpeeError


class Failed(EpeeError):  # noqa: N818 - it names what happened
    """A process that crashed, hung, or said that something is wrong."""


def work(job: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Lets a fresh worker do a job; gives its answer.

    Raises:
        Failed: it crashed, took longer, ended without an answer, or could not do the job.
    """
    text = run([sys.executable, "-m", "epee.benchmarks.worker"], timeout_s, json.dumps(job))
    if not text:
        raise Failed("the process ended without an answer")
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        raise Failed(f"the process gave no whole answer: {text[:80]!r}") from None
    if "error" in found:
        raise Failed(found["error"])
    return found


def run(command: Sequence[str], timeout_s: float, question: str = "") -> str:
    """Runs a command to its end; gives its standard output. Nothing of it touches a disk.

    Args:
        command: the program and its words.
        timeout_s: after so long it is killed.
        question: its standard input.

    Raises:
        Failed: it is not there, crashed, took longer, or ended with another status than 0; the reason is the last
            line of its standard error.
    """
    try:
        done = subprocess.run(command, input=question, capture_output=True, text=True, timeout=timeout_s, check=False,
                              errors="replace")
    except subprocess.TimeoutExpired:
        raise Failed(f"no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise Failed(f"command '{command[0]}'", got=error.strerror or str(error)) from None
    if done.returncode < 0:
        raise Failed(f"the process crashed with {signal.Signals(-done.returncode).name}")
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise Failed((lines[-1] if lines else f"exit status {done.returncode}").removeprefix("epee: ")[:300])
    return done.stdout
