"""Somebody else's ONNX file becomes a candidate, step by step."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime import pixels
from ...runtime.bundle import sha256
from ...runtime.description import default_colours
from ...runtime.errors import ExportError
from ...runtime.manifest import Fit
from ...runtime.street import StreetDataset
from ..candidate import Candidate
from ..frames import FrameSupply
from ..tensors import frame_spec, mask_spec
from ..to_onnx import multiply_adds
from .batch import with_free_batch
from .described import Foreign, Preprocessing, described, read_notes
from .plain import plain
from .reading import opset, read_model
from .reference import Original, answers_of
from .understanding import Inlet, Outlet, find_inlet, find_outlet, find_output
from .wrapping import inner_of, wrap

BACKGROUND = "background"
"""What a network of one score calls the rest."""


def is_foreign(source: str | os.PathLike[str]) -> bool:
    """Whether a source is somebody else's model, by its ending."""
    return Path(source).suffix.lower() == ".onnx"


def from_onnx(source: str | os.PathLike[str], name: str, foreign: Foreign, size_wh: tuple[int, int] | None = None,
              say: Callable[[str], None] = lambda line: None) -> Candidate:
    """Opens, understands and wraps a foreign float model.

    Args:
        source: the `.onnx` file; external data lies in its folder.
        name: of the bundle.
        foreign: what the user says of it.
        size_wh: width and height of the frames; None takes those of the graph or of its metadata.
        say: is told what was understood.

    Raises:
        ExportError: a file, a graph or a tensor that does not fit; the message says what to do.
    """
    path = Path(source)
    model = read_model(path)
    notes = read_notes(model)
    inlet = _inlet(model, foreign, size_wh, notes)
    prepared = described(foreign, notes, inlet.layout)
    say(prepared.line())
    names = _names(foreign, notes)
    scenes = StreetDataset("val", (480, 360), 2)
    fit = notes.get("fit", Fit())
    frames = [np.ascontiguousarray(pixels.fit(scenes[i][0], inlet.size_hw, fit)) for i in range(2)]
    output = find_output(model, foreign)
    outlet = find_outlet(model, output, Original(model, inlet, output, prepared)(frames[0]), inlet, names)
    say(_understood(outlet, inlet))
    fused, batch = _fused(model, inlet, outlet, prepared, frames)
    if batch is not None:
        say("the network takes one picture a call: its graph answers several otherwise")
    facts = {"model": path.name, "model_sha256": sha256(path), "producer": model.producer_name, "opset": opset(model),
             "preprocessing": prepared.to_json(), "tail": "full", "macs": multiply_adds(fused),
             "parameters": sum(math.prod(w.dims) for w in fused.graph.initializer)}
    size_hw = inlet.size_hw
    return Candidate(name=name, task=foreign.task, model=fused,
                     answer=answers_of(Original(model, inlet, outlet.name, prepared), outlet, size_hw),
                     inputs=(frame_spec(size_hw, batch),), outputs=(mask_spec(size_hw, batch),),
                     supply=FrameSupply(size_hw, fit), fit=fit, names=names, colours=_colours(foreign, names),
                     ignore=foreign.ignore, provenance=facts, inner=inner_of(outlet))


def _inlet(model: Any, foreign: Foreign, size_wh: tuple[int, int] | None, notes: dict[str, Any]) -> Inlet:
    """The input at the size that was given, else the graph's, else the metadata's."""
    try:
        return find_inlet(model, foreign, size_wh)
    except ExportError:
        if size_wh is not None or "size_wh" not in notes:
            raise
        return find_inlet(model, foreign, notes["size_wh"])


def _names(foreign: Foreign, notes: dict[str, Any]) -> tuple[str, ...]:
    """Class names by id: given, else the file's."""
    names = foreign.classes or notes.get("classes", ())
    if not names:
        raise ExportError("classes of the model", got="none", expected="a name for each id",
                          do="name them with --classes road,car,… or --classes FILE")
    if len(names) > foreign.ignore and foreign.ignore == 255:
        raise ExportError("classes of the model", got=len(names), expected="at most 255, since a mask holds bytes")
    return (BACKGROUND, *names) if len(names) == 1 else tuple(names)


def _colours(foreign: Foreign, names: tuple[str, ...]) -> tuple[tuple[int, int, int], ...]:
    """Given ones where there is one a class, else our own by id."""
    return foreign.colours if len(foreign.colours) == len(names) else default_colours(len(names))


def _fused(model: Any, inlet: Inlet, outlet: Outlet, prepared: Preprocessing,
           frames: list[NDArray[Any]]) -> tuple[Any, int | None]:
    """The fused graph, and its batch where that is not free."""
    single = wrap(plain(model, inlet, outlet.name), inlet, outlet, prepared)
    free = with_free_batch(single, frames)
    return (single, 1) if free is None else (free, None)


def _understood(outlet: Outlet, inlet: Inlet) -> str:
    """What a person reads of the answer."""
    (h, w), small = outlet.size_hw, outlet.size_hw != inlet.size_hw
    return f"the network gives {outlet.kind} at {w}x{h}" + (", resized to the frame's size" if small else "")
