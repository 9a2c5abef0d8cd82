"""Engines for GPUs that are not here, as further variants of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..runtime.engines import EngineError, add_engines
from .variants import REFUSED, UNMEASURED, Made, Say


def engines_of(folder: Path, made: Sequence[Made], engine: str, say: Say) -> list[Made]:
    """Builds an engine of each variant for each GPU that `engine` names.

    Args:
        folder: the bundle's; engines are written into it.
        made: the ONNX variants that are there.
        engine: `LIBRARY:SM[,SM…]`, e.g. `tensorrt-rtx:sm86,sm89`.
        say: is told each step.

    Returns:
        One entry an engine: `unmeasured`, since its GPU is not here, or `refused` with the builder's words.
    """
    refused: list[Made] = []

    def refuse(name: str, error: EngineError) -> None:
        refused.append(Made(name, name.split("-")[0], None, {}, REFUSED, str(error)))

    added = add_engines(folder, [m.variant for m in made if m.variant], engine, say, refuse=refuse)
    return [*(Made(v.name, v.precision, v, {}, UNMEASURED, "its GPU is not here") for v in added), *refused]
