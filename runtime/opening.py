"""Opens what a run needs, from cameras as they are configured to streams that are ready to run."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from .bundle import Bundle
from .model import Model, depth_for, open_model
from .mosaic import Mosaic
from .pipeline import Run, RunOptions
from .sinks import Sink, SinkInfo, open_sink
from .site import MOSAIC, Camera
from .sources import Source, open_source
from .stats import RunStats
from .swap import Replacing

Key = tuple[str, str, str, int]


@dataclass(frozen=True)
class Ready:
    """One stream, opened.

    Attributes:
        bundles: what watches its bundle.
    """

    camera: Camera
    name: str
    model: Model
    source: Source
    sinks: tuple[Sink, ...]
    bundles: Replacing

    def run(self, options: RunOptions, stop: threading.Event,
            progress: Callable[[RunStats], None] | None = None) -> Run:
        """The run of this stream, not yet started."""
        run = Run(self.model, self.source, self.sinks, options, stop, progress)
        run.stats.source, run.stats.swaps = self.name, self.bundles.counts
        return run


@dataclass
class Streams:
    """All streams of a run, and the mosaics that some of them share."""

    ready: list[Ready] = field(default_factory=list)
    mosaics: list[Mosaic] = field(default_factory=list)


def open_streams(cameras: Sequence[Camera], opened: ExitStack, *, wait: bool = False,
                 asked: Callable[[], int] = lambda: 0) -> Streams:
    """Opens sources, models and sinks; `opened` closes them, whatever happens.

    Cameras with the same bundle, backend, precision and threads share one model, which several streams use by turns.

    Args:
        wait: whether a live source that is not there yet is waited for, instead of being an error.
        asked: how often a person asked for the bundles to be opened again.

    Raises:
        EpeeError: something does not open.
    """
    bundles = {camera.bundle: Bundle.open(camera.bundle) for camera in cameras}
    sources = [opened.enter_context(open_source(camera.source, seed=camera.seed, options=camera.stream_options(wait),
                                                manifest=bundles[camera.bundle].manifest)) for camera in cameras]
    names = _names(cameras, sources)
    for name, source in zip(names, sources, strict=True):
        source.name = name  # what its frames will say they come from
    models = _open_models(cameras, sources, bundles, opened, asked)
    streams = Streams()
    tiles = _open_mosaics(cameras, names, models, streams, opened)
    for camera, name, source in zip(cameras, names, sources, strict=True):
        model, bundle_watch = models[_key(camera)]
        session = model.session
        info = SinkInfo(name, model.manifest, source.fps, source.live, source.path, session.backend, session.device,
                        session.precision, lambda source=source: source.status)  # type: ignore[misc]
        sinks = [opened.enter_context(open_sink(text, info)) for text in camera.sinks if not text.startswith(MOSAIC)]
        streams.ready.append(Ready(camera, name, model, source, (*sinks, *tiles.get(name, ())), bundle_watch))
    return streams


def _open_models(cameras: Sequence[Camera], sources: Sequence[Source], bundles: dict[str, Bundle], opened: ExitStack,
                 asked: Callable[[], int]) -> dict[Key, tuple[Model, Replacing]]:
    models: dict[Key, tuple[Model, Replacing]] = {}
    for camera in cameras:
        key = _key(camera)
        if key in models:
            continue
        sharing = [source for other, source in zip(cameras, sources, strict=True) if _key(other) == key]
        alone = bool(bundles[camera.bundle].manifest.carried) or all(source.live for source in sharing)
        depth = depth_for(alone, camera.threads, len(sharing))
        model = opened.enter_context(open_model(bundles[camera.bundle], camera.backend, camera.precision,
                                                threads=camera.threads, depth=depth))
        model.warm_up()
        model.share(len(sharing))
        models[key] = model, opened.enter_context(Replacing(
            model, camera.bundle, camera.backend, camera.precision, threads=camera.threads, depth=depth, asked=asked))
    return models


def _open_mosaics(cameras: Sequence[Camera], names: Sequence[str], models: dict[Key, tuple[Model, Replacing]],
                  streams: Streams, opened: ExitStack) -> dict[str, list[Sink]]:
    """Opens a mosaic for each set of cameras, and gives each camera's tiles by its name."""
    by_text: dict[str, list[int]] = {}
    for i, camera in enumerate(cameras):
        for text in camera.sinks:
            if text.startswith(MOSAIC):
                by_text.setdefault(text.removeprefix(MOSAIC), []).append(i)
    tiles: dict[str, list[Sink]] = {}
    for text, members in by_text.items():
        manifest = models[_key(cameras[members[0]])][0].manifest
        mosaic = opened.enter_context(Mosaic([text], [names[i] for i in members], manifest))
        streams.mosaics.append(mosaic)
        for i, tile in zip(members, mosaic.tiles, strict=True):
            tiles.setdefault(names[i], []).append(tile)
    return tiles


def _names(cameras: Sequence[Camera], sources: Sequence[Source]) -> list[str]:
    """What each stream is called: the camera's name, else the source's, with a number where that is not unique."""
    names = [camera.name or source.name for camera, source in zip(cameras, sources, strict=True)]
    counts = Counter(names)
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        seen[name] += 1
        if counts[name] > 1:
            names[i] = f"{name}-{seen[name]}"
    return names


def _key(camera: Camera) -> Key:
    return camera.bundle, camera.backend, camera.precision, camera.threads
