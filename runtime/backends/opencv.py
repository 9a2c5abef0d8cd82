"""OpenCV's own network runtime (`cv2.dnn`) on the CPU: what is there wherever frames are read, without another install.

It takes the fused graph as it is, bytes in and bytes out, so that no pixel work is done outside (tried: 4.10 to 4.12,
4.14, 5.0). OpenCV 4 hands class ids out as float32; they are cast here. OpenCV 4, and the classic engine that OpenCV 5
falls back to, keep the first batch size they see: frames therefore go through one by one. INT8 is computed as such by
OpenCV 5 alone, fp16 by neither; `precision` says so.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import onnx_file
from ..bundle import Bundle
from ..errors import BackendError, EpeeError, Unsupported, need
from ..manifest import TensorSpec, Variant
from ..variants import only_plain_onnx
from . import Arrays, Availability, SessionOptions, check_feeds, check_taken, describe
from .at_once import AtOnce

NAME = "opencv"
DEVICES = ("cpu",)
"""OpenCV 5's new engine has no other; OpenCL and CUDA builds of OpenCV 4 were never tried here."""


def probe() -> Availability:
    """Says whether OpenCV is here with its dnn module."""
    try:
        cv2 = need("cv2")
    except EpeeError as error:
        return Availability(NAME, False, str(error))
    if not hasattr(cv2, "dnn"):
        return Availability(NAME, False, "this build of OpenCV has no dnn module", (), cv2.__version__)
    return Availability(NAME, True, "", DEVICES, cv2.__version__)


def refuses(variant: Variant, device: str) -> str:
    """See `variants.only_plain_onnx`."""
    return only_plain_onnx(variant)


def open_session(bundle: Bundle, variant: Variant, options: SessionOptions) -> OpenCvSession:
    """Reads the variant and computes a black frame, because OpenCV finds out only then what it cannot compute.

    Raises:
        BackendError: another device than the CPU. Unsupported: a graph that OpenCV cannot read or compute.
        BundleError: the file is no ONNX.
    """
    return OpenCvSession(bundle, variant, options)


class OpenCvSession(AtOnce):
    """See `backends.Session`. `depth` is 1; `net` is the `cv2.dnn.Net` that computes, None once closed.

    OpenCV has one pool of threads a process: `options.threads` holds for all of OpenCV until `close`.
    """

    backend = NAME

    def __init__(self, bundle: Bundle, variant: Variant, options: SessionOptions) -> None:
        super().__init__()
        cv2: Any = need("cv2")
        check_taken(NAME, variant, refuses(variant, options.device))
        self.device = options.device or "cpu"
        if self.device not in DEVICES:
            raise BackendError(f"backend '{NAME}:{self.device}'", got="no such device",
                               expected="one of " + ", ".join(DEVICES))
        self.inputs, self.outputs = bundle.manifest.inputs, bundle.manifest.outputs
        self._step = self.inputs[0].shape[0] or 1
        file = bundle.file(variant)
        threads = cv2.getNumThreads()
        if options.threads:
            cv2.setNumThreads(options.threads)
        self._threads: int | None = threads if options.threads else None
        self.net: Any = None
        try:
            with _silent(cv2):
                self.net = cv2.dnn.readNetFromONNX(str(file))
                self.run({spec.name: _black(spec) for spec in self.inputs})
        except (cv2.error, BackendError) as error:
            self.close()
            onnx_file.read(file)  # a broken file is the bundle's fault, and not for want of a layer
            raise Unsupported(f"backend '{NAME}:{self.device}' does not open {file.name}", got=_reason(error),
                              do="try another backend; `epee doctor` lists them") from error
        self.variant, self.precision = variant.name, active_precision(self.net)

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """See `backends.Session.run`; the arrays are copies that OpenCV makes on the way out."""
        if self.net is None:
            raise BackendError(f"backend '{NAME}': the session is closed", do="open it again")
        check_feeds(self.inputs, feeds)
        count = len(feeds[self.inputs[0].name])
        parts = [self._compute(feeds, start) for start in range(0, count, self._step)]
        return {spec.name: np.concatenate([part[i] for part in parts]) if len(parts) > 1 else parts[0][i]
                for i, spec in enumerate(self.outputs)}

    def _compute(self, feeds: Arrays, start: int) -> list[NDArray[Any]]:
        """The outputs for as many frames as the graph takes at once, from `start` on."""
        for spec in self.inputs:
            self.net.setInput(np.ascontiguousarray(feeds[spec.name][start:start + self._step]), spec.name)
        answers = self.net.forward([spec.name for spec in self.outputs])
        for spec, answer in zip(self.outputs, answers, strict=True):
            if answer.ndim != len(spec.shape) or answer.shape[0] != self._step or any(
                    want not in (None, got) for want, got in zip(spec.shape, answer.shape, strict=True)):
                raise BackendError(f"backend '{NAME}': output '{spec.name}'", got=f"{answer.shape} {answer.dtype}",
                                   expected=describe(spec), do="this OpenCV computes the graph wrong")
        return [answer.astype(spec.dtype, copy=False) for spec, answer in zip(self.outputs, answers, strict=True)]

    def close(self) -> None:
        """Frees the graph and gives OpenCV back the threads it had."""
        self.net = None
        super().close()
        if self._threads is not None:
            need("cv2").setNumThreads(self._threads)
            self._threads = None


def layers(net: Any) -> Iterator[tuple[str, str, str]]:
    """Gives (name, type, precision) of each layer, as OpenCV holds it after the first run.

    The precision is `int8` or `fp32` of a layer with weights, `''` of one without, of which OpenCV tells none.
    """
    cv2: Any = need("cv2")
    for name in net.getLayerNames():
        layer = net.getLayer(net.getLayerId(name))
        stored = [blob.dtype for blob in layer.blobs or ()]
        if layer.type.endswith("Int8") or np.dtype(np.int8) in stored:
            precision = "int8"
        elif not re.search(r"conv|gemm|matmul|innerproduct", layer.type, re.IGNORECASE):
            precision = ""
        else:  # float weights, fp16 ones too, become float32 on the plain CPU target
            precision = "fp16" if layer.preferableTarget == getattr(cv2.dnn, "DNN_TARGET_CPU_FP16", -1) else "fp32"
        yield name, layer.type, precision


def active_precision(net: Any) -> str:
    """What the layers with weights compute in: `fp32`, or `int8` where some do (OpenCV 4 computes QDQ in float)."""
    found = {precision for _, _, precision in layers(net)}
    return next((p for p in ("int8", "fp16") if p in found), "fp32")


def _black(spec: TensorSpec) -> NDArray[Any]:
    return np.zeros([size or 1 for size in spec.shape], spec.dtype)


@contextlib.contextmanager
def _silent(cv2: Any) -> Iterator[None]:
    """Keeps OpenCV's own log lines off the screen: what it says is in the error as well."""
    log = getattr(cv2.utils, "logging", cv2)  # OpenCV 4.12 and earlier have it at the top
    level = log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)


def _reason(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()[:300]
