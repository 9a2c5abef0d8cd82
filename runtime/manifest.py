"""The manifest: what a bundle says about itself, as frozen dataclasses over `manifest.json`.

Unknown fields: within `format: 1` a reader keeps what it does not know (in `extra`) and goes on, so that a newer
writer may add facts. A field that an older reader must not ignore is named in `requires`; a reader that does not
know a name there refuses the bundle, as it refuses a higher `format`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .errors import BundleError

FORMAT = 1
KNOWN_REQUIREMENTS: frozenset[str] = frozenset()
TASKS = ("segment", "translate", "enhance", "generate", "animate", "features")
TILE = "tile"
FIT_MODES = ("stretch", "letterbox", "crop", TILE)
NEXT = "next_"
"""Before an input's name it names the output that is carried to it; see `Manifest.carried`."""
INTERPOLATIONS = ("linear", "area", "nearest", "cubic")


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of the graph.

    Attributes:
        name: the tensor's name in the graph.
        shape: with None where the size is free (batch, usually).
        dtype: numpy's name, e.g. `uint8`.
        layout: axis letters, e.g. `NHWC`, `NHW`, `NZ`.
        pixel: `bgr8` for pictures, `class_id` for masks, `score8` for a probability times 255, else ''.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    layout: str = ""
    pixel: str = ""

    @property
    def size_hw(self) -> tuple[int, int] | None:
        """Height and width, where both axes exist and are fixed."""
        if "H" not in self.layout or "W" not in self.layout:
            return None
        h, w = self.shape[self.layout.index("H")], self.shape[self.layout.index("W")]
        return None if h is None or w is None else (h, w)


@dataclass(frozen=True)
class Fit:
    """How a frame of another size is brought to the network's size (see `pixels.fit`).

    Attributes:
        mode: `stretch` (both axes alone), `letterbox` (whole frame, borders filled), `crop` (centre, aspect kept),
            `tile` (not at all: it goes through in parts that overlap, see `Tiling`).
        interpolation: `linear`, `area`, `nearest` or `cubic`.
    """

    mode: str = "stretch"
    interpolation: str = "linear"

    def __post_init__(self) -> None:
        if self.mode not in FIT_MODES:
            raise BundleError("manifest 'fit.mode'", got=repr(self.mode), expected=" or ".join(FIT_MODES))
        if self.interpolation not in INTERPOLATIONS:
            raise BundleError("manifest 'fit.interpolation'", got=repr(self.interpolation),
                              expected=" or ".join(INTERPOLATIONS))


@dataclass(frozen=True)
class Tiling:
    """How a network that makes pictures of frames may be given a frame in parts (see `tiles`).

    Attributes:
        reach: an output pixel sees so many input pixels beside its own, each way, at most.
        step: parts begin at multiples of so many pixels.
    """

    reach: int
    step: int = 1


@dataclass(frozen=True)
class Tolerance:
    """What a variant may differ from the goldens.

    Attributes:
        min_equal: least share of equal values (class ids, or pixels within `max_step`), 0 to 1.
        max_step: two picture values within this many grey levels count as equal; 0 for class ids.
        max_share: two float values count as equal within this share of the golden's largest magnitude.
    """

    min_equal: float = 0.999
    max_step: int = 0
    max_share: float = 0.01


@dataclass(frozen=True)
class Variant:
    """One file of the bundle that can answer.

    Attributes:
        name: `fp32`, `fp16`, `int8-u8s8`, …; also what `--precision` selects (exactly, or the part before the dash).
        file: name inside the bundle folder.
        kind: `onnx` or `engine`.
        precision: `fp32`, `fp16`, `int8`.
        sha256: of the file, lower-case hex.
        bytes: size of the file.
        built_with: library names and versions.
        parity: measured against the float reference at export, e.g. `{"equal": 0.99998, "logit_max_diff": 1e-5}`.
        tolerance: what `verify` allows against the goldens.
        targets: where it is meant to run, e.g. `cpu`, `tensorrt`, `arm`; empty means everywhere.
    """

    name: str
    file: str
    kind: str
    precision: str
    sha256: str
    bytes: int
    built_with: Mapping[str, str] = field(default_factory=dict)
    parity: Mapping[str, float] = field(default_factory=dict)
    tolerance: Tolerance = field(default_factory=Tolerance)
    targets: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """Everything a runtime must know of a model.

    Attributes:
        name: the model's name, e.g. `street-nano`.
        task: one of TASKS.
        inputs, outputs: the graph's tensors.
        variants: at least one.
        fit: how frames of another size are fitted.
        classes: class names by id; empty for picture-making tasks.
        colours: (r, g, b) by id.
        ignore: the label id that scores leave out, or None.
        provenance: where it comes from: preset, data, seed, scores, versions.
        tiling: how frames may be given in parts, or None where they may not.
    """

    name: str
    task: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    variants: tuple[Variant, ...]
    fit: Fit = field(default_factory=Fit)
    classes: tuple[str, ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()
    ignore: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    tiling: Tiling | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frame_input(self) -> TensorSpec | None:
        """The input that takes frames, or None where the model takes none."""
        return next((s for s in self.inputs if s.pixel == "bgr8" or s.name == "frame"), None)

    @property
    def carried(self) -> dict[str, TensorSpec]:
        """What goes from frame to frame: by the output's name, `next_state`, the input that the next frame has it in,
        `state`. The first frame has zeros. (A graph cannot give an output the name of an input.)
        """
        outputs = {spec.name for spec in self.outputs}
        return {NEXT + spec.name: spec for spec in self.inputs if NEXT + spec.name in outputs}

    def variant(self, name: str) -> Variant:
        """The variant of that name.

        Raises:
            BundleError: there is none.
        """
        for v in self.variants:
            if v.name == name:
                return v
        raise BundleError(f"bundle '{self.name}' has no variant '{name}'",
                          expected="one of " + ", ".join(v.name for v in self.variants))

    def to_json(self) -> dict[str, Any]:
        """Gives the dictionary that `manifest.json` holds, unknown fields of the original included."""
        body = dataclasses.asdict(self)
        extra = body.pop("extra")
        if self.tiling is None:
            del body["tiling"]
        for v in body["variants"]:
            v.update(v.pop("extra"))
        return {"format": FORMAT, **body, **extra}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """Reads what `to_json` wrote.

        Raises:
            BundleError: another format, a requirement this reader does not know, or a field missing or misshapen.
        """
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            got = data.get("format") if isinstance(data, Mapping) else type(data).__name__
            raise BundleError("manifest 'format'", got=repr(got), expected=FORMAT,
                              do="a newer epee wrote this bundle, or it is no epee bundle; upgrade epee")
        try:
            unknown = set(map(str, data.get("requires", ()))) - KNOWN_REQUIREMENTS
            if unknown:
                raise BundleError("manifest 'requires'", got=", ".join(sorted(unknown)),
                                  expected="only what this epee knows", do="upgrade epee to read this bundle")
            return _read_manifest(cls, {k: v for k, v in data.items() if k != "format"})
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise BundleError("manifest.json is misshapen", got=str(error),
                              do="export the bundle again") from None


def _read_manifest(cls: type[Manifest], data: dict[str, Any]) -> Manifest:
    variants = tuple(
        _record(Variant, v | {"tolerance": _record(Tolerance, v.get("tolerance", {})),
                              "targets": tuple(v.get("targets", ()))})
        for v in map(dict, data["variants"]))
    if data["task"] not in TASKS:
        raise ValueError(f"task {data['task']!r} is none of {', '.join(TASKS)}")
    if not variants:
        raise ValueError("no variants")
    if len({v.name for v in variants}) < len(variants):
        raise ValueError("two variants of one name")
    return _record(cls, data | {
        "inputs": tuple(_tensor(t) for t in data["inputs"]),
        "outputs": tuple(_tensor(t) for t in data["outputs"]),
        "variants": variants,
        "fit": _record(Fit, data.get("fit", {})),
        "tiling": _record(Tiling, data["tiling"]) if data.get("tiling") else None,
        "classes": tuple(data.get("classes", ())),
        "colours": tuple((int(r), int(g), int(b)) for r, g, b in data.get("colours", ())),
        "requires": tuple(data.get("requires", ()))})


def _tensor(data: Mapping[str, Any]) -> TensorSpec:
    return _record(TensorSpec, dict(data) | {"shape": tuple(data["shape"])})


R = TypeVar("R")


def _record(cls: type[R], data: Mapping[str, Any]) -> R:
    """Builds a dataclass; fields it does not know go to its `extra`, or are dropped where it has none."""
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    known = {k: v for k, v in data.items() if k in names}
    if "extra" in names:
        known["extra"] = {**known.get("extra", {}), **{k: v for k, v in data.items() if k not in names}}
    return cls(**known)
