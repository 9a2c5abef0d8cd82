"""OpenVINO's core: one in a process, so that no thread's signals go wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")

DROPPED_ELSEWHERE = """
import os, signal, sys, threading
from epee.runtime.backends import SessionOptions, openvino
from epee.runtime.bundle import Bundle

bundle, came = Bundle.open(sys.argv[1]), []
openvino.probe()
opened = [openvino.open_session(bundle, bundle.manifest.variants[0], SessionOptions())]
closing = threading.Thread(target=lambda: opened.pop().close())
closing.start()
closing.join()
signal.signal(signal.SIGINT, lambda *_: came.append(1))
os.kill(os.getpid(), signal.SIGINT)
print(len(came))
"""


def test_a_signal_is_handled_after_another_thread_closed_a_session(tiny_bundle: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DROPPED_ELSEWHERE, str(tiny_bundle)], capture_output=True, text=True,
                          timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
