"""ONNX Runtime: every execution provider of the installed build, chosen by name, never replaced in silence."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import BackendError, MissingExtra, need
from ..manifest import Variant
from . import Arrays, Availability, SessionOptions, check_feeds

NAME = "onnxruntime"
SUFFIX = "ExecutionProvider"


def probe() -> Availability:
    """Says which providers the installed build offers. Only an opened session tells whether one really works."""
    try:
        ort = need("onnxruntime")
    except MissingExtra as error:
        return Availability(NAME, False, str(error))
    devices = tuple(_by_name(ort.get_available_providers()))
    return Availability(NAME, True, "", devices, ort.__version__)


def open_session(bundle: Bundle, variant: Variant, options: SessionOptions) -> OnnxRuntimeSession:
    """Opens the variant on the provider that `options.device` names (`cpu` where it names none).

    Raises:
        BackendError: the provider is not in this build or did not become active, or the model does not load.
    """
    return OnnxRuntimeSession(bundle, variant, options)


class OnnxRuntimeSession:
    """See `backends.Session`. Runs inside `submit`, so `depth` is 1."""

    backend = NAME
    depth = 1

    def __init__(self, bundle: Bundle, variant: Variant, options: SessionOptions) -> None:
        ort: Any = need("onnxruntime")
        if variant.kind != "onnx":
            raise BackendError(f"backend '{NAME}': variant '{variant.name}'", got=f"kind {variant.kind}",
                               expected="kind onnx", do="choose an onnx variant with --precision")
        device = options.device or "cpu"
        provider = _provider(ort.get_available_providers(), device)
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.log_severity_level = 3
        if not options.spinning:
            settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        file = bundle.file(variant)
        try:
            session = ort.InferenceSession(str(file), settings, providers=[provider])
        except Exception as error:
            raise BackendError(f"backend '{NAME}:{device}' does not open {file.name}", got=_first_line(error),
                               do="try another backend; `epee doctor` lists them") from error
        active = session.get_providers()
        if active[0] != provider:
            raise BackendError(f"backend '{NAME}:{device}'", got=f"{active[0]} became active", expected=provider,
                               do="its libraries or driver do not load here; run with ORT_LOGGING_LEVEL=2, "
                                  f"or ask for --backend {NAME}:cpu")
        self._session: Any = session
        self._done: deque[dict[str, NDArray[Any]]] = deque()
        self.device = device
        self.precision = variant.precision
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
        """Runs at once and keeps the answer for `result`."""
        if self._done:
            raise BackendError(f"backend '{NAME}': submit", got="one request waits already", do="call result first")
        self._done.append(self.run(feeds))

    def result(self) -> dict[str, NDArray[Any]]:
        """Gives the answer of the last `submit`."""
        if not self._done:
            raise BackendError(f"backend '{NAME}': result", got="no request waits", do="call submit first")
        return self._done.popleft()

    def close(self) -> None:
        """Frees the graph."""
        self._session = None
        self._done.clear()

    def __enter__(self) -> OnnxRuntimeSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


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
