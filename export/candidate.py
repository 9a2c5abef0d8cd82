"""A candidate: the float graph that a bundle is made of, and the reference that its parity is measured against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from ..runtime.errors import ExportError
from ..runtime.manifest import Fit, Manifest, TensorSpec, Tiling, Variant
from .samples import Sample, Supply

Answer = Callable[[Sample], Mapping[str, NDArray[Any]]]
"""A sample to the reference's outputs by name, batch axis of 1 first, and the inner tensor as float32 where it has one
to compare."""


@dataclass(frozen=True)
class Candidate:
    """A fused float network that is ready to be checked, made smaller and bundled.

    Attributes:
        name: of the bundle.
        task: as in the manifest.
        model: `onnx.ModelProto`, float32, with `inputs`, `outputs`, and `inner` inside.
        answer: the reference: what the network's own framework says of a sample.
        inputs, outputs: as in the manifest. The first output is the one that smaller graphs are judged by.
        supply: where samples come from.
        fit, names, colours, ignore: as in the manifest; pictures have no colours.
        data: what it was trained on, as `--data` takes it, or '' where nobody knows.
        provenance: where it comes from.
        inner: the float tensor inside the graph that parity compares, '' where it has none (a ready ArgMax).
        tiling: as in the manifest.
        run: samples of the supply are runs of so many consecutive frames of a stream; 1 where they have no order.
    """

    name: str
    task: str
    model: Any
    answer: Answer
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    supply: Supply
    fit: Fit = field(default_factory=Fit)
    names: tuple[str, ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()
    ignore: int | None = None
    data: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    inner: str = ""
    tiling: Tiling | None = None
    run: int = 1

    @property
    def output(self) -> TensorSpec:
        """The output that smaller graphs are judged by."""
        return self.outputs[0]

    @property
    def makes_pictures(self) -> bool:
        """Whether that output is a picture, else class ids."""
        return self.output.pixel == "bgr8"

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the frames that go in. Raises ExportError where none do."""
        for spec in self.inputs:
            if spec.size_hw is not None:
                return spec.size_hw
        raise ExportError(f"input of task '{self.task}'", got="no frames", expected="frames of a fixed size")

    def manifest(self, variants: Sequence[Variant], facts: Mapping[str, Any],
                 records: Mapping[str, Any] | None = None) -> Manifest:
        """Gives the manifest of the bundle; `facts` go beside the provenance, `records` beside everything."""
        return Manifest(
            name=self.name, task=self.task, variants=tuple(variants), fit=self.fit, classes=self.names,
            colours=self.colours, ignore=self.ignore, provenance={**self.provenance, **facts},
            extra=records or {}, inputs=self.inputs, outputs=self.outputs, tiling=self.tiling)
