"""Other people's programs and graphs: run safely, and given the same frames as the bundle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.bundle import Bundle, sha256
from ..runtime.bundle import save as save_bundle
from ..runtime.errors import DataError, need
from ..runtime.frames import Frame, Result
from ..runtime.manifest import Manifest, TensorSpec, Tolerance, Variant
from ..runtime.sinks import SinkInfo, open_sink
from ..runtime.sources import open_source
from ..runtime.verify import read_goldens
from .children import Failed

__all__ = ["Failed", "as_bundle", "clips", "run"]

SHORT = 8
"""The short clip is so many times shorter than the long one."""
PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
"""ONNX Runtime's name of a type -> numpy's; of inputs."""


def run(command: Sequence[str], timeout_s: float) -> None:
    """Runs a command in a process group of its own, so that what it starts ends with it; its output is thrown away.

    Raises:
        Failed: it is not there, crashed, took longer, or ended with another status than 0.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
                                     start_new_session=True)
        except OSError as error:
            raise Failed(f"command '{command[0]}'", got=error.strerror or str(error)) from None
        try:
            status = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"no end within {timeout_s:g} s") from None
        finally:
            with suppress(ProcessLookupError, PermissionError):  # whatever it left behind, also where all went well
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        said.seek(0)
        lines = said.read().strip().splitlines()
    if status < 0:
        raise Failed(f"the process crashed with {signal.Signals(-status).name}")
    if status:
        raise Failed(f"exit status {status}", got=lines[-1][:300] if lines else None)


@contextmanager
def clips(source: str, frames: int, manifest: Manifest) -> Iterator[list[tuple[Path, int]]]:
    """Gives the beginning of a source and a longer piece of it, each with its number of frames.

    Of a folder of pictures they are folders; of anything else mp4 files.

    Raises:
        EpeeError: the source does not open, or has too few frames.
    """
    with tempfile.TemporaryDirectory(prefix="epee-vs-") as text:
        folder = Path(text)
        if Path(source).is_dir():
            found = _folders(Path(source), folder, frames)
        else:
            found = _videos(source, folder, frames, manifest)
        if found[0][1] >= found[1][1]:
            raise DataError(f"--source '{source}'", got=f"{found[1][1]} frames", expected="two or more",
                            do="name a longer one")
        yield found


def _folders(source: Path, folder: Path, frames: int) -> list[tuple[Path, int]]:
    files = sorted(p for p in source.iterdir() if p.suffix.lower() in PICTURES)[:frames]
    found = []
    for name, count in (("short", max(1, len(files) // SHORT)), ("long", len(files))):
        (folder / name).mkdir()
        for file in files[:count]:
            shutil.copyfile(file, folder / name / file.name)
        found.append((folder / name, count))
    return found


def _videos(source: str, folder: Path, frames: int, manifest: Manifest) -> list[tuple[Path, int]]:
    """Writes both at once, as the frames come."""
    short, long, counts = folder / "short.mp4", folder / "long.mp4", [0, 0]
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source))
        info = SinkInfo("clip", manifest, opened.fps or 25.0)
        sinks = [stack.enter_context(open_sink(str(path), info)) for path in (short, long)]
        for frame in opened:
            result = Result(Frame(frame.image, counts[1], "clip"), {"image": frame.image}, manifest)
            for i, most in enumerate((max(1, frames // SHORT), frames)):
                if counts[i] < most:
                    sinks[i].write(result)
                    counts[i] += 1
            if counts[1] == frames:
                break
    return [(short, counts[0]), (long, counts[1])]


@contextmanager
def as_bundle(name: str, onnx: Path, bundle: Bundle) -> Iterator[Bundle]:
    """Gives an ONNX as a bundle that lasts as long as the block: its inputs are the bundle's golden frames, what ONNX
    Runtime answers are its goldens.

    Raises:
        DataError: ONNX Runtime does not open it, or its inputs are no pictures of a fixed size.
    """
    ort = need("onnxruntime")
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(onnx), settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DataError(f"--vs {name}: ONNX Runtime does not open '{onnx}'",
                        got=" ".join(str(error).split())[:200]) from None
    frames = next(iter(read_goldens(bundle).values()))
    feeds = {i.name: _fitted(name, i, frames) for i in session.get_inputs()}
    answers = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))
    with tempfile.TemporaryDirectory(prefix="epee-vs-") as text:
        folder = Path(text, "rival.epee")
        folder.mkdir()
        file = Path(shutil.copyfile(onnx, folder / "fp32.onnx"))
        variant = Variant("fp32", file.name, "onnx", "fp32", sha256(file), file.stat().st_size,
                          tolerance=Tolerance(min_equal=0.99, max_share=0.02))
        manifest = Manifest(name, "features", _specs(feeds), _specs(answers), (variant,))
        save_bundle(folder, manifest, {**feeds, **answers})
        yield Bundle.open(folder)


def _specs(arrays: dict[str, NDArray[Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, tuple(array.shape), str(array.dtype)) for name, array in arrays.items())


def _fitted(name: str, wanted: Any, frames: NDArray[Any]) -> NDArray[Any]:
    """A golden frame in the size, order of axes and type of a foreign graph's input; floats are 0 to 1."""
    shape = [1 if i == 0 and not isinstance(size, int) else size for i, size in enumerate(wanted.shape)]
    planes = len(shape) == 4 and shape[1] in (1, 3)
    if len(shape) != 4 or not all(isinstance(s, int) for s in shape) or wanted.type not in TYPES or not (
            planes or shape[3] in (1, 3)) or frames.ndim != 4:
        raise DataError(f"--vs {name}: input '{wanted.name}'", got=f"{wanted.shape} {wanted.type}",
                        expected="one picture, (1, 3, H, W) or (1, H, W, 3), of a fixed size",
                        do="export it with fixed sizes")
    h, w = shape[2:] if planes else shape[1:3]
    rows, columns = np.arange(h) * frames.shape[1] // h, np.arange(w) * frames.shape[2] // w
    image = frames[:1, rows][:, :, columns][..., :shape[1] if planes else shape[3]]
    image = np.moveaxis(image, 3, 1) if planes else image
    dtype = TYPES[wanted.type]
    scaled = image if dtype == "uint8" else image.astype(np.float32) / 255
    return np.ascontiguousarray(np.repeat(scaled, shape[0], 0).astype(dtype))
