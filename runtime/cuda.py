"""The little of CUDA that engines need, through cuda-python: the GPUs that are here, buffers, graphs."""

from __future__ import annotations

import ctypes
import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BackendError

NON_BLOCKING = 1
"""cudaStreamNonBlocking: a stream that does not wait for the default stream."""


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU.

    Attributes:
        index: CUDA's number of it.
        name: e.g. `NVIDIA GeForce RTX 3060`.
        capability: compute capability, e.g. `sm86`.
    """

    index: int
    name: str
    capability: str

    @property
    def device(self) -> str:
        """Its name in `--backend tensorrt-rtx:DEVICE`."""
        return f"cuda:{self.index}"


@cache
def bindings() -> Any:
    """Gives `cuda.bindings.runtime`. Raises BackendError where cuda-python is not installed."""
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise BackendError("module 'cuda.bindings' is needed here", got=f"not installed ({error})",
                           do="pip install 'epee[tensorrt]'") from None


def call(function: str, *args: Any) -> Any:
    """Calls a function of the CUDA runtime; gives what it returns beside its status.

    Raises:
        BackendError: the status is an error; it says which.
    """
    runtime = bindings()
    status, *values = getattr(runtime, function)(*args)
    if status != runtime.cudaError_t.cudaSuccess:
        raise BackendError(f"CUDA's {function}", got=_text(status))
    return values[0] if values else None


def gpus() -> tuple[Gpu, ...]:
    """The GPUs that CUDA can use here, at least one.

    Raises:
        BackendError: there is none, or cuda-python is not installed; it says which.
    """
    runtime = bindings()
    status, count = runtime.cudaGetDeviceCount()
    if status != runtime.cudaError_t.cudaSuccess or not count:
        driver = runtime.cudaDriverGetVersion()[1]
        raise BackendError("no NVIDIA GPU here" + (f" ({_text(status)})" if driver else ", nor a driver"))
    return tuple(_gpu(index) for index in range(count))


def _gpu(index: int) -> Gpu:
    facts = call("cudaGetDeviceProperties", index)
    return Gpu(index, facts.name.split(b"\0")[0].decode(errors="replace"), f"sm{facts.major}{facts.minor}")


def _text(status: Any) -> str:
    text = bindings().cudaGetErrorString(status)[1]
    return text.decode() if isinstance(text, bytes) else str(text)


class Buffer:
    """The same bytes on both sides of the bus: page-locked here, and on the current GPU.

    Attributes:
        host: (size,) uint8, what is copied from and to.
        address: of the GPU's side.
    """

    def __init__(self, size: int) -> None:
        kinds = bindings().cudaMemcpyKind
        self._to_device, self._to_host = kinds.cudaMemcpyHostToDevice, kinds.cudaMemcpyDeviceToHost
        self._host = int(call("cudaMallocHost", size))
        try:
            self.address = int(call("cudaMalloc", size))
        except BackendError:
            call("cudaFreeHost", self._host)
            raise
        self.host: NDArray[np.uint8] = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self._host))

    def send(self, size: int, stream: Any) -> None:
        """Queues the copy of the first `size` bytes to the GPU."""
        call("cudaMemcpyAsync", self.address, self._host, size, self._to_device, stream)

    def receive(self, size: int, stream: Any) -> None:
        """Queues the copy of the first `size` bytes from the GPU."""
        call("cudaMemcpyAsync", self._host, self.address, size, self._to_host, stream)

    def free(self) -> None:
        """Frees both sides; `host` must not be touched afterwards."""
        call("cudaFree", self.address)
        call("cudaFreeHost", self._host)


class Graph:
    """What a function queues on a stream, captured once, to be launched as a whole.

    Args:
        stream: where it is captured and launched.
        queue: queues the work; everything it touches must stay where it is as long as the graph lives.

    Raises:
        BackendError: the work cannot be captured. The stream goes on as before.
    """

    def __init__(self, stream: Any, queue: Any) -> None:
        runtime = bindings()
        self._stream = stream
        call("cudaStreamBeginCapture", stream, runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            queue()
        except BackendError:
            runtime.cudaStreamEndCapture(stream)  # its status only repeats what went wrong
            raise
        graph = call("cudaStreamEndCapture", stream)
        try:
            self._run = call("cudaGraphInstantiate", graph, 0)
        finally:
            call("cudaGraphDestroy", graph)

    def launch(self) -> None:
        """Queues the captured work."""
        call("cudaGraphLaunch", self._run, self._stream)

    def free(self) -> None:
        """Frees the graph."""
        call("cudaGraphExecDestroy", self._run)
