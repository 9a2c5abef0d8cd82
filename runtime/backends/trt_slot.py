"""One request of a TensorRT session: an execution context with a stream and buffers of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import cuda
from ..errors import BackendError
from ..manifest import TensorSpec
from . import Arrays


class Slot:
    """Computes one request at a time on the GPU that is current; several slots overlap.

    Args:
        context: the library's execution context, for this slot alone.
        inputs, outputs: the tensors.
        most: the largest batch.
        log: the library's logger, for its words where it refuses.
        graphs: whether copies and kernels are captured into one CUDA graph. Not for a library that does so itself.
    """

    def __init__(self, context: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], most: int,
                 log: Any, *, graphs: bool) -> None:
        self._context, self._log, self._graphs = context, log, graphs
        self._dtypes = {spec.name: np.dtype(spec.dtype) for spec in (*inputs, *outputs)}
        self._inputs, self._outputs = [s.name for s in inputs], [s.name for s in outputs]
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._sizes: dict[str, int] = {}
        self._buffers: dict[str, cuda.Buffer] = {}
        self._graph: cuda.Graph | None = None
        self._warm = False
        self._stream: Any = cuda.call("cudaStreamCreateWithFlags", cuda.NON_BLOCKING)
        try:
            self._set_shapes({s.name: sized(s, most) for s in inputs})
            for name, size in self._sizes.items():
                buffer = self._buffers[name] = cuda.Buffer(size)
                self._check(context.set_tensor_address(name, buffer.address), f"address of '{name}'")
        except BaseException:
            self.free()
            raise

    def start(self, feeds: Arrays) -> None:
        """Copies the arrays and queues the request; the slot must be idle. They are free again when it returns."""
        shapes = {name: feeds[name].shape for name in self._inputs}
        if any(self._shapes[name] != shape for name, shape in shapes.items()):
            self._drop_graph()
            self._set_shapes(shapes)
        for name, array in feeds.items():
            np.copyto(self._view(name), array)
        if self._warm and self._graphs and self._graph is None:
            try:
                self._graph = cuda.Graph(self._stream, self._queue)
            except BackendError:
                self._graphs = False  # an engine that cannot be captured: it runs as well, a little slower
        if self._graph is not None:
            self._graph.launch()
        else:
            self._queue()
        self._warm = True

    def finish(self) -> dict[str, NDArray[Any]]:
        """Waits for the request and gives copies of its outputs."""
        cuda.call("cudaStreamSynchronize", self._stream)
        return {name: self._view(name).copy() for name in self._outputs}

    def free(self) -> None:
        """Waits, and frees everything; a second call does nothing."""
        if self._stream is None:
            return
        stream, self._stream = self._stream, None
        try:
            cuda.call("cudaStreamSynchronize", stream)
            self._drop_graph()
        finally:
            self._context = None
            while self._buffers:
                self._buffers.popitem()[1].free()
            cuda.call("cudaStreamDestroy", stream)

    def _queue(self) -> None:
        for name in self._inputs:
            self._buffers[name].send(self._sizes[name], self._stream)
        self._check(self._context.execute_async_v3(int(self._stream)), "the engine")
        for name in self._outputs:
            self._buffers[name].receive(self._sizes[name], self._stream)

    def _set_shapes(self, inputs: dict[str, tuple[int, ...]]) -> None:
        """Tells the context the inputs' shapes and keeps those of all tensors."""
        for name, shape in inputs.items():
            self._check(self._context.set_input_shape(name, shape), f"input '{name}' of {shape}")
        self._warm = False  # the first run of a shape still sets things up, and cannot be captured
        self._shapes = inputs | {name: tuple(self._context.get_tensor_shape(name)) for name in self._outputs}
        for name, shape in self._shapes.items():
            if min(shape, default=0) < 0:
                raise BackendError(f"output '{name}' of the engine", got=shape, expected="a size known beforehand")
        self._sizes = {name: int(np.prod(shape)) * self._dtypes[name].itemsize for name, shape in self._shapes.items()}

    def _view(self, name: str) -> NDArray[Any]:
        """The host's side of a tensor, in its present shape."""
        return self._buffers[name].host[:self._sizes[name]].view(self._dtypes[name]).reshape(self._shapes[name])

    def _drop_graph(self) -> None:
        if self._graph is not None:
            self._graph.free()
            self._graph = None

    def _check(self, done: bool, what: str) -> None:
        if not done:
            raise BackendError(f"{what} was refused", got=(self._log.lines or ["no reason given"])[-1])


def sized(spec: TensorSpec, count: int) -> tuple[int, ...]:
    """The shape of an input for a batch of `count`; only the first axis may be free."""
    if None in spec.shape[1:]:
        raise BackendError(f"input '{spec.name}'", got=f"free sizes {spec.shape}",
                           expected="fixed sizes after the first axis")
    return tuple(count if size is None else size for size in spec.shape)
