"""Which variants a bundle offers: those with a file of their own, and `bf16`, which is the fp32 file computed in less.

`targets` in the manifest say what a variant was made for. They are advice to a reader and to export; what runs is
decided by who takes it (`refuses` of a backend), who answers its goldens, and who is fastest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .bundle import Bundle
from .errors import BackendError
from .manifest import Tolerance, Variant

BF16, BF16_EQUAL = "bf16", 0.99
"""The name of the derived variant, and the least share of golden values that it has to answer equal: bfloat16 keeps
8 bits of each number, so that pixels between two classes may change sides."""
VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")
"""Any of these adds products of bytes without saturating."""
NEEDS_VNNI = "int8-u8s8"
"""The variant that does not answer right without."""


def variants_of(bundle: Bundle) -> tuple[Variant, ...]:
    """The manifest's variants and, behind them, `bf16` where there is an fp32 ONNX file to compute in it."""
    own = bundle.manifest.variants
    source = next((v for v in own if v.kind == "onnx" and v.precision == "fp32"), None)
    if source is None or any(BF16 in (v.name, v.precision) for v in own):
        return own
    tolerance = Tolerance(min(BF16_EQUAL, source.tolerance.min_equal), source.tolerance.max_step)
    return (*own, replace(source, name=BF16, precision=BF16, tolerance=tolerance, parity={}, targets=()))


def choose_variant(bundle: Bundle, precision: str) -> Variant:
    """The variant that `--precision` names: exactly, or the first of that precision; `auto` is the first of all.

    Raises:
        BackendError: the bundle has none such.
    """
    variants = variants_of(bundle)
    if precision == "auto":
        return variants[0]
    for v in variants:
        if v.name == precision:
            return v
    for v in variants:
        if v.precision == precision:
            return v
    raise BackendError(f"bundle '{bundle.manifest.name}': precision '{precision}'", got="not in it",
                       expected="one of " + ", ".join(v.name for v in variants))


def only_plain_onnx(variant: Variant) -> str:
    """Why a backend that reads ONNX files as they are does not take the variant, or ''."""
    if variant.kind != "onnx":
        return f"kind {variant.kind}, expected kind onnx; choose an onnx variant with --precision"
    if variant.precision == BF16:
        return "an fp32 file in bf16, expected fp32; bf16 is computed by --backend openvino"
    return ""


def saturates(variant: str, cpu: Mapping[str, Any], backend: str = "") -> str:
    """Why a variant must not run on a CPU that adds products of bytes in 16 bits, or ''; OpenVINO saturates signed ones
    as well."""
    x86 = cpu["arch"] in ("x86_64", "AMD64", "x86")
    whole = variant != NEEDS_VNNI and (variant, backend) != ("int8-s8s8", "openvino")
    if whole or not x86 or set(VNNI) & set(cpu["flags"]):
        return ""
    return "sums saturate on this CPU, which has no VNNI; int8-u8s8-rr is made for it"
