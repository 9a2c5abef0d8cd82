"""`latents:walk`, `latents:seeds`, `latents:noise`: what a generator makes its pictures of.

`latent_options` says what they take. The same text and seed give the same latents, whatever is done with
them.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DataError, SourceError, near
from ..frames import Arrays
from ..latents import NOTHING, Grid, Latents
from ..manifest import NEXT, Manifest, TensorSpec
from ..timing import now_s
from ..walks import Noise, Seeds, Walk, Way
from . import Opened
from .latent_options import LatentOptions, parse, spelled

KNOWN = ("z", "label", "truncation")
"""Inputs that are given; others must be carried from frame to frame."""
MOST_SIDE = 16_384
"""Height and width that H.264 and JPEG can still hold."""
GOOD_HEIGHT = 256
"""What a person sees something in; see `LatentOptions.scale`."""


def open_latents(text: str, *, seed: int = 0, manifest: Manifest | None = None, **_: object) -> LatentSource:
    """Opens `latents:…`.

    Raises:
        SourceError, ConfigError: see `latent_options.parse`; nothing says for which bundle.
        DataError: a bundle that is no generator.
    """
    options = parse(text, seed)
    if manifest is None:
        raise SourceError(f"source '{text}'", got="no bundle that it is for", expected="a generator's manifest",
                          do="take `epee generate`, model.stream('latents:…') or open_source(…, manifest=…)")
    return LatentSource(options, manifest)


class LatentSource(Opened):
    """Latents for a bundle, frame after frame; a walk that closes and one that does not are both endless.

    Raises:
        DataError: a bundle that is no generator, or one that takes what cannot be given.
        ConfigError: classes or a truncation that the bundle does not take, a grid that it cannot compute or show.
    """

    def __init__(self, options: LatentOptions, manifest: Manifest) -> None:
        super().__init__(options.way, fps=options.fps)
        self._options, self._specs = options, _inputs(manifest)
        self.period = options.loop or None
        self._grid = _grid(options, manifest)
        self._classes = _classes(options.label, manifest)
        n, z = self._grid.count, self._specs["z"]
        if z.shape[0] not in (None, n):
            raise ConfigError(f"grid of {n}", got=f"bundle '{manifest.name}', whose batch is {z.shape[0]}",
                              expected="a free batch", do="leave --grid out, or export it again")
        size, seed = int(z.shape[1] or 0), options.seed
        self._way: Way = (Seeds(seed, size, n) if options.way == "seeds"
                          else Noise(seed, size, n, options.loop) if options.way == "noise"
                          else Walk(seed, size, n, options.walk_frames, options.loop, bool(options.label)))
        self._fixed: dict[str, NDArray[Any]] = {}
        if "truncation" in self._specs:
            self._fixed["truncation"] = np.full(n, options.truncation, self._specs["truncation"].dtype)
        elif options.truncation != 1:
            raise ConfigError(f"truncation {options.truncation:g}", expected="1", do="leave it out",
                              got=f"bundle '{manifest.name}', which takes none")
        self._names = manifest.classes
        self._over = threading.Event()

    def __iter__(self) -> Iterator[Latents]:
        due_s, step_s = now_s(), 1 / self._options.fps if self._options.pace else 0.0
        for index in itertools.count():
            if self._over.wait(max(0.0, due_s - now_s())):
                break
            begun_s = now_s()
            due_s = max(due_s, begun_s) + step_s
            self._tally.frame()
            yield self._latents(index, begun_s)
        self._tally.ended()

    def close(self) -> None:
        self._over.set()

    def _latents(self, index: int, begun_s: float) -> Latents:
        inputs = self._inputs(index)
        told: dict[str, Any] = {"seed": self._options.seed, "truncation": self._options.truncation}
        if "label" in inputs:
            told["labels"] = [self._names[i] for i in inputs["label"]]
        name = f"seed{self._options.seed}-{index:06d}" if self._options.way == "seeds" else f"{index:06d}"
        return Latents(NOTHING, index, self.name, begun_s, name, index / self._options.fps, inputs=inputs,
                       grid=self._grid, told=told, turn=self._turn if self._options.loop else None)

    def _inputs(self, index: int) -> Arrays:
        """What the network is given for a frame, but for what is carried."""
        inputs = {"z": self._way.latents(index).astype(self._specs["z"].dtype, copy=False), **self._fixed}
        if "label" in self._specs:
            labels = self._classes[self._way.turns(index) % len(self._classes)]
            inputs["label"] = labels.astype(self._specs["label"].dtype, copy=False)
        return inputs

    def _turn(self) -> Iterator[Arrays]:
        """The inputs of one turn of the loop."""
        return map(self._inputs, range(self._options.loop))


def _inputs(manifest: Manifest) -> dict[str, TensorSpec]:
    """The inputs by name, if all of them can be given."""
    specs = {spec.name: spec for spec in manifest.inputs}
    if "z" not in specs or all(spec.name != "image" for spec in manifest.outputs):
        raise DataError(f"bundle '{manifest.name}'", got=f"task {manifest.task}", expected="a generator",
                        do="`epee run` with a --source of frames is for it" if manifest.frame_input
                        else "use model.session.run({…})")
    carried = {spec.name for spec in manifest.carried.values()}
    for name, spec in specs.items():
        if name not in KNOWN and name not in carried:
            raise DataError(f"bundle '{manifest.name}': input '{name}'", got="nothing that gives it",
                            expected=f"{', '.join(KNOWN)}, or an output '{NEXT}{name}' that it is carried from",
                            do="use model.session.run({…})")
        axes = 2 if name == "z" else 1
        if name in KNOWN and (len(spec.shape) != axes or None in spec.shape[1:]):
            raise DataError(f"bundle '{manifest.name}': input '{name}'", got=f"shape {spec.shape}",
                            expected="(N, Z) of a fixed Z" if name == "z" else "(N,)", do="export it again")
    return specs


def _grid(options: LatentOptions, manifest: Manifest) -> Grid:
    """The grid, if its picture is not too large."""
    size_hw = next((spec.size_hw for spec in manifest.outputs if spec.name == "image"), None)
    if size_hw is None:
        raise DataError(f"bundle '{manifest.name}'", got="no output 'image' of a fixed size", expected="a generator",
                        do="export it again")
    (columns, rows), (h, w) = options.grid_wh, size_hw
    scale = options.scale or max(1, -(-GOOD_HEIGHT // (max(1, rows) * h)))
    grid = Grid(columns, rows, scale, options.enlarge)
    if max(columns * w, rows * h) * scale > MOST_SIDE:
        raise ConfigError(f"grid {columns}x{rows} of {w}x{h} at {spelled('scale')} {scale}",
                          got=f"{columns * w * scale}x{rows * h * scale} pixels",
                          expected=f"sides of {MOST_SIDE} at most", do="take a smaller grid or scale")
    return grid


def _classes(label: tuple[str, ...], manifest: Manifest) -> NDArray[np.int64]:
    """The ids to take in turn, each below the number of classes; empty for a bundle without labels."""
    names = list(manifest.classes)
    if all(spec.name != "label" for spec in manifest.inputs):
        if label:
            raise ConfigError(f"label {','.join(label)}", got=f"bundle '{manifest.name}', which knows no classes",
                              expected="a bundle with labels", do="leave it out")
        return np.empty(0, np.int64)
    if not names:
        raise DataError(f"bundle '{manifest.name}'", got="an input 'label' and no classes",
                        expected="the classes' names in the manifest", do="export it again")
    if label in ((), ("all",)):
        return np.arange(len(names))
    return np.array([_id(word, names) for word in label])


def _id(word: str, names: list[str]) -> int:
    if word in names:
        return names.index(word)
    if word.isdecimal() and int(word) < len(names):
        return int(word)
    raise ConfigError(f"label '{word}'", got="no such class", expected=f"a name, or an id below {len(names)}",
                      do=near(word, names))
