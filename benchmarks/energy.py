"""Energy, where the machine has a meter that can be read: a Jetson's sensors, NVIDIA's NVML, Intel's and AMD's RAPL.

Each counts what its sensor sees, idle power included: RAPL whole processor packages, NVML one GPU's board, a Jetson
the power that goes into its module.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

NOWHERE = "not measurable here"
SAMPLE_S = 0.02
"""Between readings of a sensor that tells power only."""
ROOT = Path("/")


class Meter(Protocol):
    """Something that counts energy."""

    def joules(self) -> float:
        """What was used since some moment in the past."""
        ...

    def close(self) -> None: ...


def find(device: str, root: Path = ROOT) -> tuple[Meter | None, str]:
    """The meter for what a device computes.

    Args:
        device: of a session, e.g. `cpu` or `cuda`.
        root: where /sys lies.

    Returns:
        An opened meter and what it covers; or None and `not measurable here: …`.
    """
    try:
        return _jetson(root)
    except OSError as first:
        try:
            return _rapl(root) if device == "cpu" else _nvml()
        except OSError as second:
            return None, f"{NOWHERE}: {first}; {second}"


@contextmanager
def counting(meter: Meter | None) -> Iterator[Callable[[], float]]:
    """Gives a function that tells, after the block, how many joules it took (NaN without a meter); closes the meter."""
    used = [float("nan")]
    if meter is None:
        yield lambda: used[0]
        return
    try:
        before = meter.joules()
        yield lambda: used[0]
        used[0] = meter.joules() - before
    finally:
        meter.close()


class Rapl:
    """Counters of the processor packages, `energy_uj` of the powercap tree; they wrap around at their range.

    Raises:
        OSError: there is none, or it may not be read.
    """

    def __init__(self, zones: list[Path]) -> None:
        self._zones = [(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text())) for zone in zones]
        self._last = [int(path.read_text()) for path, _ in self._zones]
        self._total_uj = 0

    def joules(self) -> float:
        """Since opening; right while it is asked more often than a counter wraps (minutes)."""
        for i, (path, span) in enumerate(self._zones):
            now = int(path.read_text())
            self._total_uj += now - self._last[i] if now >= self._last[i] else now + span - self._last[i]
            self._last[i] = now
        return self._total_uj / 1e6

    def close(self) -> None:
        """Nothing is held."""


class Sampled:
    """Integrates a power reading in a thread of its own, every SAMPLE_S seconds.

    Args:
        watts: reads the power now.
    """

    def __init__(self, watts: Callable[[], float]) -> None:
        self._watts, self._total_j = watts, 0.0
        self._last = (time.monotonic(), watts())
        self._lock, self._done = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True, name="energy")
        self._thread.start()

    def joules(self) -> float:
        """Since opening, up to a reading made now."""
        with self._lock:
            now = (time.monotonic(), self._watts())
            self._total_j += (now[0] - self._last[0]) * (now[1] + self._last[1]) / 2
            self._last = now
            return self._total_j

    def close(self) -> None:
        """Ends the thread."""
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_S):
            self.joules()


def _rapl(root: Path) -> tuple[Meter, str]:
    """Packages only: their cores and caches are parts of them."""
    zones = [zone for zone in sorted(root.glob("sys/class/powercap/*-rapl:*")) if zone.name.count(":") == 1
             and (zone / "name").read_text().startswith("package")]
    if not zones:
        raise OSError("no RAPL (none in a virtual machine or container, and on ARM)")
    try:
        return Rapl(zones), f"RAPL: {len(zones)} processor package{'s' * (len(zones) > 1)}, idle power included"
    except PermissionError:
        raise OSError(f"RAPL: {zones[0]}/energy_uj is for root alone; allow reading it, e.g. by a udev rule") from None


def _jetson(root: Path) -> tuple[Meter, str]:
    """The INA3221's input rail, or all rails where none is called so: volts times amperes."""
    for sensor in sorted(root.glob("sys/class/hwmon/hwmon*")):
        if _text(sensor / "name") == "ina3221":
            rails = {_text(label): label.name[2:-len("_label")] for label in sorted(sensor.glob("in[0-9]_label"))}
            whole = [n for name, n in rails.items() if name in ("VDD_IN", "POM_5V_IN", "VIN_SYS_5V0")]
            pairs = [(sensor / f"in{n}_input", sensor / f"curr{n}_input") for n in whole or rails.values()
                     if (sensor / f"curr{n}_input").exists()]
            if pairs:
                return (Sampled(partial(_watts, pairs)),
                        f"INA3221: {'the module' if whole else ', '.join(rails)}, idle power included")
    raise OSError("no Jetson sensor")


def _watts(rails: list[tuple[Path, Path]]) -> float:
    """Millivolts times milliamperes, over the rails."""
    return sum(int(volts.read_text()) * int(amperes.read_text()) / 1e6 for volts, amperes in rails)


class Nvml:
    """The first GPU's energy counter (Volta and newer), in millijoules."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self._library, self._handle = library, handle

    def joules(self) -> float:
        """Since the driver was loaded."""
        used = ctypes.c_ulonglong()
        _check(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(used)))
        return used.value / 1e3

    def close(self) -> None:
        """Gives the library back."""
        self._library.nvmlShutdown()


def _nvml() -> tuple[Meter, str]:
    library = ctypes.CDLL("libnvidia-ml.so.1")
    _check(library.nvmlInit_v2())
    handle = ctypes.c_void_p()
    _check(library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)))
    meter = Nvml(library, handle)
    meter.joules()
    return meter, "NVML: the first GPU's board without the processor, idle power included"


def _check(status: int) -> None:
    """Raises OSError where NVML says no."""
    if status:
        raise OSError(f"NVML: error {status}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
