"""Engines for the GPU at hand, built on the device itself into the user's cache; bundles are never written to."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from .. import cuda, machine
from ..bundle import Bundle, sha256
from ..errors import EpeeError
from ..manifest import Variant
from .building import Progress, build
from .libraries import EngineError, load
from .manifest import EngineManifest, EngineSettings, write_whole


@dataclass(frozen=True)
class Engine:
    """An engine in a file: where it is, what it is, and whether it had to be built just now."""

    path: Path
    manifest: EngineManifest
    fresh: bool = False


def cache_folder() -> Path:
    """The folder `engines` in epee's cache folder of this user, see `machine.cache_folder`."""
    return machine.cache_folder() / "engines"


def cached(bundle: Bundle, variant: Variant, library: str, gpu: cuda.Gpu,
           settings: EngineSettings | None = None) -> Engine | None:
    """The engine of an `onnx` variant that was built on this machine for a GPU before, or None.

    Raises:
        EngineError: the library is not installed.
    """
    held = read(_place(bundle, variant, library, gpu, settings or EngineSettings()))
    return held if held is not None and held.manifest.source_sha256 == variant.sha256 else None


def build_for_device(bundle: Bundle, variant: Variant, library: str, *, device: int = 0,
                     settings: EngineSettings | None = None, progress: Progress | None = None) -> Engine:
    """Gives an engine of the variant for a GPU of this machine, from the cache where it holds one.

    Args:
        bundle, variant: what to build from; an `onnx` variant.
        library: `tensorrt-rtx` or `tensorrt`.
        device: CUDA's number of the GPU.
        settings: see EngineSettings; an engine of other settings is another engine.
        progress: see `build`.

    Raises:
        EngineError: the library is not installed or refuses the graph, or the cache cannot be written.
        BackendError: there is no GPU here.
    """
    if variant.kind != "onnx":
        raise EngineError(f"engine of variant '{variant.name}'", got=f"kind {variant.kind}", expected="kind onnx")
    settings = settings or EngineSettings()
    gpu = next((gpu for gpu in cuda.gpus() if gpu.index == device), None)
    if gpu is None:
        raise EngineError(f"GPU {device}", got="no such GPU", expected=", ".join(g.device for g in cuda.gpus()))
    source = bundle.file(variant)
    held = cached(bundle, variant, library, gpu, settings)
    if held is not None:
        return held
    path = _place(bundle, variant, library, gpu, settings)
    cuda.call("cudaSetDevice", gpu.index)  # the builder takes the current one
    timings = cache_folder() / f"{_device(library, gpu)}.timings" if library == "tensorrt" else None
    built = build(source, library, gpu.capability, source=variant.name, precision=variant.precision,
                  settings=settings, timing_cache=timings, progress=progress)
    built.write(path)
    facts = {**built.manifest.to_json(), "sha256": sha256(path)}
    write_whole(path.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    return Engine(path, built.manifest, fresh=True)


def read(path: Path) -> Engine | None:
    """Gives the engine at `path`, or None where it is not there whole, with its manifest beside it."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if facts["sha256"] == sha256(path):
            return Engine(path, EngineManifest.from_json(facts, path.name))
    except (OSError, ValueError, KeyError, TypeError, EpeeError):
        pass  # nothing there, or cut off in the middle: it is built again
    return None


def _place(bundle: Bundle, variant: Variant, library: str, gpu: cuda.Gpu, settings: EngineSettings) -> Path:
    """Where the engine lies, by bundle, variant, library, its version, GPU and settings."""
    return cache_folder() / bundle.digest() / f"{variant.name}-{_device(library, gpu)}{_suffix(settings)}.engine"


def _device(library: str, gpu: cuda.Gpu) -> str:
    return f"{library}-{load(library).__version__}-{_plain(gpu.name)}-{gpu.capability}"


def _suffix(settings: EngineSettings) -> str:
    """What distinguishes an engine of other settings; '' for the usual ones."""
    if settings == EngineSettings():
        return ""
    flags = "v" * settings.version_compatible + "h" * settings.hardware_compatible
    return f"-b{settings.batch}-w{settings.workspace_mb}{flags and '-' + flags}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
