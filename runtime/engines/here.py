"""Engines of all variants for the GPU at hand: what `epee tune --engine` does before it times them."""

from __future__ import annotations

from collections.abc import Callable

from .. import cuda
from ..bundle import Bundle
from ..errors import BackendError
from .adding import takes
from .building import Progress
from .cached import build_for_device
from .libraries import INSTALL, EngineError, installed


def build_here(bundle: Bundle, library: str, say: Callable[[str], None] = lambda line: None) -> dict[str, str]:
    """Builds what is not in the user's cache yet.

    Args:
        bundle: its ONNX variants that the library takes are built; see `takes`.
        library: `tensorrt` or `tensorrt-rtx`.
        say: is told each engine, and every new phase of the builder.

    Returns:
        The names of the variants that the library refuses, each with the builder's own words.

    Raises:
        EngineError: no such library, it is not installed, or there is no GPU here.
    """
    if not installed(library):
        raise EngineError(f"--engine {library}", got="the library is not installed", expected="an installed library",
                          do=INSTALL[library])
    try:
        gpu = cuda.gpus()[0]
    except BackendError as error:
        raise EngineError(f"--engine {library}", got=str(error), expected="the GPU that the engine is for",
                          do="run it on the device itself; `epee export --engine tensorrt-rtx:sm86` builds for GPUs "
                             "that are not here") from None
    refused = {}
    for variant in filter(takes, bundle.manifest.variants):
        say(f"{library}: engine of '{variant.name}' for {gpu.name}, {gpu.capability}")
        try:
            engine = build_for_device(bundle, variant, library, device=gpu.index, progress=_phases(library, say))
            say(f"{library}: {'built in ' + engine.manifest.seconds + ' s' if engine.fresh else 'was built before'}: "
                f"{engine.path}")
        except EngineError as error:
            refused[variant.name] = str(error)
    return refused


def _phases(library: str, say: Callable[[str], None]) -> Progress:
    """Tells `say` each phase of the builder once, when its first step is done."""
    told: set[str] = set()

    def progress(phase: str, done: int, count: int) -> None:
        if phase not in told:
            told.add(phase)
            say(f"{library}: {phase}, {count} steps")

    return progress
