"""`epee doctor`: which backends and devices work here, and for each that does not, why and what to install."""

from __future__ import annotations

import re
from typing import Any

from . import machine
from .backends import Availability, probe_all
from .errors import INSTALL, MissingExtra, need
from .trial import try_devices

PAIRS: dict[str, tuple[str, str, str]] = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime"),
    "opencv": ("opencv-python", "opencv-python-headless", "cv2"),
}
"""Name -> two packages that ship the same module, and that module."""


def examine() -> dict[str, Any]:
    """Everything the doctor finds.

    Returns:
        `backends` (name, available, reason, devices, version, and `inactive`: device -> why it does not work, though
        the library lists it), `cpu`, `gpus`, `board`, `versions`, `pairs` (name, installed, version), `video`
        (decoders and encoders at hand), `warnings` (lines). A backend's devices are those on which a small network
        has just been opened and has answered right.
    """
    backends = [_backend(b) for b in probe_all()]
    pairs = [_pair(name) for name in PAIRS]
    video, notes = _video()
    warnings = [p["warning"] for p in pairs if p["warning"]] + notes
    if not any(b["available"] for b in backends):
        warnings.append("no backend is available, so no bundle can run here; pip install 'epee[cpu]'")
    return {"backends": backends, "cpu": machine.cpu(), "gpus": machine.gpus(), "board": machine.board(),
            "versions": machine.versions(), "pairs": pairs, "video": video, "warnings": warnings}


def render(found: dict[str, Any]) -> str:
    """What a person reads of `examine`'s findings."""
    cpu = found["cpu"]
    lines = [f"epee {found['versions']['epee']}, Python {found['versions']['python']}",
             f"cpu      {cpu['name']}, {cpu['arch']}, {cpu['cores']} cores, {' '.join(cpu['flags']) or 'plain'}"]
    if found["board"]:
        lines.append(f"board    {found['board']}")
    lines += [f"gpu      {gpu['name']}, {gpu['memory_mb']} MB, driver {gpu['driver']}, compute {gpu['compute']}"
              for gpu in found["gpus"]]
    if not found["gpus"]:
        lines.append("gpu      none that nvidia-smi knows")
    lines.append("backends")
    for b in found["backends"]:
        state = f"{b['version']}: {', '.join(b['devices'])}" if b["available"] else f"no: {b['reason']}"
        lines.append(f"  {'✓' if b['available'] else '✗'} {b['name']:<14} {state}")
        lines += [f"      not on {device}: {reason}" for device, reason in b["inactive"].items()]
    lines.append("pictures and video")
    for name, value in found["video"].items():
        lines.append(f"  {name:<16} {('no', 'yes')[value] if isinstance(value, bool) else value}")
    lines.append("packages that exclude each other")
    lines += [f"  {pair['name']:<16} {' and '.join(pair['installed']) or pair['note']}" for pair in found["pairs"]]
    lines += [f"warning: {line}" for line in found["warnings"]]
    return "\n".join(lines)


def _backend(found: Availability) -> dict[str, Any]:
    """What a backend can do here, shown by doing it."""
    tried = try_devices(found) if found.available else {}
    devices = [device for device, reason in tried.items() if not reason]
    inactive = {device: reason for device, reason in tried.items() if reason}
    lost = "; ".join(f"{device}: {reason}" for device, reason in inactive.items())
    return {"name": found.name, "available": bool(devices), "version": found.version, "devices": devices,
            "reason": "" if devices else found.reason or lost, "inactive": inactive if devices else {}}


def _pair(name: str) -> dict[str, Any]:
    """Which of the two is installed. Both is a fault: the later one overwrote files of the earlier."""
    first, second, module = PAIRS[name]
    installed = {p: v for p in (first, second) if (v := machine.version(p))}
    warning = note = ""
    if len(installed) == 2:
        warning = (f"{first} and {second} are both installed and overwrite each other's module '{module}'; "
                   f"pip uninstall -y {first} {second}, then install the one you want")
    if not installed:
        try:
            note = f"module '{module}' {getattr(need(module), '__version__', '')} from outside pip".replace("  ", " ")
        except Exception:
            note = f"neither; {INSTALL[module]}"
    return {"name": name, "installed": [f"{p} {v}" for p, v in installed.items()], "note": note, "warning": warning}


def _video() -> tuple[dict[str, Any], list[str]]:
    """What OpenCV and PyAV can read and write here, and warnings about what they cannot."""
    found: dict[str, Any] = {"cv2": "no", "cv2 ffmpeg": False, "cv2 gstreamer": False, "cv2 window": False,
                             "av": "no", "av libx264": False}
    warnings = []
    try:
        cv2 = need("cv2")
        build = cv2.getBuildInformation()
        found |= {"cv2": cv2.__version__, "cv2 ffmpeg": _says_yes(build, "FFMPEG"),
                  "cv2 gstreamer": _says_yes(build, "GStreamer"), "cv2 window": _has_window(build)}
    except Exception as error:
        warnings.append(_line(error))
    try:
        av = need("av")
        found |= {"av": av.__version__, "av libx264": "libx264" in av.codecs_available}
        if not found["av libx264"]:
            warnings.append("PyAV is here without libx264, so mp4 files may not play in browsers; "
                            "pip install --force-reinstall --only-binary=av av")
    except Exception as error:
        warnings.append(f"no mp4 can be written: {_line(error)}")
    return found, warnings


def _says_yes(build: str, what: str) -> bool:
    return re.search(rf"^\s*{what}:\s*YES", build, re.MULTILINE) is not None


def _has_window(build: str) -> bool:
    """Whether this OpenCV was built with a window system (its headless twin says `GUI: NONE`)."""
    gui = re.search(r"^\s*GUI:\s*(\S*)", build, re.MULTILINE)
    return gui is not None and gui.group(1).upper() not in ("", "NONE")


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, MissingExtra) else f"{type(error).__name__}: {text}"[:300]
