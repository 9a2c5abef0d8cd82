"""What is known of somebody else's network: said by the user, read from its file, or assumed and owned up to."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.description import read_description
from ...runtime.errors import ConfigError, ExportError
from ...runtime.manifest import Fit

Triple = tuple[float, float, float]
LAYOUTS, ORDERS = ("nchw", "nhwc"), ("rgb", "bgr")
MODEL_API = "model_info "
"""What OpenVINO's Model API puts before its keys in an ONNX file."""
RESIZES = {"standard": "stretch", "fit_to_window": "letterbox", "fit_to_window_letterbox": "letterbox",
           "crop": "crop"}
"""Model API's `resize_type` -> our fit mode."""
GIVEN, READ, ASSUMED = "given", "read from the file", "assumed"


@dataclass(frozen=True)
class Foreign:
    """What a user says of a foreign network; what is left out is read from its file or its shapes.

    Attributes:
        task: `segment`.
        classes: names by id; for a network of one channel the name of what it finds.
        colours: (r, g, b) by id, or none for our own.
        layout: `nchw` or `nhwc`, of the input.
        mean, std: r, g, b, whatever the colour order: the network sees (x / scale - mean) / std.
        scale: what bytes are divided by first, 255 or 1 as a rule.
        colour_order: `rgb` or `bgr`, as the network wants it.
        ignore: the label id that scores leave out.
        input, output: names of the tensors, where there are several.
    """

    task: str = ""
    classes: tuple[str, ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()
    layout: str = ""
    mean: Triple | None = None
    std: Triple | None = None
    scale: float | None = None
    colour_order: str = ""
    ignore: int = 255
    input: str = ""
    output: str = ""

    def __post_init__(self) -> None:
        if self.task != "segment":
            raise ConfigError("--task of somebody else's model", got=self.task or "none", expected="segment")
        for option, value, known in (("--layout", self.layout, LAYOUTS), ("--colour-order", self.colour_order, ORDERS)):
            if value not in ("", *known):
                raise ConfigError(option, got=value, expected=" or ".join(known))
        if self.std is not None and not all(x > 0 for x in self.std):
            raise ConfigError("--std", got=self.std, expected="three numbers above 0")
        if self.scale is not None and not self.scale > 0:
            raise ConfigError("--scale", got=self.scale, expected="255 (for 0 to 1) or 1 (for 0 to 255)")
        if not 0 <= self.ignore <= 255:
            raise ConfigError("--ignore", got=self.ignore, expected="a label id, 0 to 255")


@dataclass(frozen=True)
class Preprocessing:
    """How bytes become what the network sees: (x / scale - mean) / std, channel by channel.

    Attributes:
        layout: `nchw` or `nhwc`.
        colour_order: `rgb` or `bgr`.
        mean, std: in the network's channel order.
        scale: what bytes are divided by first.
        sources: field -> `given`, `read from the file` or `assumed`.
    """

    layout: str
    colour_order: str
    mean: Triple
    std: Triple
    scale: float
    sources: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """The network's input (1, 3, H, W) or (1, H, W, 3) float32 of a frame (H, W, 3) uint8 BGR, without a graph."""
        x = frame[..., ::-1] if self.colour_order == "rgb" else frame
        y = ((x.astype(np.float64) / self.scale - self.mean) / self.std).astype(np.float32)
        return np.ascontiguousarray(y.transpose(2, 0, 1) if self.layout == "nchw" else y)[None]

    def line(self) -> str:
        """What a person reads of it."""
        assumed = ", ".join(k for k, v in self.sources.items() if v == ASSUMED)
        read = ", ".join(k for k, v in self.sources.items() if v == READ)
        mean, std = (",".join(f"{x:g}" for x in values) for values in (self.mean, self.std))
        return (f"the network sees {self.layout} {self.colour_order}, (x / {self.scale:g} - {mean}) / {std}"
                + (f"; read from the file: {read}" if read else "") + (f"; assumed: {assumed}" if assumed else ""))

    def to_json(self) -> dict[str, Any]:
        """What the manifest's provenance says."""
        return {"layout": self.layout, "colour_order": self.colour_order, "mean": list(self.mean),
                "std": list(self.std), "scale": self.scale, "known": dict(self.sources)}


def described(foreign: Foreign, notes: Mapping[str, Any], layout: str) -> Preprocessing:
    """Joins what was given, what the file says and, last, what is usual.

    Args:
        foreign: given.
        notes: from `read_notes`.
        layout: from the input's shape.
    """
    sources: dict[str, str] = {}

    def known(name: str, given: Any, usual: Any) -> Any:
        value, sources[name] = ((given, GIVEN) if given else (notes[name], READ) if name in notes else (usual, ASSUMED))
        return value

    order = known("colour_order", foreign.colour_order, "rgb")
    turn = slice(None, None, -1 if order == "bgr" else 1)  # given as r, g, b
    mean = known("mean", foreign.mean and foreign.mean[turn], (0.0, 0.0, 0.0))
    std = known("std", foreign.std and foreign.std[turn], (1.0, 1.0, 1.0))
    scale = known("scale", foreign.scale, 255.0)
    return Preprocessing(layout, order, tuple(mean), tuple(std), float(scale), sources)


def read_notes(model: Any) -> dict[str, Any]:
    """What a model's metadata says, in two dialects: Ultralytics' and that of OpenVINO's Model API.

    Returns:
        Those of `classes`, `size_wh`, `mean`, `std`, `scale`, `colour_order`, `fit` that are there; mean and std in
        the network's channel order.

    Raises:
        ExportError: an entry that cannot be read.
    """
    entries = {entry.key: entry.value for entry in model.metadata_props}
    api = {key.removeprefix(MODEL_API): value for key, value in entries.items() if key.startswith(MODEL_API)}
    notes: dict[str, Any] = {}
    if "stride" in entries and "names" in entries:  # Ultralytics: RGB, bytes divided by 255, letterbox
        names = _entry("names", entries["names"], ast.literal_eval)
        notes |= {"classes": tuple(map(str, names.values() if isinstance(names, dict) else names)),
                  "scale": 255.0, "colour_order": "rgb", "fit": Fit("letterbox")}
        if "imgsz" in entries:
            h, w = _entry("imgsz", entries["imgsz"], ast.literal_eval)
            notes["size_wh"] = (int(w), int(h))
    if "labels" in api:
        notes["classes"] = tuple(api["labels"].split())
    for key, name in (("mean_values", "mean"), ("scale_values", "std")):
        if key in api:
            notes |= {name: _entry(key, api[key], _triple), "scale": 1.0}
    if "reverse_input_channels" in api:
        reverse = api["reverse_input_channels"].strip().lower() in ("yes", "true", "1")
        notes["colour_order"] = "rgb" if reverse else "bgr"
    if api.get("resize_type") in RESIZES:
        notes["fit"] = Fit(RESIZES[api["resize_type"]])
    return notes


def read_classes(text: str) -> tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]]:
    """Names, and colours where there are any, of `--classes`: a comma list, a file of a name a line, a dataset YAML.

    Raises:
        ConfigError: no name, or one name twice.
        DataError: a dataset YAML that cannot be read.
    """
    path = Path(text)
    if path.suffix.lower() in (".yaml", ".yml"):
        data = read_description(path)
        return data.names, data.colours
    try:
        words = path.read_text(encoding="utf-8").splitlines() if path.is_file() else text.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--classes '{text}'", got=str(error), expected="a file of one name a line") from None
    names = tuple(word.strip() for word in words if word.strip())
    if not names or len(set(names)) < len(names):
        raise ConfigError("--classes", got=f"'{text}'", expected="names in the order of their ids, each once, e.g. "
                          "road,car or a file of one name a line")
    return names, ()


def parse_triple(text: str) -> Triple:
    """`0.485,0.456,0.406`, or one number for all three. Raises ConfigError for anything else."""
    try:
        return _triple(text)
    except ValueError:
        raise ConfigError("numbers for red, green and blue", got=repr(text),
                          expected="three numbers, e.g. 0.485,0.456,0.406, or one for all") from None


def _triple(text: str) -> Triple:
    numbers = [float(word) for word in re.split(r"[\s,]+", text.strip(" []()\t\n"))]
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    if len(numbers) != 3 or not np.isfinite(numbers).all():
        raise ValueError(text)
    return numbers[0], numbers[1], numbers[2]


def _entry(key: str, text: str, read: Callable[[str], Any]) -> Any:
    """Reads one entry of the metadata."""
    try:
        return read(text)
    except (ValueError, SyntaxError, TypeError):
        raise ExportError(f"metadata '{key}' of the model", got=repr(text[:80]), expected="numbers or names",
                          do="take it out of the file, or say what it should say on the command line") from None
