"""Backends: what runs a bundle's graph. One file each, one line each in BACKENDS.

A backend module offers
    `probe() -> Availability`: whether it works here, on which devices, and if not, why and what to install;
    `refuses(variant, device) -> str`: why it never takes a variant there, whatever its graph, or '';
    `open_session(bundle, variant, options) -> Session`: the opened graph.
The table holds lazy import strings: nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import BackendError, Unsupported, near
from ..manifest import TensorSpec, Variant
from ..variants import choose_variant, variants_of

BACKENDS: dict[str, str] = {
    "onnxruntime": "epee.runtime.backends.onnxruntime",
    "openvino": "epee.runtime.backends.openvino",
    "opencv": "epee.runtime.backends.opencv",
    "ncnn": "epee.runtime.backends.ncnn",
    "tensorrt-rtx": "epee.runtime.backends.tensorrt_rtx",
    "tensorrt": "epee.runtime.backends.tensorrt",
}
"""Name -> module. `auto` takes the first that is available and takes the variant."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Availability:
    """What `epee doctor` says of a backend. `reason` is empty where it is available."""

    name: str
    available: bool
    reason: str = ""
    devices: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True)
class SessionOptions:
    """How to open a session.

    Attributes:
        device: the backend's own device name, lower case (`cpu`, `cuda`, `gpu` …); '' is the backend's default.
        threads: compute threads; 0 leaves the choice to the backend.
        depth: how many requests may be in flight at once, submitted or in `run`; `threads` is shared among them.
            1 gives the shortest time a frame, more give the most frames a second. Backends that cannot overlap run
            the request inside `submit` and report their own `depth` as 1.
        spinning: whether idle compute threads spin (lowest latency when nothing else runs) or sleep.
    """

    device: str = ""
    threads: int = 0
    depth: int = 1
    spinning: bool = True


class Session(Protocol):
    """An opened graph. A context manager.

    Threads: `run` may be called from up to `depth` threads at once, then without `submit` and `result`; these two and
    `close` are for one thread at a time.

    Ownership: the arrays that `run` and `result` return belong to the caller and are never written again by the
    session. Arrays given to `run` may be reused once it returns; arrays given to `submit` must be left alone until
    the matching `result` returns.

    Attributes:
        backend, device: what is really active, e.g. `onnxruntime` and `cpu`.
        variant: the name of the bundle's variant that was opened.
        precision: what the layers with weights really compute in, e.g. `fp32`: the narrowest that one of them uses,
            as the runtime itself tells it (`epee inspect --backend` shows each), or `unknown` where it does not.
        inputs, outputs: the graph's tensors, from the manifest.
        depth: how many requests may be in flight at once.
    """

    backend: str
    device: str
    variant: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    depth: int

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """Gives the outputs by name for inputs by name. Raises BackendError where an input does not fit."""
        ...

    def submit(self, feeds: Arrays) -> None:
        """Starts a request. Raises BackendError where `depth` requests wait already."""
        ...

    def result(self) -> dict[str, NDArray[Any]]:
        """Waits for the oldest submitted request and gives its outputs. Raises BackendError where none waits."""
        ...

    def close(self) -> None:
        """Frees the graph; a second call does nothing."""
        ...

    def __enter__(self) -> Session: ...
    def __exit__(self, *exc: object) -> None: ...


class Backend(Protocol):
    """What a backend's module offers."""

    def probe(self) -> Availability: ...
    def refuses(self, variant: Variant, device: str) -> str: ...
    def open_session(self, bundle: Bundle, variant: Variant, options: SessionOptions) -> Session: ...


def load(name: str) -> Backend:
    """Gives the backend's module.

    Raises:
        BackendError: no such backend.
    """
    if name not in BACKENDS:
        raise BackendError(f"backend '{name}'", got="no such backend", expected=", ".join(BACKENDS),
                           do=near(name, list(BACKENDS)))
    module: Any = importlib.import_module(BACKENDS[name])
    return module


def probe_all() -> list[Availability]:
    """What works here, one entry a backend, in the table's order."""
    return [probe(name) for name in BACKENDS]


def probe(name: str) -> Availability:
    """Asks one backend; one whose own libraries fail to load says so instead of taking the others with it."""
    try:
        return load(name).probe()
    except Exception as error:
        return Availability(name, False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def parse_backend(text: str) -> tuple[str, str]:
    """Splits `NAME[:DEVICE]`, e.g. `onnxruntime:cuda` -> (`onnxruntime`, `cuda`)."""
    name, _, device = text.partition(":")
    return name, device.lower()


def candidates(bundle: Bundle, backend: str) -> list[Variant]:
    """The variants that a backend, `NAME[:DEVICE]`, may take; only opening one shows whether it computes the graph.

    Raises:
        BackendError: no such backend.
    """
    name, device = parse_backend(backend)
    return [variant for variant in variants_of(bundle) if not load(name).refuses(variant, device)]


def check_taken(backend: str, variant: Variant, why_not: str) -> None:
    """Raises Unsupported where `why_not`, what the backend's `refuses` gave, says something."""
    if why_not:
        raise Unsupported(f"backend '{backend}': variant '{variant.name}'", got=why_not)


def open_session(bundle: Bundle, backend: str = "auto", precision: str = "auto", *, threads: int = 0,
                 depth: int = 1, spinning: bool = True) -> Session:
    """Opens a bundle on a backend.

    Args:
        bundle: what to run.
        backend: `NAME[:DEVICE]`, or `auto`: the first of BACKENDS that is available here.
        precision: a variant's name or precision (`bf16` computes the fp32 file so), or `auto`: the bundle's first.
            Where both are `auto`, the fastest of those that answer right here is taken: what `epee tune` remembers,
            else what timing them now finds (see `autotune`). A line on standard error says which and why.
        threads, depth, spinning: see SessionOptions.

    Raises:
        BackendError: nothing fits; it says for each backend why. A named backend is never replaced by another.
    """
    if backend == precision == "auto":
        from ..autotune import decide

        backend, precision = decide(bundle)
    name, device = parse_backend(backend)
    variant = choose_variant(bundle, precision)
    options = SessionOptions(device, threads, depth, spinning)
    if name != "auto":
        return load(name).open_session(bundle, variant, options)
    found = probe_all()
    for entry in found:
        if entry.available:
            return load(entry.name).open_session(bundle, variant, options)
    raise BackendError("no backend is available", got="; ".join(f"{e.name}: {e.reason}" for e in found),
                       do="pip install 'epee[cpu]'")


def check_feeds(inputs: tuple[TensorSpec, ...], feeds: Arrays) -> None:
    """Raises BackendError where the inputs by name do not fit what the graph takes."""
    for spec in inputs:
        array = feeds.get(spec.name)
        if array is None:
            raise BackendError(f"input '{spec.name}'", got="missing", expected=describe(spec))
        fits = len(array.shape) == len(spec.shape) and all(
            want is None or have == want for have, want in zip(array.shape, spec.shape, strict=True))
        if not fits or array.dtype != np.dtype(spec.dtype):
            hint = "is this a greyscale source?" if spec.pixel == "bgr8" and array.ndim < 4 else ""
            raise BackendError(f"input '{spec.name}'", got=f"{array.shape} {array.dtype}", expected=describe(spec),
                               do=hint)
    unknown = set(feeds) - {spec.name for spec in inputs}
    if unknown:
        raise BackendError("inputs", got=", ".join(sorted(unknown)), expected=", ".join(s.name for s in inputs))


def describe(spec: TensorSpec) -> str:
    """`(N, 360, 480, 3) uint8`, with the layout's letter where a size is free."""
    letters = spec.layout or "?" * len(spec.shape)
    dims = ", ".join(letter if size is None else str(size)
                     for letter, size in zip(letters, spec.shape, strict=False))
    return f"({dims}) {spec.dtype}"
