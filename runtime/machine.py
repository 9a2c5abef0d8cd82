"""Facts about this machine that speed depends on: processor, its instruction sets, GPUs, load and library versions."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from .timing import cpus

FLAGS: dict[str, tuple[str, ...]] = {
    "avx2": ("avx2", "hw.optional.avx2_0"),
    "avx512f": ("avx512f", "hw.optional.avx512f"),
    "avx512_vnni": ("avx512_vnni",),
    "avx_vnni": ("avx_vnni",),
    "avx512_bf16": ("avx512_bf16",),
    "amx_int8": ("amx_int8",),
    "amx_bf16": ("amx_bf16",),
    "neon": ("neon", "asimd", "hw.optional.neon", "hw.optional.AdvSIMD"),
    "dotprod": ("asimddp", "hw.optional.arm.FEAT_DotProd"),
    "i8mm": ("i8mm", "hw.optional.arm.FEAT_I8MM"),
    "bf16": ("bf16", "hw.optional.arm.FEAT_BF16"),
    "sve": ("sve",),
}
"""Instruction set that matters for speed -> its names in /proc/cpuinfo and in macOS's sysctl."""

PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "opencv-python", "opencv-python-headless", "av",
            "torch", "onnx", "tensorrt", "tensorrt-rtx", "ncnn")
"""Packages whose versions change speed or answers."""


def cpu() -> dict[str, Any]:
    """The processor: `name`, `arch`, `cores` (logical, usable by this process), `flags` (of FLAGS, those it has)."""
    name, words = _processor()
    flags = [flag for flag, names in FLAGS.items() if not words.isdisjoint(names)]
    return {"name": name, "arch": platform.machine(), "cores": cpus(), "flags": flags}


def gpus() -> list[dict[str, Any]]:
    """NVIDIA GPUs as nvidia-smi tells them: `name`, `memory_mb`, `driver`, `compute`; empty without nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return []
    out = _output("nvidia-smi", "--query-gpu=name,memory.total,driver_version,compute_cap",
                  "--format=csv,noheader,nounits")
    found = []
    for line in out.splitlines():
        fields = [part.strip() for part in line.split(",")]
        if len(fields) == 4:
            memory = int(fields[1]) if fields[1].isdigit() else None
            found.append({"name": fields[0], "memory_mb": memory, "driver": fields[2], "compute": fields[3]})
    return found


def board() -> str:
    """Name of a single-board computer such as a Jetson or a Raspberry Pi, else ''."""
    return _text("/proc/device-tree/model").strip("\0 \n")


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of epee, Python and of those packages that are installed."""
    found = {name: version(name) for name in ("epee", *packages)}
    return {"python": platform.python_version(), **{name: text for name, text in found.items() if text}}


def version(package: str) -> str:
    """The installed version of a package, '' where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def describe() -> dict[str, Any]:
    """All of the above with system, load and clock governors: what a table of timings must say.

    `fingerprint` is the same where `board`, `cpu` and `gpus` are: there and only there times may be compared, and
    then `versions`, `governor` and `system` say what else differs.
    """
    facts: dict[str, Any] = {"board": board(), "cpu": cpu(), "gpus": gpus()}
    return {
        "fingerprint": hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16],
        "system": platform.platform(),
        **facts,
        "load_1m": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "governor": governor(),
        "versions": versions(),
    }


def governor() -> str | None:
    """Who sets the processors' clocks, `performance` for instance; several are joined, None where nobody tells."""
    found = {_text(str(path)).strip() for path in Path("/sys/devices/system/cpu").glob("cpu*/cpufreq/scaling_governor")}
    return ", ".join(sorted(found - {""})) or None


def cache_folder() -> Path:
    """epee's cache folder of this user: `$XDG_CACHE_HOME/epee`, else where the system keeps caches."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "epee"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "epee"


def _processor() -> tuple[str, set[str]]:
    """Name of the processor and every word the system says of its abilities."""
    if sys.platform == "darwin":
        lines = _output("sysctl", "-a", "hw.optional", "machdep.cpu").splitlines()
        values = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
        words = {key for key, value in values.items() if value == "1"}
        words |= {w.lower() for key in values if key.endswith("features") for w in values[key].split()}
        return values.get("machdep.cpu.brand_string", platform.processor()), words
    fields: dict[str, str] = {}
    for line in _text("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    words = set((fields.get("flags") or fields.get("features") or "").split())
    return fields.get("model name") or board() or platform.processor() or platform.machine(), words


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
