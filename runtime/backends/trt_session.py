"""What the backends `tensorrt` and `tensorrt-rtx` share: an opened engine and its slots.

Built, never run: no GPU has been at hand yet. The code follows the libraries' documentation and is checked as far as
a machine without a GPU allows; `epee doctor` says so too. Whoever has one: `epee verify B.epee --backend tensorrt-rtx`.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import cuda
from ..bundle import Bundle, sha256
from ..engines.cached import cache_folder
from ..engines.libraries import INSTALL, EngineError, installed, listening, load, logger
from ..engines.manifest import EngineManifest, write_whole
from ..errors import BackendError
from ..manifest import TensorSpec, Variant
from . import Arrays, Availability, SessionOptions, check_feeds, check_taken, trt_layers, trt_times
from .trt_choice import choose, not_here, refuses
from .trt_slot import Slot, sized

TRIED = {"tensorrt-rtx": "builds engines here; built, never run", "tensorrt": "never built or run"}
"""Library -> how far its engines have been tried. The doctor says it; an entry goes when one has run."""
Answers = dict[str, NDArray[Any]]


def probe(library: str) -> Availability:
    """Says which GPUs the library could use. Cheap first: it is loaded only where there is a GPU."""
    if not installed(library):
        return Availability(library, False, f"not installed ({TRIED[library]}); {INSTALL[library]}")
    try:
        gpus = cuda.gpus()
        version = load(library).__version__
    except BackendError as error:
        return Availability(library, False, f"{error} ({TRIED[library]})")
    return Availability(library, True, "", tuple(gpu.device for gpu in gpus), f"{version} ({TRIED[library]})")


class TensorRtSession:
    """See `backends.Session`. Keeps `depth` slots, so that requests overlap; a batch larger than the engine takes is
    computed in parts. `layers` is what the library's engine inspector tells of the engine.

    Args:
        library: `tensorrt-rtx` or `tensorrt`.
        bundle: what to run.
        variant: an `engine` of that library, or an `onnx` one, of which an engine is built into the user's cache.
        options: `device` is `cuda:N`; `threads` and `spinning` mean nothing here.

    Raises:
        BackendError: the library is not installed, there is no GPU, the engine is for another one, or does not open.
    """

    def __init__(self, library: str, bundle: Bundle, variant: Variant, options: SessionOptions) -> None:
        if variant.kind == "onnx":
            check_taken(library, variant, refuses(library, variant))
        path, facts, gpu = choose(library, bundle, variant, options.device)
        self.backend, self.device, self.variant, self.precision = library, gpu.device, variant.name, trt_layers.UNKNOWN
        self.inputs, self.outputs = bundle.manifest.inputs, bundle.manifest.outputs
        self.depth = max(1, options.depth)
        self._index = gpu.index
        self._busy: deque[tuple[Slot, list[Answers]]] = deque()
        self._idle: deque[Slot] = deque()
        self._log = logger(library)
        self._kernels: Kernels | None = None
        self._runtime: Any = None
        self._engine: Any = None
        cuda.call("cudaSetDevice", gpu.index)
        try:
            self._open(path, facts, bundle, variant)
            self._warm_up()
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, facts: EngineManifest, bundle: Bundle, variant: Variant) -> None:
        trt = load(self.backend)
        with listening(self.backend) as lines:
            self._runtime = trt.Runtime(self._log)
            if facts.version_compatible == "yes":
                self._runtime.engine_host_code_allowed = True
            self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
            if self._engine is None:
                raise not_here(bundle, variant, facts, f"{self.backend} {trt.__version__} does not open it: "
                                                       + (" | ".join(lines[:2]) or "no reason given"))
        self._most = check_tensors(trt, self._engine, self.inputs, self.outputs)
        self.layers = trt_layers.inspect(trt, self._engine)
        self.precision = trt_layers.active_precision(self.layers)
        if hasattr(trt, "CudaGraphStrategy"):
            name = f"{sha256(path)[:16]}-{trt.__version__}-{self._index}.kernels"
            self._kernels = Kernels(trt, self._engine, cache_folder() / name)
        for _ in range(self.depth):
            context = (self._kernels.context() if self._kernels else self._engine.create_execution_context())
            if context is None:
                raise EngineError(f"backend '{self.backend}': no execution context", got=(self._log.lines or [""])[-1],
                                  do="open with a smaller depth, or free memory on the GPU")
            self._idle.append(Slot(context, self.inputs, self.outputs, self._most, self._log,
                                   graphs=self._kernels is None))

    def _warm_up(self) -> None:
        """Runs each slot twice: only that shows that the engine runs here; kernels are compiled, graphs captured."""
        nothing = {spec.name: np.zeros(sized(spec, 1), spec.dtype) for spec in self.inputs}
        for slot in [*self._idle, *self._idle]:
            slot.start(nothing)
            slot.finish()
        if self._kernels is not None:
            self._kernels.save()

    def run(self, feeds: Arrays) -> Answers:
        """See `backends.Session.run`; outputs are copied out of the slot's buffers."""
        return self._finish(*self._start(feeds, "run"))

    def submit(self, feeds: Arrays) -> None:
        """Queues a request without waiting, but for the first parts of a batch larger than the engine takes."""
        self._busy.append(self._start(feeds, "submit"))

    def result(self) -> Answers:
        """Waits for the oldest request."""
        if not self._busy:
            raise BackendError(f"backend '{self.backend}': result", got="no request waits", do="call submit first")
        return self._finish(*self._busy.popleft())

    def _start(self, feeds: Arrays, what: str) -> tuple[Slot, list[Answers]]:
        """Gives the slot that computes the last part of the batch, and the answers of the parts before it."""
        if self._engine is None:
            raise BackendError(f"backend '{self.backend}': the session is closed", do="open it again")
        check_feeds(self.inputs, feeds)
        try:
            slot = self._idle.popleft()
        except IndexError:
            raise BackendError(f"backend '{self.backend}': {what}", got=f"{self.depth} requests wait already",
                               do="call result first, or open with a larger depth") from None
        try:
            cuda.call("cudaSetDevice", self._index)
            *parts, last = split(self.inputs, feeds, self._most)
            done = []
            for part in parts:
                slot.start(part)
                done.append(slot.finish())
            slot.start(last)
        except BaseException:
            self._idle.append(slot)
            raise
        return slot, done

    def _finish(self, slot: Slot, done: list[Answers]) -> Answers:
        try:
            cuda.call("cudaSetDevice", self._index)
            parts = [*done, slot.finish()]
        finally:
            self._idle.append(slot)
        return parts[0] if len(parts) == 1 else {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}

    def layer_times_ms(self, feeds: Arrays, runs: int) -> dict[str, float]:
        """Milliseconds of each layer, the fastest of `runs` runs; see `trt_times`."""
        cuda.call("cudaSetDevice", self._index)
        return trt_times.layer_times_ms(load(self.backend), self._engine.create_execution_context(), self, feeds, runs,
                                        self._log)

    def close(self) -> None:
        """Waits for what still runs, keeps the compiled kernels for the next time, and frees the engine."""
        slots = [slot for slot, _ in self._busy] + list(self._idle)
        self._busy.clear()
        self._idle.clear()
        with suppress(BackendError):  # a GPU that has failed cannot be tidied up; everything else still is
            cuda.call("cudaSetDevice", self._index)
        for slot in slots:
            with suppress(BackendError):
                slot.free()
        if self._kernels is not None:
            self._kernels.save()
        self._kernels = self._engine = self._runtime = None  # in this order, after the slots' contexts

    def __enter__(self) -> TensorRtSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Kernels:
    """TensorRT-RTX compiles its kernels when an engine first runs; a file keeps them for the next time.

    It also captures CUDA graphs by itself.
    """

    def __init__(self, trt: Any, engine: Any, file: Path) -> None:
        self._file, self._engine = file, engine
        self._config = engine.create_runtime_config()
        self._config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self._cache = self._config.create_runtime_cache()
        if file.is_file():
            self._cache.deserialize(file.read_bytes())  # false for another GPU, driver or version: it stays empty
        self._config.set_runtime_cache(self._cache)

    def context(self) -> Any:
        """A new execution context with these kernels, None where there is no room for it."""
        return self._engine.create_execution_context(self._config)

    def save(self) -> None:
        """Keeps what has been compiled; where it cannot be written, the next start only takes longer."""
        data = self._cache.serialize()
        if data is not None:
            with suppress(EngineError):
                write_whole(self._file, bytes(data))


def split(inputs: tuple[TensorSpec, ...], feeds: Arrays, most: int) -> list[Arrays]:
    """The batch in parts of at most `most`; inputs without a free first axis go into every part as they are."""
    free = {spec.name for spec in inputs if spec.shape[:1] == (None,)}
    count = max([len(array) for name, array in feeds.items() if name in free], default=1)
    return [{name: array[start:start + most] if name in free else array for name, array in feeds.items()}
            for start in range(0, max(count, 1), most)]


def check_tensors(trt: Any, engine: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> int:
    """Gives the largest batch that the engine takes.

    Raises:
        EngineError: its tensors are not those of the bundle.
    """
    there = {name: np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
             for name in map(engine.get_tensor_name, range(engine.num_io_tensors))}
    wanted = {spec.name: spec.dtype for spec in (*inputs, *outputs)}
    if there != wanted:
        raise EngineError("tensors of the engine", got=there, expected=wanted, do="export the bundle again")
    name = inputs[0].name
    first = engine.get_tensor_shape(name)[0]
    return int(first if first >= 0 else engine.get_tensor_profile_shape(name, 0)[2][0])
