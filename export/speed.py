"""How fast graphs answer on this CPU, before they are in a bundle: in ONNX Runtime, or else in OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runtime import backends, bundle
from ..runtime.errors import ExportError
from ..runtime.machine import cpu
from ..runtime.manifest import Tolerance, Variant
from ..runtime.stopwatch import time_variants
from ..runtime.variants import saturates
from .candidate import Candidate
from .exam import answers_of
from .samples import Sample, stacked
from .schemes import Scheme
from .scratch import scratch

OTHER = "openvino"
"""The runtime that is asked where ONNX Runtime is no faster."""


def cannot_time(scheme: Scheme) -> str:
    """Why the scheme's speed cannot be measured on this CPU, or '' where it can."""
    if not scheme.x86:
        return f"its targets ({', '.join(scheme.targets)}) are not here; `epee tune` decides on the device"
    here = cpu()
    if here["arch"] not in ("x86_64", "AMD64", "x86"):
        return f"this CPU is {here['arch']}; `epee tune` decides on the device"
    return saturates(scheme.name, here)


def beside_float(candidate: Candidate, model: Any, samples: Sequence[Sample], ms: float,
                 float_ms: float) -> tuple[bool, str]:
    """Whether an INT8 graph is worth keeping: faster than float32, the next precision on a CPU, in one runtime here.

    A graph that ONNX Runtime has no INT8 kernels for (a PRelu, a transposed convolution) may well be fast in OpenVINO.

    Args:
        ms, float_ms: of both in ONNX Runtime.

    Returns:
        The answer, and why in words.
    """
    words = f"than fp32 in ONNX Runtime here: {ms:.2f} ms against {float_ms:.2f} ms"
    if ms < float_ms:
        return True, f"faster {words}"
    if not backends.probe(OTHER).available:
        return False, f"not faster {words}"
    try:
        timed = frame_ms(candidate, {"fp32": candidate.model, "int8": model}, samples, OTHER)
    except ExportError as error:
        return False, f"not faster {words}; {error}"
    faster = timed["int8"] < timed["fp32"]
    return faster, (f"not faster {words}{', but' if faster else ', nor'} in OpenVINO: {timed['int8']:.2f} ms against "
                    f"{timed['fp32']:.2f} ms")


def frame_ms(candidate: Candidate, models: Mapping[str, Any], samples: Sequence[Sample],
             backend: str = "onnxruntime") -> dict[str, float]:
    """Milliseconds a frame of graphs by name, taking turns in a process of their own.

    Raises:
        ExportError: one of them does not run.
    """
    with scratch("epee-speed-") as place:
        with bundle.writing(place / "speed.epee") as folder:
            variants = [_variant(folder, name, model) for name, model in models.items()]
            goldens = {**stacked(samples), **answers_of(candidate.model, samples)}
            bundle.save(folder, candidate.manifest(variants, {}), goldens)
        opened = bundle.Bundle.open(place / "speed.epee")
        timings = time_variants(opened, [(backend, name) for name in models])
    for timing in timings:
        if timing.ms is None:
            raise ExportError(f"variant '{timing.variant}' does not run in {backend}", got=timing.wrong)
    return {timing.variant: float(timing.ms or 0) for timing in timings}


def _variant(folder: Path, name: str, model: Any) -> Variant:
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return Variant(name, path.name, "onnx", name, bundle.sha256(path), path.stat().st_size, tolerance=Tolerance(0.0))
