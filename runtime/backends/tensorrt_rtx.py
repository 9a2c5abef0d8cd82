"""TensorRT-RTX: PCs with NVIDIA RTX cards. Engines come in the bundle or are built here in about a second.

Built, never run: see `trt_session`.
"""

from __future__ import annotations

from ..bundle import Bundle
from ..manifest import Variant
from . import Availability, SessionOptions, trt_choice, trt_session

NAME = "tensorrt-rtx"


def probe() -> Availability:
    """Says which GPUs there are, or what is missing."""
    return trt_session.probe(NAME)


def refuses(variant: Variant, device: str) -> str:
    """See `trt_choice.refuses`."""
    return trt_choice.refuses(NAME, variant)


def open_session(bundle: Bundle, variant: Variant, options: SessionOptions) -> trt_session.TensorRtSession:
    """Opens the variant's engine on `options.device` (the first GPU where it names none).

    Raises:
        BackendError: the library or a GPU is missing, or the engine is for another one; it says which.
    """
    return trt_session.TensorRtSession(NAME, bundle, variant, options)
