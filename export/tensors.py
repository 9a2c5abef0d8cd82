"""The tensors of fused graphs: their names, and what a manifest says of them."""

from __future__ import annotations

from ..runtime.manifest import TensorSpec

FRAME, MASK, IMAGE, LOGITS = "frame", "mask", "image", "logits"
LEVELS = "levels"
"""A picture's grey levels before they are rounded: what parity compares."""
LATENT, LABEL, TRUNCATION, STATE = "z", "label", "truncation", "state"


def frame_spec(size_hw: tuple[int, int], batch: int | None = None) -> TensorSpec:
    """A camera's bytes; `batch` is None where it is free, or the number of frames that the graph insists on."""
    return TensorSpec(FRAME, (batch, *size_hw, 3), "uint8", "NHWC", "bgr8")


def mask_spec(size_hw: tuple[int, int], batch: int | None = None) -> TensorSpec:
    """Class ids."""
    return TensorSpec(MASK, (batch, *size_hw), "uint8", "NHW", "class_id")


def image_spec(size_hw: tuple[int, int], batch: int | None = None) -> TensorSpec:
    """A picture's bytes."""
    return TensorSpec(IMAGE, (batch, *size_hw, 3), "uint8", "NHWC", "bgr8")


def latent_specs(z: int, classes: int) -> tuple[TensorSpec, ...]:
    """What a generator takes: a latent, a truncation, and a label where it has classes."""
    label = (TensorSpec(LABEL, (None,), "int64", "N"),) if classes else ()
    return TensorSpec(LATENT, (None, z), "float32", "NZ"), TensorSpec(TRUNCATION, (None,), "float32", "N"), *label
