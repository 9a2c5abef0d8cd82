"""Schemes of INT8: how each kind of target wants its bytes."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass

HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that the time goes into."""
LIGHT = ("Add", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Resize", "Mul", "LeakyRelu",
         "PRelu", "Pad")
"""Operators that are computed in bytes where their neighbours are."""


@dataclass(frozen=True)
class Scheme:
    """How a kind of target wants its bytes.

    Attributes:
        name: of the variant.
        signed: activations are QInt8 with zero point 0, else QUInt8 with any zero point.
        everywhere: light operators and outputs of convolutions are quantised too, as CPU kernels need it; else the
            inputs of heavy operators alone, which is how TensorRT wants to fuse them.
        bias: quantised to int32; TensorRT's parser refuses that.
        reduce_range: weights have 7 bits, so that sums of two products fit into 16 bits (x86 without VNNI).
        targets: as in the manifest.
        x86: whether this kind of CPU is its target, so that it can be timed on one.
    """

    name: str
    signed: bool
    everywhere: bool
    bias: bool
    reduce_range: bool
    targets: tuple[str, ...]
    x86: bool

    @property
    def operators(self) -> tuple[str, ...]:
        """Operators whose tensors are quantised."""
        return HEAVY + LIGHT if self.everywhere else HEAVY


SCHEMES = {s.name: s for s in (
    Scheme("int8-u8s8", False, True, True, False, ("cpu",), True),
    Scheme("int8-s8s8", True, False, False, False, ("tensorrt", "arm"), False),
    Scheme("int8-u8s8-rr", False, True, True, True, ("cpu-without-vnni",), True))}
"""Variant -> scheme."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the quantiser's prints and advice off the screen; errors still raise."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.root.setLevel(level)
