"""Model: an opened bundle to call on frames, and to stream a source through.

    model = epee.open("street-nano")
    result = model(frame)                     # one frame
    for result in model.stream("drive.mp4"):  # a source, decoded and computed in threads
        show(result.overlay())
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import pixels
from .backends import Session, open_session
from .bundle import Bundle
from .errors import DataError
from .frames import Frame, Result
from .manifest import Manifest, TensorSpec
from .sources import Opened, Source, open_source
from .stream import Crew
from .timing import cpus, now_s, timed

MOST_IN_FLIGHT = 4


class Model:
    """An opened bundle. A context manager; may be called from several threads.

    Attributes:
        session: the expert's door: `model.session.run({"frame": batch})`.
        manifest: what the bundle says of itself: classes, colours, tensors, fit.
    """

    def __init__(self, session: Session, manifest: Manifest) -> None:
        self.session, self.manifest = session, manifest
        self._gate = threading.BoundedSemaphore(session.depth)

    def __call__(self, image: NDArray[Any] | Frame) -> Result:
        """What the network says of one frame.

        Args:
            image: (H, W, 3) uint8 BGR of any size; grey, BGRA and uint16 arrays are expanded (`pixels.expand`).

        Raises:
            DataError: another shape or type, or a model that takes no frames.
        """
        frame = image if isinstance(image, Frame) else Frame(pixels.expand(np.asarray(image)), captured_s=now_s())
        times_ms = {"decode": frame.decode_ms} if frame.decode_ms else {}
        spec, fitted = self._frame_spec, frame.image
        if spec.size_hw is not None and frame.size_hw != spec.size_hw:
            with timed(times_ms, "fit"):
                fitted = pixels.fit(fitted, spec.size_hw, self.manifest.fit)
        feeds = {spec.name: np.ascontiguousarray(fitted)[None]}
        with self._gate, timed(times_ms, "infer"):
            outputs = self.session.run(feeds)
        return Result(frame, {name: array[0] for name, array in outputs.items()}, self.manifest, times_ms)

    def stream(self, source: Source | Iterable[NDArray[Any] | Frame] | str | int | os.PathLike[str], *,
               prepare: Callable[[Result], None] | None = None, limit: int | None = None,
               stop: threading.Event | None = None) -> Iterator[Result]:
        """Results of a source's frames, in its order; frames are read and computed ahead in threads.

        Leaving the loop early stops the threads. An error of the source comes after all results before it.

        Args:
            source: an opened source, what `open_source` takes (opened and closed here), or any iterable of frames
                or images.
            prepare: called with each result on the thread that computed it, e.g. to draw there; results may come to
                it out of order and from several threads at once.
            limit: reads at most so many frames.
            stop: ends the stream when set.
        """
        with ExitStack() as opened:
            if isinstance(source, (str, int, os.PathLike)):
                source = opened.enter_context(open_source(source, size_wh=self.size_wh))
            live = bool(getattr(source, "live", False))

            def work(frame: Frame) -> Result:
                result = self(frame)
                if prepare is not None:
                    prepare(result)
                return result

            frames = islice(_numbered(source), limit)
            yield from opened.enter_context(Crew(frames, work, self._workers(live), ahead=0 if live else 2, stop=stop))

    def warm_up(self, runs: int = 2) -> None:
        """Runs black frames, so that the first real one takes no longer than the others."""
        w, h = self.size_wh or (64, 64)
        black = np.zeros((h, w, 3), np.uint8)
        with ThreadPoolExecutor(self.session.depth) as pool:
            list(pool.map(lambda _: self(black), range(runs * self.session.depth)))

    @property
    def size_wh(self) -> tuple[int, int] | None:
        """Width and height that the network takes, or None where any size will do."""
        size_hw = self._frame_spec.size_hw
        return None if size_hw is None else (size_hw[1], size_hw[0])

    def close(self) -> None:
        """Frees the graph."""
        self.session.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _workers(self, live: bool) -> int:
        """As many as compute; one more where a single request computes, to decode and draw meanwhile."""
        return self.session.depth if self.session.depth > 1 else 2

    @property
    def _frame_spec(self) -> TensorSpec:
        return frame_spec(self.manifest)


def frame_spec(manifest: Manifest) -> TensorSpec:
    """The input that takes frames.

    Raises:
        DataError: the model takes none.
    """
    for spec in manifest.inputs:
        if spec.pixel == "bgr8" or spec.name == "frame":
            return spec
    raise DataError(f"model '{manifest.name}' ({manifest.task})", got="no input that takes frames",
                    expected="inputs " + ", ".join(s.name for s in manifest.inputs), do="use model.session.run({…})")


def open_model(path: str | os.PathLike[str] | Bundle, backend: str = "auto", precision: str = "auto", *,
               threads: int = 0, depth: int = 1) -> Model:
    """Opens a bundle on a backend.

    Args:
        path: a bundle's folder, or the name of one that ships, e.g. `street-nano`.
        backend: `NAME[:DEVICE]`, e.g. `onnxruntime:cuda`, or `auto`.
        precision: a variant's name or precision, or `auto`.
        threads: compute threads in all; 0 leaves it to the backend.
        depth: frames computed side by side on a CPU. 1 gives the shortest time for a single frame; for files,
            `depth_for` gives the most frames a second.

    Raises:
        BundleError, BackendError: it does not open; the message says why.
    """
    bundle = path if isinstance(path, Bundle) else Bundle.open(path)
    return Model(open_session(bundle, backend, precision, threads=threads, depth=depth), bundle.manifest)


def depth_for(live: bool, threads: int = 0) -> int:
    """How many frames to compute side by side: one where they are live, else one a thread, up to MOST_IN_FLIGHT."""
    return 1 if live else max(1, min(MOST_IN_FLIGHT, threads or cpus()))


def _numbered(source: Iterable[Any]) -> Iterator[Frame]:
    """Gives bare images an index and a name; frames pass."""
    expander = Opened("images")
    for index, item in enumerate(source):
        if isinstance(item, Frame):
            yield item
        else:
            yield Frame(expander.bgr(np.asarray(item)), index, expander.name, now_s(), f"{index:06d}")
