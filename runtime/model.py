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
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from . import pixels
from .backends import Session, open_session
from .batching import Batching, choose
from .bundle import Bundle
from .errors import BackendError, DataError
from .frames import Frame, Result
from .manifest import Manifest, TensorSpec
from .sources import Opened, Source, open_source
from .stream import Crew
from .timing import cpus, now_s, timed
from .turns import Turns

MOST_IN_FLIGHT = 4


class Engine:
    """An opened session that is closed after its last frame; see `Model.swap`."""

    def __init__(self, session: Session, manifest: Manifest, most: int = 1) -> None:
        self.session, self.manifest = session, manifest
        self.spec: TensorSpec | None = None
        self.turns = Turns(session.run, session.depth, most)
        self._users, self._retired = 0, False
        self._lock = threading.Lock()

    def enter(self) -> bool:
        """Counts a frame that will go through it; False where it was retired already."""
        with self._lock:
            self._users += not self._retired
            return not self._retired

    def leave(self) -> None:
        """The frame is through; closes the session after the last one."""
        with self._lock:
            self._users -= 1
            last = self._retired and not self._users
        if last:
            self.session.close()

    def retire(self) -> None:
        """Takes no more frames; closes the session now or after the last one."""
        with self._lock:
            last = not self._retired and not self._users
            self._retired = True
        if last:
            self.session.close()

    def answer(self, frame: Frame) -> Result:
        """What the network says of a frame."""
        if self.spec is None:
            self.spec = frame_spec(self.manifest)
        times_ms = {"decode": frame.decode_ms} if frame.decode_ms else {}
        spec, fitted = self.spec, frame.image
        if spec.size_hw is not None and frame.size_hw != spec.size_hw:
            with timed(times_ms, "fit"):
                fitted = pixels.fit(fitted, spec.size_hw, self.manifest.fit)
        feeds = {spec.name: np.ascontiguousarray(fitted)[None]}
        with timed(times_ms, "infer"):
            outputs = self.turns(feeds)
        return Result(frame, {name: array[0] for name, array in outputs.items()}, self.manifest, times_ms)


class Model:
    """An opened bundle. A context manager; may be called from several threads, and shared by several streams.

    Requests of all threads take turns, first come, first served, at most `session.depth` at a time.

    Attributes:
        session: the expert's door: `model.session.run({"frame": batch})`.
        manifest: what the bundle says of itself: classes, colours, tensors, fit.
        batching: whether waiting requests go through the network together; see `share`.
    """

    def __init__(self, session: Session, manifest: Manifest) -> None:
        self._engine = Engine(session, manifest)
        self.batching = Batching(reason="one stream")
        self.streams = 1

    @property
    def session(self) -> Session:
        """What computes now; another one after `swap`."""
        return self._engine.session

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself; another one after `swap`."""
        return self._engine.manifest

    def __call__(self, image: NDArray[Any] | Frame) -> Result:
        """What the network says of one frame.

        Args:
            image: (H, W, 3) uint8 BGR of any size; grey, BGRA and uint16 arrays are expanded (`pixels.expand`).

        Raises:
            DataError: another shape or type, or a model that takes no frames.
        """
        frame = image if isinstance(image, Frame) else Frame(pixels.expand(np.asarray(image)), captured_s=now_s())
        return self._answer(frame, self._enter())

    def stream(self, source: Source | Iterable[NDArray[Any] | Frame] | str | int | os.PathLike[str], *,
               prepare: Callable[[Result], None] | None = None, limit: int | None = None,
               stop: threading.Event | None = None) -> Iterator[Result]:
        """Results of a source's frames, in its order; frames are read and computed ahead in threads.

        Leaving the loop early stops the threads. An error of the source comes after all results before it. Of a live
        source, what the loop is too slow for is dropped: each result is the newest.

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
            crew = opened.enter_context(self.crew(source, prepare=prepare, limit=limit, stop=stop))
            if getattr(source, "live", False):
                opened.callback(cast(Source, source).close)  # before the crew is left: a worker may wait inside it
            yield from crew

    def crew(self, source: Source | Iterable[NDArray[Any] | Frame], *, prepare: Callable[[Result], None] | None = None,
             keep: Callable[[Frame], bool] | None = None, limit: int | None = None,
             stop: threading.Event | None = None) -> Crew[tuple[Frame, Engine], Result]:
        """The threads behind `stream`, not yet started; an opened live source has to be closed before they are left.

        Args:
            keep: says on a worker, before anything is computed, whether a frame is still worth it.
        """
        live = bool(getattr(source, "live", False))

        def work(entered: tuple[Frame, Engine]) -> Result | None:
            frame, engine = entered
            if keep is not None and not keep(frame):
                engine.leave()
                return None
            result = self._answer(frame, engine)
            if prepare is not None:
                prepare(result)
            return result

        frames = ((frame, self._enter()) for frame in islice(_numbered(source), limit))
        return Crew(frames, work, self._workers(), newest=live, stop=stop)

    def share(self, streams: int) -> Batching:
        """Prepares for so many streams at once: each gets its share of the threads, and batches are tried.

        Returns:
            Whether frames of several streams will go through the network together, and what was measured.
        """
        self.streams = streams
        self.batching = choose(self.session, streams)
        self._engine.turns.most = self.batching.most
        return self.batching

    def swap(self, session: Session, manifest: Manifest) -> None:
        """Takes another session between two frames; the old one is closed after its last.

        Frames read from now on go through the new one. The outputs have to be those of the old one.
        """
        if self.streams > 1:
            self.batching = choose(session, self.streams)
        old, self._engine = self._engine, Engine(session, manifest, self.batching.most)
        old.retire()

    def warm_up(self, runs: int = 2) -> None:
        """Runs black frames, so that the first real one takes no longer than the others."""
        warm_up(self._engine, runs)

    @property
    def size_wh(self) -> tuple[int, int] | None:
        """Width and height that the network takes, or None where any size will do."""
        size_hw = frame_spec(self.manifest).size_hw
        return None if size_hw is None else (size_hw[1], size_hw[0])

    def close(self) -> None:
        """Frees the graph, after the frames that are inside it."""
        self._engine.retire()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _workers(self) -> int:
        """As many as compute; one more where a single request computes, to decode and draw meanwhile.

        Streams that share the session divide them: frames that wait for their turn only grow old.
        """
        depth = self.session.depth
        alone = depth if depth > 1 else 2
        return alone if self.streams == 1 else max(1, -(-(depth + 1) // self.streams))

    def _enter(self) -> Engine:
        while True:
            engine = self._engine
            if engine.enter():
                return engine
            if engine is self._engine:
                raise BackendError(f"model '{engine.manifest.name}'", got="closed already", do="open it again")

    def _answer(self, frame: Frame, engine: Engine) -> Result:
        try:
            return engine.answer(frame)
        finally:
            engine.leave()


def warm_up(engine: Engine, runs: int = 2) -> None:
    """Runs black frames through a session, on as many threads as it computes on."""
    h, w = frame_spec(engine.manifest).size_hw or (64, 64)
    black = Frame(np.zeros((h, w, 3), np.uint8))
    with ThreadPoolExecutor(engine.session.depth) as pool:
        list(pool.map(lambda _: engine.answer(black), range(runs * engine.session.depth)))


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


def depth_for(live: bool, threads: int = 0, streams: int = 1) -> int:
    """How many frames to compute side by side: one a thread, up to MOST_IN_FLIGHT.

    Where they are live, one a stream at most: a single camera's frame is soonest done on all threads.
    """
    most = max(1, min(MOST_IN_FLIGHT, threads or cpus()))
    return min(streams, most) if live else most


def _numbered(source: Iterable[Any]) -> Iterator[Frame]:
    """Gives bare images an index and a name; frames pass."""
    expander = Opened("images")
    for index, item in enumerate(source):
        if isinstance(item, Frame):
            yield item
        else:
            yield Frame(expander.bgr(np.asarray(item)), index, expander.name, now_s(), f"{index:06d}")
