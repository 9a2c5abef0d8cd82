"""The two libraries that build and run engines, behind one face: TensorRT-RTX and TensorRT have the same Python API."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from ..errors import BackendError, near

LIBRARIES = {"tensorrt-rtx": "tensorrt_rtx", "tensorrt": "tensorrt"}
"""Name -> module. `tensorrt-rtx` is for PCs with RTX cards and builds without a GPU; `tensorrt`, 10.3 and later, is
for everything else, Jetsons included, and builds only on the device itself."""
INSTALL = {
    "tensorrt-rtx": "pip install 'epee[tensorrt-rtx]'",
    "tensorrt": "it comes with JetPack (make the environment with --system-site-packages) or by NVIDIA's installation "
                "guide; then pip install 'epee[tensorrt]'",
}
JETSONS = {"sm72": "Xavier", "sm87": "Orin", "sm101": "Thor", "sm110": "Thor"}
"""Compute capability -> the Jetson that has it; TensorRT-RTX builds for none of them."""
NOT_A_TARGET = ("NONE", "CURRENT")


class EngineError(BackendError):
    """An engine that cannot be built, or does not open here."""


def load(library: str) -> Any:
    """Gives the library's module.

    Raises:
        EngineError: no such library, it is not installed, or it does not load.
    """
    name = module_name(library)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if getattr(error, "name", None) == name:
            raise EngineError(f"library '{library}'", got="not installed", do=INSTALL[library]) from None
        raise EngineError(f"library '{library}' does not load", got=str(error)) from error


def installed(library: str) -> bool:
    """Whether the library is there, without loading its hundreds of megabytes."""
    return importlib.util.find_spec(module_name(library)) is not None


def module_name(library: str) -> str:
    """The library's module. Raises EngineError for a library that is none of LIBRARIES."""
    if library not in LIBRARIES:
        raise EngineError(f"library '{library}'", got="no such library", expected=" or ".join(LIBRARIES),
                          do=near(library, list(LIBRARIES)))
    return LIBRARIES[library]


def targets(library: str) -> tuple[str, ...]:
    """The compute capabilities that the library builds for on any machine; none for `tensorrt`."""
    if library != "tensorrt-rtx":
        return ()
    return tuple(name.lower() for name in load(library).ComputeCapability.__members__ if name not in NOT_A_TARGET)


def normal(capability: str) -> str:
    """`8.6`, `86`, `SM86` and `sm_86` -> `sm86`. Raises EngineError for what is no compute capability."""
    found = re.fullmatch(r"(?:sm_?)?(\d{1,2})\.?(\d)", capability.strip().lower())
    if found is None:
        raise EngineError("compute capability", got=repr(capability), expected="one like sm86")
    return f"sm{found[1]}{found[2]}"


def check_target(library: str, capability: str) -> str:
    """Gives the compute capability in its normal form.

    Raises:
        EngineError: the library does not build for it on a machine without that GPU.
    """
    capability, known = normal(capability), targets(library)
    if capability in known:
        return capability
    if not known:
        raise EngineError(f"engine for {library}:{capability}", got=f"{library} builds only on the device itself",
                          do=f"run `epee tune BUNDLE --engine {library}` there")
    do = ""
    if capability in JETSONS:
        do = (f"{capability} is a Jetson {JETSONS[capability]}: run `epee tune BUNDLE --engine tensorrt` on the "
              "device itself")
    raise EngineError(f"compute capability of {library}", got=capability, expected=" or ".join(known), do=do)


@cache
def logger(library: str) -> Any:
    """The one logger of the process: a library keeps the first it is given and ignores others."""
    trt = load(library)

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        """Keeps error lines and prints nothing."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            """Called by the library, also from its own threads."""
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                del self.lines[50:99]  # the first say why; a session that goes on failing does not fill the memory
                self.lines.append(" ".join(message.split()))

    return Log()


_listening = threading.RLock()


@contextlib.contextmanager
def listening(library: str) -> Iterator[list[str]]:
    """Gives a list that the library's error lines come to while the block runs; one block at a time."""
    with _listening:
        log = logger(library)
        before, log.lines = log.lines, []
        try:
            yield log.lines
        finally:
            log.lines = before
