"""What the machine did while something was measured: clocks, heat, throttling, other processes."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path("/")
"""Where /proc and /sys lie."""


class Watch:
    """Notes the machine's state while the block runs.

    Attributes:
        found: after the block, as far as the system tells (else None): `load_1m`; `others` (share of all processors'
            time that other processes used, 0 to 1) and `stolen` (by the host of a virtual machine); `mhz` (mean clock
            at the end); `throttled` (how often a core was slowed down for its heat); `celsius` (hottest zone).
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.found: dict[str, Any] = {}
        self._root = root

    def __enter__(self) -> Watch:
        self._before, self._own_s = _ticks(self._root), _own_s()
        self._throttled = throttled(self._root)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        after, slowed = _ticks(self._root), throttled(self._root)
        self.found = {"load_1m": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
                      **self._shares(after), "mhz": mhz(self._root), "celsius": celsius(self._root),
                      "throttled": None if None in (slowed, self._throttled) else
                      (slowed or 0) - (self._throttled or 0)}

    def _shares(self, after: tuple[float, float, float] | None) -> dict[str, float | None]:
        """`others` and `stolen`, from the kernel's counters before and after."""
        if after is None or self._before is None or after[0] <= self._before[0]:
            return {"others": None, "stolen": None}
        whole, busy, stolen = (a - b for a, b in zip(after, self._before, strict=True))
        own = (_own_s() - self._own_s) * os.sysconf("SC_CLK_TCK")
        return {"others": round(max(0.0, busy - own) / whole, 3), "stolen": round(stolen / whole, 3)}


def mhz(root: Path = ROOT) -> float | None:
    """Mean clock of the processors now; None where the system does not tell."""
    clocks = [int(text) / 1e3 for text in _texts(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
              if text.isdigit()]
    if not clocks:
        lines = "\n".join(_texts(root, "proc/cpuinfo")).splitlines()
        clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return round(sum(clocks) / len(clocks), 1) if clocks else None


def throttled(root: Path = ROOT) -> int | None:
    """How often cores were slowed down for their heat since the start; None where the system does not tell."""
    counts = [int(text) for text in
              _texts(root, "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count") if text.isdigit()]
    return sum(counts) if counts else None


def celsius(root: Path = ROOT) -> float | None:
    """The hottest thermal zone now; None where there is none."""
    zones = [int(text) / 1e3 for text in _texts(root, "sys/class/thermal/thermal_zone*/temp")
             if text.lstrip("-").isdigit()]
    return max(zones) if zones else None


def _ticks(root: Path) -> tuple[float, float, float] | None:
    """Processor time since the start in ticks, over all processors: all, busy, stolen."""
    line = next(iter("".join(_texts(root, "proc/stat")).splitlines()), "")
    words = line.split()
    if len(words) < 9 or words[0] != "cpu":
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = map(float, words[1:9])
    whole = user + nice + system + idle + iowait + irq + softirq + steal
    return whole, whole - idle - iowait - steal, steal


def _own_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _texts(root: Path, pattern: str) -> list[str]:
    """Contents of the files that match; '' of those that may not be read."""
    return [_text(path) for path in sorted(root.glob(pattern))]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
