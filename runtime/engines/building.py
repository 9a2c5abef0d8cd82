"""ONNX in, engine out: needs neither torch nor the onnx package, and with TensorRT-RTX no GPU either."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import cuda
from ..bundle import sha256
from .libraries import EngineError, check_target, listening, load, logger, normal
from .manifest import Batch, EngineFile, EngineManifest, EngineSettings, write_whole

Progress = Callable[[str, int, int], None]
"""Is told what the builder does, how many steps of that are done, and of how many."""
SHOWN = 2
"""Lines of the builder that an error repeats."""


def build(onnx_path: str | os.PathLike[str], library: str = "tensorrt-rtx", compute_capability: str | None = None, *,
          source: str = "", precision: str = "", settings: EngineSettings | None = None,
          timing_cache: Path | None = None, progress: Progress | None = None) -> EngineFile:
    """Builds an engine. The types in the ONNX file decide what is computed in fp32, fp16 or int8.

    Args:
        onnx_path: with its external data, if any, beside it.
        library: `tensorrt-rtx` or `tensorrt`.
        compute_capability: of the GPU it is for, e.g. `sm86`; None is the first GPU of this machine. `tensorrt`
            builds for no other.
        source, precision: what the engine's manifest says of the ONNX file.
        settings: see EngineSettings.
        timing_cache: a file that makes the next build faster; it is read and written. `tensorrt` only: it makes
            TensorRT-RTX ask for a GPU.
        progress: is told what happens; what it raises ends the build and comes out here, Ctrl-C too.

    Raises:
        EngineError: the library is not installed, does not build for that GPU, or refuses the graph; the error has
            its own words, and the node's name where it gives one.
        BackendError: a GPU is needed and none is here.
    """
    settings, path = settings or EngineSettings(), Path(onnx_path)
    trt = load(library)
    capability = _target(library, compute_capability)
    _check(library, path, settings, timing_cache)
    started_s = time.monotonic()
    with listening(library) as lines:
        builder = trt.Builder(logger(library))
        network = builder.create_network(_strong_typing(trt))
        parser = trt.OnnxParser(network, logger(library))
        if not parser.parse_from_file(str(path)):
            said = _said(_parser_lines(parser) or lines)
            raise EngineError(f"{library} refuses {path.name}", got=said,
                              do="leave the bias in float, as int8-s8s8 does" if "has type Int32" in said else "")
        config, monitor = builder.create_builder_config(), _monitor(trt, progress)
        config.progress_monitor = monitor
        batch = _profile(builder, config, network, settings.batch)
        _configure(trt, library, config, capability, settings)
        cache = _read_cache(config, timing_cache)
        blob = builder.build_serialized_network(network, config)
        if monitor.raised is not None:
            raise monitor.raised
        if blob is None:
            raise EngineError(f"{library} builds no engine of {path.name} for {capability}", got=_said(lines))
        if timing_cache is not None:
            write_whole(timing_cache, bytes(cache.serialize()))
    return EngineFile(bytes(blob), EngineManifest(
        library, trt.__version__, capability, sha256(path), precision, source, str(batch),
        f"{time.monotonic() - started_s:.2f}", _yes(settings.version_compatible), _yes(settings.hardware_compatible)))


def _target(library: str, compute_capability: str | None) -> str:
    """The compute capability to build for, checked."""
    if library == "tensorrt-rtx":
        return check_target(library, compute_capability or cuda.gpus()[0].capability)
    here = [gpu.capability for gpu in cuda.gpus()]
    wanted = normal(compute_capability) if compute_capability else here[0]
    if wanted not in here:
        raise EngineError(f"engine for {library}:{wanted}", got=f"a machine with {', '.join(here)}",
                          expected="the GPU that it is for", do=f"run `epee tune BUNDLE --engine {library}` there")
    return wanted


def _check(library: str, path: Path, settings: EngineSettings, timing_cache: Path | None) -> None:
    if not path.is_file():
        raise EngineError("ONNX file", got="nothing there", expected=path)
    if library == "tensorrt":
        return
    for option, given, do in (
            ("version_compatible", settings.version_compatible, "build one for each of its versions"),
            ("hardware_compatible", settings.hardware_compatible, "build one for each compute capability"),
            ("timing_cache", timing_cache is not None, "leave it out; builds take a second")):
        if given:
            raise EngineError(f"{option} of an engine for {library}", got="asked for",
                              expected="tensorrt, which alone has it", do=do)


def _strong_typing(trt: Any) -> int:
    """The network flag that 10.x needs; later versions know no other way of typing."""
    flag = getattr(getattr(trt, "NetworkDefinitionCreationFlag", None), "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _profile(builder: Any, config: Any, network: Any, batch: Batch) -> Batch:
    """Says which batch sizes the engine takes, where the graph leaves them free; gives those that it then takes."""
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    shapes = {tensor.name: tuple(tensor.shape) for tensor in inputs}
    for name, shape in shapes.items():
        if -1 in shape[1:]:
            raise EngineError(f"input '{name}'", got=_sizes(shape), expected="fixed sizes after the first axis",
                              do="export the network with a fixed picture size")
    free = {name: shape for name, shape in shapes.items() if shape[:1] == (-1,)}
    if not free:
        fixed = next((shape[0] for shape in shapes.values() if shape), 1)
        return Batch(fixed, fixed, fixed)
    profile = builder.create_optimization_profile()
    for name, shape in free.items():
        profile.set_shape(name, *((count, *shape[1:]) for count in (batch.least, batch.best, batch.most)))
    config.add_optimization_profile(profile)
    return batch


def _configure(trt: Any, library: str, config: Any, capability: str, settings: EngineSettings) -> None:
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # the inspector then tells each layer's types
    if settings.workspace_mb:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mb << 20)
    if settings.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if settings.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if library == "tensorrt-rtx":
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, capability.upper()), 0)


def _read_cache(config: Any, file: Path | None) -> Any:
    """Gives the timing cache in that file, or an empty one where the library does not take it; None without file."""
    if file is None:
        return None
    cache = config.create_timing_cache(file.read_bytes() if file.is_file() else b"")
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _monitor(trt: Any, progress: Progress | None) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Passes steps on. An exception must not travel through the builder: it is kept, and the build cancelled."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}
            self.raised: BaseException | None = None

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self.steps[phase] = steps

        def phase_finish(self, phase: str) -> None:
            self.steps.pop(phase, None)

        def step_complete(self, phase: str, step: int) -> bool:
            try:
                if progress is not None and self.raised is None:
                    progress(phase, step + 1, self.steps.get(phase, step + 1))
            except BaseException as error:
                self.raised = error
            return self.raised is None

    return Monitor()


def _parser_lines(parser: Any) -> list[str]:
    """What the parser has against the graph: its words, with the node's name and operator."""
    lines = []
    for i in range(parser.num_errors):
        error = parser.get_error(i)
        name, operator = (getattr(error, part, str)() for part in ("node_name", "node_operator"))  # not in every 10.x
        where = f"node '{name}' ({operator}): " if operator else ""
        words = [line for line in error.desc().splitlines() if not line.startswith("[checkMacros")]
        lines.append(where + " ".join(" ".join(words).split()))
    return lines


def _said(lines: Sequence[str]) -> str:
    return " | ".join(line[:400] for line in lines[:SHOWN]) or "no reason given"


def _sizes(shape: Sequence[int]) -> str:
    return "(" + ", ".join("?" if size == -1 else str(size) for size in shape) + ")"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
