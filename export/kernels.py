"""Whether INT8 is what really computes: asked for is not had."""

from __future__ import annotations

from ..runtime.bundle import Bundle
from ..runtime.manifest import Variant
from ..runtime.placement import placement

UNVERIFIED = "int8 asked for, unverified"
"""What a row says where no inspector shows INT8 kernels: the target is not here, or the runtime chose others."""
INSPECTOR = "onnxruntime"
"""Whose profile of a real run is read."""


def shows_int8(bundle: Bundle, variant: Variant) -> bool:
    """Whether a layer with weights computes in INT8, told by ONNX Runtime's profile.

    Raises:
        BackendError: the variant does not open there.
    """
    placed = placement(bundle, INSPECTOR, variant.name)
    return any(node.weighted and node.precision == "int8" for node in placed.nodes)
