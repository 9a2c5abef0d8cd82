"""What TensorRT's profiler tells of an engine's layers: their times. Written from the documentation, never run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from ..errors import BackendError
from ..manifest import TensorSpec
from . import Arrays
from .trt_slot import Slot


class Opened(Protocol):
    """What a session says of its tensors."""

    backend: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def layer_times_ms(trt: Any, context: Any, session: Opened, feeds: Arrays, runs: int, log: Any) -> dict[str, float]:
    """Milliseconds of each layer by the library's name of it, the fastest of `runs` runs.

    A profiler measures layer by layer, which a captured graph does not allow: the context is a fresh one without.

    Args:
        trt: the library.
        context: an execution context of the engine, for this alone; None where there was no room for one.
        session: whose tensors.
        feeds: inputs that the engine takes at once.
        runs: 1 or more; one before them warms up.
        log: the library's logger.

    Raises:
        BackendError: there is no context, or the engine refuses the inputs.
    """
    if context is None:
        raise BackendError(f"backend '{session.backend}': no execution context to look into",
                           do="free memory on the GPU")
    told: list[tuple[str, float]] = []

    class Listener(trt.IProfiler):  # type: ignore[misc]
        """Keeps what the library reports after each run."""

        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            """Called by the library, once a layer."""
            told.append((layer_name, ms))

    count = len(next(iter(feeds.values())))
    slot = Slot(context, session.inputs, session.outputs, count, log, graphs=False)
    listener = Listener()  # the context does not keep it alive
    with ExitStack() as stack:
        stack.callback(slot.free)
        context.profiler = listener
        for number in range(runs + 1):
            if number == 1:
                told.clear()
            slot.start(feeds)
            slot.finish()
    return fastest(told)


def fastest(told: Sequence[tuple[str, float]]) -> dict[str, float]:
    """The least time of each name, in the order in which they came first."""
    found: dict[str, float] = {}
    for name, ms in told:
        found[name] = min(ms, found.get(name, ms))
    return found

