"""The doctor: what is here, what is not and why; no library it looks for has to be here."""

import dataclasses
import json
import platform
import subprocess
import sys

import numpy as np
import pytest
from epee.runtime import doctor, machine, trial
from epee.runtime.backends import BACKENDS, Availability, probe_all
from epee.runtime.cli import main
from epee.runtime.engines import LIBRARIES

WITHOUT = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("cv2", "av", "ncnn", "onnxruntime", "openvino"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from epee.runtime.cli import main
sys.exit(main(["doctor", *sys.argv[1:]]))
"""


def test_json_has_the_contracts_fields(capsys) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [b["name"] for b in found["backends"]] == list(BACKENDS)
    for b in found["backends"]:
        assert set(b) >= {"name", "available", "reason", "devices", "inactive"}
        assert b["available"] == (b["reason"] == "") == bool(b["devices"])
    assert found["cpu"]["cores"] >= 1
    assert isinstance(found["gpus"], list)
    assert found["versions"]["numpy"] == np.__version__


def test_devices_are_those_that_computed_just_now() -> None:
    for found in (b for b in probe_all() if b.available and b.name not in LIBRARIES):
        assert trial.try_devices(found)["cpu"] == ""
        listed = dataclasses.replace(found, devices=("abacus", "cpu"))  # as onnxruntime-gpu lists CUDA without a GPU
        tried = trial.try_devices(listed)
        assert tried["cpu"] == ""
        assert tried["abacus"].startswith(f"BackendError: backend '{found.name}:abacus': got no such ")


def test_a_listed_device_that_does_not_work_is_shown_with_its_reason() -> None:
    entry = doctor._backend(Availability("onnxruntime", True, "", ("abacus", "cpu"), "1.0"))
    assert (entry["available"], entry["devices"], entry["reason"]) == (True, ["cpu"], "")
    assert "got no such provider" in entry["inactive"]["abacus"]
    found = {**doctor.examine(), "backends": [entry]}
    line = "      not on abacus: BackendError: backend 'onnxruntime:abacus': got no such provider"
    assert line in doctor.render(found)
    lost = doctor._backend(Availability("onnxruntime", True, "", ("abacus",), "1.0"))
    assert (lost["available"], lost["devices"], lost["inactive"]) == (False, [], {})
    assert "abacus: BackendError" in lost["reason"]


def test_a_wrong_answer_is_no_working_device(tmp_path) -> None:
    bundle = trial.make(tmp_path / "trial.epee")
    assert trial._try("onnxruntime", "cpu", bundle) == ""
    frame = bundle.goldens()["frame"]
    np.savez(bundle.path / "golden.npz", frame=frame, mask=np.full(frame.shape[:3], 9, np.uint8))
    assert trial._try("onnxruntime", "cpu", bundle) == "it answers wrong"


def test_the_trial_is_sound_onnx(tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    onnx.checker.check_model(onnx.load(trial.make(tmp_path / "trial.epee").path / "fp32.onnx"), full_check=True)


def test_text_has_a_line_for_each_backend(capsys) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in BACKENDS)
    assert platform.python_version() in out


def test_with_nothing_installed_it_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, "--json"], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not any(b["available"] for b in found["backends"])
    assert "pip install 'epee[ort]'" in found["backends"][0]["reason"]
    assert found["video"] == {"cv2": "no", "cv2 ffmpeg": False, "cv2 gstreamer": False, "cv2 window": False,
                              "av": "no", "av libx264": False}
    assert "no backend is available, so no bundle can run here; pip install 'epee[cpu]'" in found["warnings"]
    text = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'epee[cv-headless]'" in text.stdout


def test_both_of_a_pair_is_a_warning(tmp_path, monkeypatch, capsys) -> None:
    for package, version in (("opencv-python", "4.12.0"), ("opencv-python-headless", "5.0.0"),
                             ("onnxruntime", "1.32.0"), ("onnxruntime-gpu", "1.31.0")):
        folder = tmp_path / f"{package.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = doctor.examine()
    assert [p["installed"] for p in found["pairs"]] == [
        ["onnxruntime 1.32.0", "onnxruntime-gpu 1.31.0"], ["opencv-python 4.12.0", "opencv-python-headless 5.0.0"]]
    assert sum("are both installed" in line for line in found["warnings"]) == 2
    assert main(["doctor"]) == 0
    assert "pip uninstall -y opencv-python opencv-python-headless" in capsys.readouterr().out


def test_a_backend_whose_library_does_not_load_keeps_the_others(tmp_path, monkeypatch) -> None:
    (tmp_path / "torn_backend.py").write_text("def probe():\n    raise OSError('libtorn.so: cannot open')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(BACKENDS, "torn", "torn_backend")
    found = {b["name"]: b for b in doctor.examine()["backends"]}
    assert found["torn"]["reason"] == "OSError: libtorn.so: cannot open"
    assert found["onnxruntime"]["available"] == (found["onnxruntime"]["reason"] == "")


def test_gpus_as_nvidia_smi_tells_them(tmp_path, monkeypatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA RTX A2000, 6138, 560.35.03, 8.6'\necho 'Orin, [N/A], 540.4.0, 8.7'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert machine.gpus() == [
        {"name": "NVIDIA RTX A2000", "memory_mb": 6138, "driver": "560.35.03", "compute": "8.6"},
        {"name": "Orin", "memory_mb": None, "driver": "540.4.0", "compute": "8.7"}]
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert machine.gpus() == []


def test_flags_of_known_processors(monkeypatch) -> None:
    texts = {"/proc/cpuinfo": "model name\t: Zen\nflags\t\t: sse avx2 avx512_vnni avx512_bf16\n"}
    monkeypatch.setattr(machine, "_text", lambda path: texts.get(path, ""))
    monkeypatch.setattr(machine.sys, "platform", "linux")
    assert (machine.cpu()["name"], machine.cpu()["flags"]) == ("Zen", ["avx2", "avx512_vnni", "avx512_bf16"])
    texts["/proc/cpuinfo"] = "processor\t: 0\nFeatures\t: fp asimd asimddp\n"
    texts["/proc/device-tree/model"] = "Raspberry Pi 5\0"
    assert (machine.cpu()["name"], machine.cpu()["flags"]) == ("Raspberry Pi 5", ["neon", "dotprod"])


