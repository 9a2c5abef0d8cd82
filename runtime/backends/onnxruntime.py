"""ONNX Runtime: every execution provider of the installed build, chosen by name, never replaced in silence."""

from __future__ import annotations

import re
import tempfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import onnx_file
from ..bundle import Bundle
from ..errors import BackendError, BundleError, MissingExtra, need
from ..manifest import Variant
from ..timing import cpus
from ..variants import only_plain_onnx
from . import Arrays, Availability, SessionOptions, check_feeds, check_taken
from .ort_graph import UNKNOWN, computes_in

NAME = "onnxruntime"
SUFFIX = "ExecutionProvider"
COMPILING = ("tensorrt", "nvtensorrtrtx", "openvino", "qnn", "coreml")
"""Providers that swallow whole parts of the graph and do not tell what happens inside."""


def probe() -> Availability:
    """Says which providers the installed build offers. Only an opened session tells whether one really works."""
    try:
        ort = need("onnxruntime")
    except MissingExtra as error:
        return Availability(NAME, False, str(error))
    devices = tuple(_by_name(ort.get_available_providers()))
    return Availability(NAME, True, "", devices, ort.__version__)


def refuses(variant: Variant, device: str) -> str:
    """See `variants.only_plain_onnx`."""
    return only_plain_onnx(variant)


def open_session(bundle: Bundle, variant: Variant, options: SessionOptions) -> OnnxRuntimeSession:
    """Opens the variant on the provider that `options.device` names (`cpu` where it names none).

    Raises:
        BackendError: the provider is not in this build or did not become active, or the model does not load.
            Unsupported: an engine, or bf16.
    """
    return OnnxRuntimeSession(bundle, variant, options)


class OnnxRuntimeSession:
    """See `backends.Session`. On the CPU, `depth` requests compute side by side; elsewhere `depth` is 1.

    Two requests on a thread each give more frames a second than one request on two threads: nothing has to be
    divided and waited for inside each layer.
    """

    backend = NAME

    def __init__(self, bundle: Bundle, variant: Variant, options: SessionOptions) -> None:
        ort: Any = need("onnxruntime")
        check_taken(NAME, variant, refuses(variant, options.device))
        device = options.device or "cpu"
        provider = _provider(ort.get_available_providers(), device)
        settings = ort.SessionOptions()
        self.depth = max(1, options.depth) if device == "cpu" else 1
        threads = options.threads
        if self.depth > 1:  # the calling threads compute too: what is left of `threads` is one pool for all of them
            threads = max(1, (threads or cpus()) - self.depth + 1)
        settings.intra_op_num_threads = threads
        settings.log_severity_level = 3
        if not options.spinning:
            settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        file = bundle.file(variant)
        try:
            session, precision = _opened(ort, file, settings, provider, variant)
        except Exception as error:
            raise BackendError(f"backend '{NAME}:{device}' does not open {file.name}", got=_first_line(error),
                               do="try another backend; `epee doctor` lists them") from error
        active = session.get_providers()
        if active[0] != provider:
            raise BackendError(f"backend '{NAME}:{device}'", got=f"{active[0]} became active", expected=provider,
                               do="its libraries or driver do not load here; run with ORT_LOGGING_LEVEL=2, "
                                  f"or ask for --backend {NAME}:cpu")
        self._session: Any = session
        self._pool = ThreadPoolExecutor(self.depth) if self.depth > 1 else None
        self._waiting: deque[Future[dict[str, NDArray[Any]]]] = deque()
        self.device, self.variant, self.precision = device, variant.name, precision
        self.inputs, self.outputs = bundle.manifest.inputs, bundle.manifest.outputs
        self._names = [o.name for o in self.outputs]

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """See `backends.Session.run`; the arrays are ONNX Runtime's own fresh allocations."""
        if self._session is None:
            raise BackendError(f"backend '{NAME}': the session is closed", do="open it again")
        check_feeds(self.inputs, feeds)
        feeds = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
        return dict(zip(self._names, self._session.run(self._names, feeds), strict=True))

    def submit(self, feeds: Arrays) -> None:
        """Starts the request, or, where `depth` is 1, runs it at once; `result` gives the answer."""
        if len(self._waiting) >= self.depth:
            raise BackendError(f"backend '{NAME}': submit", got=f"{self.depth} requests wait already",
                               do="call result first, or open with a larger depth")
        if self._pool is not None:
            self._waiting.append(self._pool.submit(self.run, feeds))
            return
        done: Future[dict[str, NDArray[Any]]] = Future()
        done.set_result(self.run(feeds))
        self._waiting.append(done)

    def result(self) -> dict[str, NDArray[Any]]:
        """Waits for the oldest submitted request."""
        if not self._waiting:
            raise BackendError(f"backend '{NAME}': result", got="no request waits", do="call submit first")
        return self._waiting.popleft().result()

    def close(self) -> None:
        """Frees the graph."""
        if self._pool is not None:
            self._pool.shutdown()
        self._session = None
        self._waiting.clear()

    def __enter__(self) -> OnnxRuntimeSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _opened(ort: Any, file: Path, settings: Any, provider: str, variant: Variant) -> tuple[Any, str]:
    """Gives ONNX Runtime's session and what it computes in.

    An fp32 file is never computed in less. What becomes of any other shows in the graph that ONNX Runtime made of it,
    which it writes down at opening (a few milliseconds): fp16 weights of a CPU without fp16 kernels are float32 there.
    """
    if provider.removesuffix(SUFFIX).lower() in COMPILING:
        return ort.InferenceSession(str(file), settings, providers=[provider]), UNKNOWN
    if variant.precision == "fp32":
        return ort.InferenceSession(str(file), settings, providers=[provider]), "fp32"
    with tempfile.TemporaryDirectory(prefix="epee-") as folder:
        made = Path(folder) / "made.onnx"
        settings.optimized_model_filepath = str(made)
        session = ort.InferenceSession(str(file), settings, providers=[provider])
        try:
            return session, computes_in(onnx_file.read(made))
        except BundleError:  # what it made has parts that are not read here: subgraphs, unknown types
            return session, UNKNOWN


def _by_name(providers: list[str]) -> dict[str, str]:
    """Device name -> provider. Azure's provider sends frames to a server and is no device here."""
    return {p.removesuffix(SUFFIX).lower(): p for p in providers if not p.startswith("Azure")}


def _provider(available: list[str], device: str) -> str:
    by_name = _by_name(available)
    if device not in by_name:
        raise BackendError(f"backend '{NAME}:{device}'", got="no such provider in the installed build",
                           expected="one of " + ", ".join(by_name),
                           do="CUDA and TensorRT come with epee[ort-gpu]" if device in ("cuda", "tensorrt") else "")
    return by_name[device]


def _first_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()[:300]
