"""The runtime starts fast and drags nothing in."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")

CODE = """
import json, sys
import numpy as np
import epee
with epee.open(sys.argv[1], "onnxruntime") as model:
    assert model(np.zeros((72, 96, 3), np.uint8)).overlay().shape == (72, 96, 3)
    for result in model.stream(sys.argv[2]):
        result.shares
unwanted = {"torch", "onnx", "matplotlib", "rich", "scipy", "sklearn", "openvino", "av", "yaml"}
print(json.dumps(sorted(unwanted & set(sys.modules))))
"""


def test_a_frame_runs_without_torch_and_onnx(tiny_bundle: Path, clip: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, str(tiny_bundle), str(clip)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_importing_epee_imports_no_room() -> None:
    code = "import sys, epee; print(sorted(m for m in sys.modules if m.startswith(('epee.', 'numpy', 'cv2'))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_help_imports_nothing_heavy() -> None:
    code = ("import sys; from epee.runtime.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
            "print(sorted({'numpy', 'cv2', 'onnxruntime', 'torch'} & set(sys.modules)))")
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert time.perf_counter() - begin < 3  # 0.1 s on an idle machine
