"""OpenVINO: Intel CPUs, integrated and discrete GPUs, NPUs, and ARM CPUs."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import BackendError, MissingExtra, need
from ..manifest import Variant
from ..variants import BF16
from . import Arrays, Availability, SessionOptions, check_feeds, check_taken

NAME = "openvino"
HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
"""Our precision -> OpenVINO's INFERENCE_PRECISION_HINT. On CPUs with bf16, OpenVINO computes an fp32 file in bf16
unless it is told f32, so the hint is always given."""
PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "u8": "int8", "i8": "int8"}
"""OpenVINO's name of what a layer computes in -> ours."""


@cache
def core() -> Any:
    """OpenVINO's core, one in a process, and never freed.

    On Linux the CPU plugin gives the thread that loads it a stack for signals (`sigaltstack`), and frees it with the
    last core, on whatever thread that happens: the first thread then dies of SIGSEGV at its next signal, which Python
    handles on that stack (seen with 2026.4.1).

    Raises:
        MissingExtra: OpenVINO is not installed.
    """
    return need("openvino").Core()


def probe() -> Availability:
    """Says which devices OpenVINO sees."""
    try:
        ov = need("openvino")
    except MissingExtra as error:
        return Availability(NAME, False, str(error))
    devices = tuple(d.lower() for d in core().available_devices)
    if not devices:
        return Availability(NAME, False, "openvino is installed but sees no device", (), ov.__version__)
    return Availability(NAME, True, "", devices, ov.__version__.split("-")[0])


def refuses(variant: Variant, device: str) -> str:
    """Engines, and bf16 where OpenVINO says that the device has none of it."""
    if variant.kind != "onnx":
        return f"kind {variant.kind}, expected kind onnx; choose an onnx variant with --precision"
    device = (device or "cpu").upper()
    if variant.precision == BF16 and BF16.upper() not in _capabilities(device):
        return f"{device} computes no bf16, expected a device with it; --precision fp32 computes the same file"
    return ""


def open_session(bundle: Bundle, variant: Variant, options: SessionOptions) -> OpenVinoSession:
    """Compiles the variant for `options.device` (`cpu` where it names none).

    Raises:
        BackendError: the device is not there, or the model does not compile.
            Unsupported: an engine, or bf16 on a device without it.
    """
    return OpenVinoSession(bundle, variant, options)


class OpenVinoSession:
    """See `backends.Session`. Keeps `depth` infer requests, so that submitted requests overlap."""

    backend = NAME

    def __init__(self, bundle: Bundle, variant: Variant, options: SessionOptions) -> None:
        ov: Any = need("openvino")
        device, devices = (options.device or "cpu").upper(), core().available_devices
        if device.split(".")[0] not in {d.split(".")[0] for d in devices} | {"AUTO"}:
            raise BackendError(f"backend '{NAME}:{device.lower()}'", got="no such device",
                               expected="one of " + ", ".join(d.lower() for d in devices))
        check_taken(f"{NAME}:{device.lower()}", variant, refuses(variant, device))
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY" if options.depth == 1 else "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": HINTS.get(variant.precision, "f32"),
        }
        if options.threads and device == "CPU":
            settings["INFERENCE_NUM_THREADS"] = options.threads
        file = bundle.file(variant)
        try:
            model = core().read_model(str(file))
            compiled = core().compile_model(model, device, settings)
        except Exception as error:
            raise BackendError(f"backend '{NAME}:{device.lower()}' does not open {file.name}",
                               got=re.sub(r"\s+", " ", str(error)).strip()[:300],
                               do="try another backend; `epee doctor` lists them") from error
        self._ov = ov
        self._compiled: Any = compiled
        self.depth = max(1, options.depth)
        self._idle: deque[Any] = deque(compiled.create_infer_request() for _ in range(self.depth))
        self._busy: deque[tuple[Any, Arrays]] = deque()  # requests with the arrays they read
        self.device, self.variant, self.precision = device.lower(), variant.name, active_precision(compiled)
        self.inputs, self.outputs = bundle.manifest.inputs, bundle.manifest.outputs

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """See `backends.Session.run`; outputs are copied out of the request's buffers."""
        request, arrays = self._start(feeds, "run")
        return self._finish(request, arrays)

    def submit(self, feeds: Arrays) -> None:
        """Starts a request without waiting; the given arrays are read in place until `result`."""
        self._busy.append(self._start(feeds, "submit"))

    def result(self) -> dict[str, NDArray[Any]]:
        """Waits for the oldest request."""
        if not self._busy:
            raise BackendError(f"backend '{NAME}': result", got="no request waits", do="call submit first")
        return self._finish(*self._busy.popleft())

    def _start(self, feeds: Arrays, what: str) -> tuple[Any, Arrays]:
        """Gives the started request and the arrays that it reads."""
        if self._compiled is None:
            raise BackendError(f"backend '{NAME}': the session is closed", do="open it again")
        check_feeds(self.inputs, feeds)
        arrays = {name: np.require(a, requirements=["C", "W"]) for name, a in feeds.items()}  # copies where it must
        tensors = {name: self._ov.Tensor(a, shared_memory=True) for name, a in arrays.items()}
        try:
            request = self._idle.popleft()
        except IndexError:
            raise BackendError(f"backend '{NAME}': {what}", got=f"{self.depth} requests wait already",
                               do="call result first, or open with a larger depth") from None
        request.start_async(tensors, share_inputs=True)
        return request, arrays

    def _finish(self, request: Any, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Waits for the request and gives its outputs; `arrays` have to live until then."""
        try:
            request.wait()
            return {o.name: request.get_tensor(o.name).data.copy() for o in self.outputs}
        finally:
            self._idle.append(request)

    def close(self) -> None:
        """Frees the graph."""
        for request, _ in self._busy:
            request.wait()
        self._busy.clear()
        self._idle.clear()
        self._compiled = None

    def __enter__(self) -> OpenVinoSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def layers(compiled: Any) -> Iterator[tuple[str, str, str, str]]:
    """Gives (name, type, precision, microseconds or words) of each node of the compiled model, as OpenVINO tells it."""
    for op in compiled.get_runtime_model().get_ordered_ops():
        facts = op.get_rt_info()
        kind, precision, time_us = (facts[key].astype(str) if key in facts else "" for key in
                                    ("layerType", "runtimePrecision", "execTimeMcs"))
        yield op.get_friendly_name(), kind, precision, time_us


def active_precision(compiled: Any) -> str:
    """The narrowest precision that a layer with weights was compiled to; `unknown` where the device does not tell."""
    found = {PRECISIONS.get(precision, "") for _, kind, precision, _ in layers(compiled)
             if re.search(r"conv(?!ert)|fullyconnected|matmul|gemm|lstm|gru", kind, re.IGNORECASE)}
    return next((p for p in ("int8", "fp16", "bf16", "fp32") if p in found), "unknown")


def _capabilities(device: str) -> tuple[str, ...]:
    """What the device computes, in OpenVINO's words; nothing for a device that is not there."""
    if device not in core().available_devices:
        return ()
    return tuple(core().get_property(device, "OPTIMIZATION_CAPABILITIES"))
