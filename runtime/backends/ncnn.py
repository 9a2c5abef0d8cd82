"""ncnn on the CPU: small, fast on ARM, float32 here. Its layers are written from the bundle's ONNX at opening.

ncnn cannot take the fused graph: bytes, class ids and the batch are handled outside in numpy (see `ncnn_graph`).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import onnx_file, outside
from ..bundle import Bundle
from ..errors import BackendError, MissingExtra, Unsupported, need
from ..manifest import Variant
from ..timing import cpus
from . import Arrays, Availability, SessionOptions, check_feeds, check_taken
from .at_once import AtOnce
from .ncnn_graph import Cut, cut

NAME = "ncnn"
DEVICES = ("cpu",)
"""ncnn's Vulkan devices were never tried here."""
FLOAT16 = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage", "use_bf16_packed")
"""Options that would let ncnn compute in less than float32."""
RAW = 1
"""`extract` then gives an output as the layer left it, not turned into float32."""


def probe() -> Availability:
    """Says whether ncnn is here."""
    try:
        ncnn = need("ncnn")
    except MissingExtra as error:
        return Availability(NAME, False, str(error))
    return Availability(NAME, True, "", DEVICES, ncnn.__version__)


def refuses(variant: Variant, device: str) -> str:
    """All but fp32: ncnn quantises by tools of its own, and computes fp16 only on ARM, which was never tried here."""
    if (variant.kind, variant.precision) == ("onnx", "fp32"):
        return ""
    return f"kind {variant.kind}, {variant.precision}, expected kind onnx, fp32; choose --precision fp32"


def open_session(bundle: Bundle, variant: Variant, options: SessionOptions) -> NcnnSession:
    """Writes the variant's network for ncnn and loads it.

    Raises:
        BackendError: another device than the CPU. Unsupported: another precision than fp32, or a node that ncnn has
            no layer for, named.
    """
    return NcnnSession(bundle, variant, options)


class NcnnSession(AtOnce):
    """See `backends.Session`. `depth` is 1; ncnn takes one frame at a time."""

    backend = NAME

    def __init__(self, bundle: Bundle, variant: Variant, options: SessionOptions) -> None:
        super().__init__()
        ncnn: Any = need("ncnn")
        check_taken(NAME, variant, refuses(variant, options.device))
        self.device = options.device or "cpu"
        if self.device not in DEVICES:
            raise BackendError(f"backend '{NAME}:{self.device}'", got="no such device",
                               expected="one of " + ", ".join(DEVICES))
        graph = onnx_file.read(bundle.file(variant))
        flat = [spec.name for spec in bundle.manifest.inputs if len(spec.shape) < 4]
        self._cut, self._weights = cut(graph, flat), graph.weights
        self._ncnn = ncnn
        self._net: Any = _load(ncnn, self._cut, options)
        less = [option for option in FLOAT16 if getattr(self._net.opt, option, False)]
        self.variant, self.precision = variant.name, "unknown" if less else "fp32"
        self.inputs, self.outputs = bundle.manifest.inputs, bundle.manifest.outputs

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """See `backends.Session.run`."""
        if self._net is None:
            raise BackendError(f"backend '{NAME}': the session is closed", do="open it again")
        check_feeds(self.inputs, feeds)
        values = self._weights | dict(feeds)
        for node in self._cut.before:
            values[node.outputs[0]] = outside.compute(node, values)
        count = len(feeds[self.inputs[0].name])
        frames = [self._compute({x: values[x][i] for x in self._cut.takes}) for i in range(count)]
        values |= {x: np.stack([frame[x] for frame in frames]) for x in self._cut.gives}
        for node in self._cut.after:
            values[node.outputs[0]] = outside.compute(node, values)
        return {spec.name: np.ascontiguousarray(values[spec.name]) for spec in self.outputs}

    def _compute(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """One frame through ncnn: (C, H, W) float32 each, copied on both ways."""
        extractor = self._net.create_extractor()
        planes = {x: np.ascontiguousarray(array, np.float32) for x, array in arrays.items()}
        for x, array in planes.items():  # a Mat does not keep its array: `planes` does, until the copy is made
            extractor.input(self._cut.blobs[x], self._ncnn.Mat(array).clone())
        answers = {}
        for x in self._cut.gives:
            status, answer = extractor.extract(self._cut.blobs[x])
            if status:
                raise BackendError(f"backend '{NAME}': tensor '{x}'", got=f"status {status}", expected="0",
                                   do="ncnn ran out of memory, or the sizes do not fit; try another backend")
            answers[x] = np.array(answer)
        return answers

    def stored(self, feeds: Arrays) -> Iterator[tuple[str, str, int, float]]:
        """Computes a frame layer by layer.

        Gives (name, type, bits of each number of its output as ncnn keeps it, milliseconds) of each layer.
        """
        values = self._weights | dict(feeds)
        for node in self._cut.before:
            values[node.outputs[0]] = outside.compute(node, values)
        extractor = self._net.create_extractor()
        extractor.set_light_mode(False)  # what was computed is kept, so that each step computes one layer more
        planes = {x: np.ascontiguousarray(values[x][0], np.float32) for x in self._cut.takes}
        for x, array in planes.items():
            extractor.input(self._cut.blobs[x], self._ncnn.Mat(array).clone())
        for layer in self._net.layers():
            start = time.perf_counter()
            bits = [extractor.extract(blob, RAW)[1].elembits() for blob in layer.tops]
            yield layer.name, layer.type, min(bits, default=0), 1e3 * (time.perf_counter() - start)

    def close(self) -> None:
        """Frees the graph."""
        self._net = None
        super().close()


def _load(ncnn: Any, made: Cut, options: SessionOptions) -> Any:
    """Gives ncnn's network; it reads files, which are gone afterwards."""
    net = ncnn.Net()
    net.opt.num_threads, net.opt.use_vulkan_compute = options.threads or cpus(), False
    if not options.spinning:
        net.opt.openmp_blocktime = 0
    for option in FLOAT16:
        if hasattr(net.opt, option):
            setattr(net.opt, option, False)
    with tempfile.TemporaryDirectory(prefix="epee-") as folder:
        layers, data = Path(folder) / "net.param", Path(folder) / "net.bin"
        layers.write_text(made.param, encoding="ascii")
        data.write_bytes(made.weights)
        if net.load_param(str(layers)) or net.load_model(str(data)):
            raise Unsupported(f"backend '{NAME}'", got="layers that this ncnn does not load",
                              do="upgrade ncnn, or try another backend")
    return net
