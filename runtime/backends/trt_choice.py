"""Which engine answers for a variant on the GPU at hand, and what to say where none does."""

from __future__ import annotations

import sys
from pathlib import Path

from .. import cuda
from ..bundle import Bundle
from ..engines.adding import takes
from ..engines.cached import build_for_device, cache_folder, cached
from ..engines.libraries import INSTALL, EngineError, installed, load
from ..engines.manifest import EngineManifest
from ..errors import BackendError
from ..manifest import Variant
from ..variants import BF16


def refuses(library: str, variant: Variant) -> str:
    """Why the library never takes the variant: an engine of the other one, INT8 that was made for CPUs, or bf16."""
    if variant.kind == "engine":
        ours = any(target.partition(":")[0] == library for target in variant.targets)
        return "" if ours else f"an engine for {', '.join(variant.targets) or 'nothing'}, expected one of {library}"
    if variant.precision == BF16:
        return "an fp32 file in bf16, expected fp32; --precision fp16 is what a GPU is fast in"
    return "" if takes(variant) else "INT8 that was made for CPUs, expected int8-s8s8"


def ready(library: str, bundle: Bundle, variant: Variant) -> bool:
    """Whether an engine of the variant is at hand for a GPU of this machine, so that nothing has to be built."""
    if variant.kind == "onnx" and not (cache_folder() / bundle.digest()).is_dir() \
            and all(other.kind != "engine" for other in bundle.manifest.variants):
        return False  # the library is large, and need not be loaded to know
    try:
        gpus = _gpus(library)
        return any((variant.kind == "engine" and fits(engine_facts(library, bundle, variant), gpu))
                   or _held(library, bundle, variant, gpu) is not None for gpu in gpus)
    except BackendError:
        return False


def choose(library: str, bundle: Bundle, variant: Variant, device: str) -> tuple[Path, EngineManifest, cuda.Gpu]:
    """Gives the engine's file, what built it, and the GPU.

    An `engine` variant has to fit. For an `onnx` variant the bundle's own engine of it is taken where it fits, else
    one is built into the user's cache.

    Raises:
        BackendError: the library is not installed, there is no such GPU, or the engine is for another one.
    """
    facts = engine_facts(library, bundle, variant) if variant.kind == "engine" else None
    try:
        gpus = _gpus(library)
    except BackendError as error:
        if facts is not None:
            raise not_here(bundle, variant, facts, str(error)) from None
        raise EngineError(f"backend '{library}' does not open '{variant.name}'", got=str(error),
                          do="`epee doctor` lists what works here") from None
    gpu = _named(library, device, gpus)
    if facts is not None:
        if not fits(facts, gpu):
            raise not_here(bundle, variant, facts, f"{gpu.name}, {gpu.capability}")
        return bundle.file(variant), facts, gpu
    held = _held(library, bundle, variant, gpu)
    if held is not None:
        return *held, gpu
    with _Line(f"building the {library} engine of '{variant.name}' for {gpu.name}, once") as line:
        engine = build_for_device(bundle, variant, library, device=gpu.index, progress=line)
    return engine.path, engine.manifest, gpu


def _held(library: str, bundle: Bundle, variant: Variant, gpu: cuda.Gpu) -> tuple[Path, EngineManifest] | None:
    """The engine of an `onnx` variant that need not be built: the bundle's own, else the cache's; or None."""
    version = load(library).__version__
    for other in bundle.manifest.variants:
        if other.kind == "engine" and other.built_with.get("source") == variant.name:
            facts = EngineManifest.from_json(other.built_with, f"variant '{other.name}'")
            if (facts.library, facts.library_version) == (library, version) and fits(facts, gpu):
                return bundle.file(other), facts
    engine = cached(bundle, variant, library, gpu) if variant.kind == "onnx" else None
    return None if engine is None else (engine.path, engine.manifest)


def engine_facts(library: str, bundle: Bundle, variant: Variant) -> EngineManifest:
    """What an `engine` variant says of itself. Raises EngineError where it is for another library."""
    facts = EngineManifest.from_json(variant.built_with, f"variant '{variant.name}'")
    if facts.library != library:
        raise EngineError(f"backend '{library}': variant '{variant.name}'", got=f"an engine of {facts}",
                          expected=f"an engine of {library}", do=offer(bundle, facts))
    return facts


def fits(facts: EngineManifest, gpu: cuda.Gpu) -> bool:
    """Whether the engine is for that GPU. Only opening it makes sure."""
    newer = facts.hardware_compatible == "yes" and int(gpu.capability[2:]) >= int(facts.compute_capability[2:])
    return facts.compute_capability == gpu.capability or newer


def not_here(bundle: Bundle, variant: Variant, facts: EngineManifest, got: str) -> EngineError:
    """The error of an engine that does not open here: what it was built for, and what to take instead."""
    name = variant.name if variant.kind == "engine" else f"the engine of '{variant.name}'"
    return EngineError(f"{name}, built by {facts}, does not open here", got=got, do=offer(bundle, facts))


def offer(bundle: Bundle, facts: EngineManifest) -> str:
    """What to take instead of an engine: the ONNX variant that it was built from."""
    names = [v.name for v in bundle.manifest.variants if v.kind == "onnx"]
    name = facts.source if facts.source in names else next(iter(names), "")
    return f"--precision {name} takes the ONNX variant, which other backends run too" if name else "export it again"


def _gpus(library: str) -> tuple[cuda.Gpu, ...]:
    if not installed(library):
        raise EngineError(f"library '{library}' is not installed", do=INSTALL[library])
    return cuda.gpus()


def _named(library: str, device: str, gpus: tuple[cuda.Gpu, ...]) -> cuda.Gpu:
    by_name = {gpu.device: gpu for gpu in gpus} | {"": gpus[0], "cuda": gpus[0]}
    if device not in by_name:
        raise EngineError(f"backend '{library}:{device}'", got="no such GPU",
                          expected="one of " + ", ".join(gpu.device for gpu in gpus))
    return by_name[device]


class _Line:
    """One line on standard error while an engine is built, which may take minutes; only on a terminal."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, phase: str, done: int, count: int) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{self.text}: {phase}, {done} of {count}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *exc: object) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
