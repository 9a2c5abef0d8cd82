"""How fast graphs answer in ONNX Runtime on this CPU, before they are in a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import bundle
from ..runtime.errors import ExportError
from ..runtime.machine import cpu
from ..runtime.manifest import Tolerance, Variant
from ..runtime.stopwatch import time_variants
from ..runtime.variants import saturates
from .candidate import FRAME, Candidate
from .exam import outputs_of
from .schemes import Scheme
from .scratch import scratch


def cannot_time(scheme: Scheme) -> str:
    """Why the scheme's speed cannot be measured on this CPU, or '' where it can."""
    if not scheme.x86:
        return f"its targets ({', '.join(scheme.targets)}) are not here; `epee tune` decides on the device"
    here = cpu()
    if here["arch"] not in ("x86_64", "AMD64", "x86"):
        return f"this CPU is {here['arch']}; `epee tune` decides on the device"
    return saturates(scheme.name, here)


def frame_ms(candidate: Candidate, models: Mapping[str, Any], frames: Sequence[NDArray[Any]]) -> dict[str, float]:
    """Milliseconds a frame of graphs by name, taking turns in a process of their own.

    Raises:
        ExportError: one of them does not run.
    """
    with scratch("epee-speed-") as place:
        with bundle.writing(place / "speed.epee") as folder:
            variants = [_variant(folder, name, model) for name, model in models.items()]
            goldens = {FRAME: np.stack(frames), candidate.output: np.stack(outputs_of(candidate.model, frames))}
            bundle.save(folder, candidate.manifest(variants, {}), goldens)
        opened = bundle.Bundle.open(place / "speed.epee")
        timings = time_variants(opened, [("onnxruntime", name) for name in models])
    for timing in timings:
        if timing.ms is None:
            raise ExportError(f"variant '{timing.variant}' does not run in ONNX Runtime", got=timing.wrong)
    return {timing.variant: float(timing.ms or 0) for timing in timings}


def _variant(folder: Path, name: str, model: Any) -> Variant:
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return Variant(name, path.name, "onnx", name, bundle.sha256(path), path.stat().st_size, tolerance=Tolerance(0.0))
