"""Engines for a bundle that is being written: `--engine tensorrt-rtx:sm86,sm89`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from .. import machine
from ..bundle import sha256
from ..manifest import Variant
from .building import build
from .libraries import EngineError, check_target, module_name
from .manifest import EngineFile, EngineSettings

SHORT = {"tensorrt-rtx": "rtx", "tensorrt": "trt"}
"""Library -> what it is called in the names of files and variants."""


def parse_engine(text: str) -> tuple[str, tuple[str, ...]]:
    """Reads `LIBRARY:SM,SM`, e.g. `tensorrt-rtx:sm86,sm89` -> (`tensorrt-rtx`, (`sm86`, `sm89`)).

    Raises:
        EngineError: not that form, a library that is not installed, or a GPU that it does not build for elsewhere.
    """
    library, _, rest = text.strip().partition(":")
    module_name(library)
    words = [word for word in rest.split(",") if word.strip()]
    if not words:
        raise EngineError(f"engine '{text}'", got="no compute capability",
                          expected="LIBRARY:SM, several with commas, e.g. tensorrt-rtx:sm86,sm89")
    return library, tuple(dict.fromkeys(check_target(library, word) for word in words))


def takes(variant: Variant) -> bool:
    """Whether engines are built of a variant: all ONNX but INT8 that was made for CPUs, which TensorRT refuses."""
    made_for_it = any(target.startswith("tensorrt") for target in variant.targets) or variant.name.endswith("s8s8")
    return variant.kind == "onnx" and (variant.precision != "int8" or made_for_it)


def add_engines(folder: Path, variants: Iterable[Variant], text: str, say: Callable[[str], None] = lambda line: None,
                *, settings: EngineSettings | None = None,
                refuse: Callable[[str, EngineError], None] | None = None) -> list[Variant]:
    """Builds an engine of each variant that TensorRT takes, for each GPU named, into the folder.

    Args:
        folder: the bundle's, with the variants' ONNX files in it.
        variants: of the bundle; those that `takes` says no to are passed over.
        text: `LIBRARY:SM,SM`, see `parse_engine`.
        say: is told each engine before it is built.
        settings: see EngineSettings.
        refuse: is told the name of an engine that cannot be built, and why; it is then left out. Without it the
            error is raised.

    Returns:
        The engines as variants for the manifest, to stand behind the others.

    Raises:
        EngineError: `text` makes no sense here, or an engine cannot be built.
    """
    library, capabilities = parse_engine(text)
    added = []
    for variant in filter(takes, variants):
        for capability in capabilities:
            name = f"{variant.name}-{SHORT[library]}-{capability}"
            say(f"engine {name}")
            try:
                built = build(folder / variant.file, library, capability, source=variant.name,
                              precision=variant.precision, settings=settings)
            except EngineError as error:
                if refuse is None:
                    raise
                refuse(name, error)
                continue
            added.append(describe(built, built.write(folder / f"{name}.engine"), variant))
    return added


def describe(built: EngineFile, path: Path, source: Variant) -> Variant:
    """Gives the manifest's entry of an engine that lies at `path`. Its answers are held to its source's tolerance."""
    facts = built.manifest
    return replace(source, name=path.stem, file=path.name, kind="engine", sha256=sha256(path),
                   bytes=path.stat().st_size, built_with={"epee": machine.version("epee"), **facts.to_json()},
                   parity={}, targets=(f"{facts.library}:{facts.compute_capability}",), extra={})
