"""Model: an opened bundle to call on frames, and to stream a source through.

    model = epee.open("street-nano")
    result = model(frame)                     # one frame
    for result in model.stream("drive.mp4"):  # a source, decoded and computed in threads
        show(result.overlay())

    faces = epee.open("faces.epee")           # a generator
    picture = faces.generate(seed=7).picture
    for result in faces.stream("latents:walk?seed=7&loop=240"):
        show(result.picture)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from . import pixels
from .answering import Engine, warm_up
from .backends import Session, open_session
from .batching import Batching, choose
from .bundle import Bundle
from .errors import BackendError
from .frames import Arrays, Frame, Result
from .manifest import Manifest
from .sources import Opened, Source, open_source
from .stream import Crew
from .tiles import Tiles
from .timing import cpus, now_s

MOST_IN_FLIGHT = 4


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

    def __call__(self, image: NDArray[Any] | Frame, *, tiles: Tiles | None = None) -> Result:
        """What the network says of one frame.

        Args:
            image: (H, W, 3) uint8 BGR of any size; grey, BGRA and uint16 arrays are expanded (`pixels.expand`).
            tiles: a frame of another size than the network's goes through in tiles; None leaves it to the bundle.

        Raises:
            DataError: another shape or type, a model that takes no frames, or no tiles.
        """
        frame = image if isinstance(image, Frame) else Frame(pixels.expand(np.asarray(image)), captured_s=now_s())
        return self._answer(frame, self._enter(), {}, tiles)

    def generate(self, seed: int = 0, *, label: str | Sequence[str] = (), truncation: float = 1.0,
                 grid_wh: tuple[int, int] = (1, 1), scale: int = 1) -> Result:
        """What a generator makes of a seed: `result.picture` is one picture, or a grid of them.

        Args:
            seed: the same gives the same pictures everywhere.
            label: names of classes that the pictures take in turn; none takes all.
            truncation: above 0, at most 2; below 1 pictures are more alike and more typical.
            grid_wh: columns and rows.
            scale: pictures are enlarged so many times, pixel by pixel.

        Raises:
            DataError: a bundle that is no generator.
            ConfigError: a value that makes no sense, a class that does not exist.
        """
        from .sources.latent import LatentSource
        from .sources.latent_options import LatentOptions

        labels = (label,) if isinstance(label, str) else tuple(label)
        options = LatentOptions("seeds", seed, grid_wh=grid_wh, scale=scale, truncation=truncation, label=labels)
        return self(next(iter(LatentSource(options, self.manifest))))

    def stream(self, source: Source | Iterable[NDArray[Any] | Frame] | str | int | os.PathLike[str], *,
               prepare: Callable[[Result], None] | None = None, limit: int | None = None,
               stop: threading.Event | None = None, tiles: Tiles | None = None) -> Iterator[Result]:
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
            tiles: see `__call__`.
        """
        with ExitStack() as opened:
            if isinstance(source, (str, int, os.PathLike)):
                source = opened.enter_context(open_source(source, manifest=self.manifest))
            crew = opened.enter_context(self.crew(source, prepare=prepare, limit=limit, stop=stop,
                                                  tiles=tiles))
            if getattr(source, "live", False):
                opened.callback(cast(Source, source).close)  # before the crew is left: a worker may wait inside it
            yield from crew

    def crew(self, source: Source | Iterable[NDArray[Any] | Frame], *, prepare: Callable[[Result], None] | None = None,
             keep: Callable[[Frame], bool] | None = None, limit: int | None = None,
             stop: threading.Event | None = None, tiles: Tiles | None = None) -> Crew[tuple[Frame, Engine], Result]:
        """The threads behind `stream`, not yet started; an opened live source has to be closed before they are left.

        Args:
            keep: says on a worker, before anything is computed, whether a frame is still worth it.
        """
        live = bool(getattr(source, "live", False))
        carried: Arrays = {}

        def work(entered: tuple[Frame, Engine]) -> Result | None:
            frame, engine = entered
            if keep is not None and not keep(frame):
                engine.leave()
                return None
            result = self._answer(frame, engine, carried, tiles)
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
        """Runs black frames or empty latents, so that the first real one takes no longer than the others."""
        warm_up(self._engine, runs)

    @property
    def size_wh(self) -> tuple[int, int] | None:
        """Width and height of the frames that the network takes, or None where any size will do, or it takes none."""
        spec = self.manifest.frame_input
        return None if spec is None or spec.size_hw is None else (spec.size_hw[1], spec.size_hw[0])

    def close(self) -> None:
        """Frees the graph, after the frames that are inside it."""
        self._engine.retire()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _workers(self) -> int:
        """As many as compute; one more where a single request computes, to decode and draw meanwhile.

        Streams that share the session divide them: frames that wait for their turn only grow old. Where something is
        carried from frame to frame it is one, which has them in order.
        """
        if self.manifest.carried:
            return 1
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

    def _answer(self, frame: Frame, engine: Engine, carried: Arrays, tiles: Tiles | None) -> Result:
        try:
            return engine.answer(frame, carried, tiles)
        finally:
            engine.leave()


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

    Args:
        live: whether a stream has one frame in work at most: a single camera's frame is soonest done on all threads,
            and where something is carried from frame to frame, the next one waits for it.
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
