"""Makes a bundle's variants from one float graph, and judges each: written, unmeasured, refused or failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import bundle
from ..runtime.errors import ExportError
from ..runtime.machine import versions
from ..runtime.manifest import Tolerance, Variant
from ..runtime.scores import equal_share
from .budget import Budget, Outcome, Step, table
from .candidate import Candidate
from .exam import Exams, answers_of, float_exams, labelled_exams, outputs_of
from .half import to_half
from .parity import THRESHOLDS, measure
from .picture_exam import Features, picture_exams
from .quantize import Quantizer
from .samples import Calibration, Sample
from .schemes import Scheme
from .search import search
from .speed import beside_float, cannot_time, frame_ms

WRITTEN, UNMEASURED, REFUSED, FAILED = "written", "unmeasured", "refused", "failed"
TOLERANCES = {"fp32": Tolerance(min_equal=0.999), "fp16": Tolerance(min_equal=0.99)}
"""Precision -> what `verify` allows on any backend. INT8's follows from what it was when it was made."""
PICTURE_STEP = 8
"""Grey levels within which values of INT8's pictures count as equal to the goldens'."""
APART = 2.5
"""How many times the values that INT8 changes in ONNX Runtime another backend may change: they round at different
places, and twice as many were seen (OpenVINO on a processor without AMX, a network that loses 2.5%)."""
TARGETS = {"fp32": (), "fp16": ("gpu", "npu", "tensorrt", "openvino")}
"""Precision -> where it is meant to run: few CPUs compute in fp16, and there it is slower than fp32."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """What became of one variant.

    Attributes:
        name, precision: as in the manifest.
        variant: the manifest's entry, or None where there is no file.
        parity: numbers by name.
        status: `written`, `unmeasured`, `refused` or `failed`.
        reason: why.
        steps: the search that led here, for INT8.
    """

    name: str
    precision: str
    variant: Variant | None
    parity: Mapping[str, float | None]
    status: str = WRITTEN
    reason: str = ""
    steps: tuple[Step, ...] = ()


@dataclass
class Maker:
    """Makes variants of a candidate and writes them into a bundle's folder.

    Attributes:
        folder: from `bundle.writing`.
        candidate: the float graph.
        samples: for parity.
        goldens: the bundle's inputs; `answers` are the reference's by name.
        budget: for INT8, and for fp16 of pictures.
        say: is told each step.
        data: what `--data` named, or None.
        calibration: what to calibrate on, or ''.
        features: a feature extractor that INT8's pictures are compared by too, or None.
    """

    folder: Path
    candidate: Candidate
    samples: Sequence[Sample]
    goldens: Sequence[Sample]
    answers: Mapping[str, NDArray[Any]]
    budget: Budget
    say: Say
    data: str | None = None
    calibration: str = ""
    features: Features | None = None
    _read: list[Calibration] = field(default_factory=list)

    def full(self) -> Made:
        """The float32 graph; `failed` where its parity does not hold."""
        return self._judged("fp32", self.candidate.model, FAILED)

    def half(self) -> Made:
        """The float16 graph, where its parity holds and its pictures are within the budget."""
        self.say("fp16")
        try:
            model = to_half(self.candidate.model)
        except ExportError as error:
            return Made("fp16", "fp16", None, {}, REFUSED, str(error))
        return self._judged("fp16", model, REFUSED)

    def int8(self, scheme: Scheme) -> Made:
        """The INT8 graph of a scheme, where its drop is within the budget and it is faster than float32.

        Raises:
            ExportError: there is nothing to calibrate on.
            DataError, SourceError: what was named cannot be read.
        """
        cannot = self._quantizer.engine.cannot(scheme)
        if cannot:
            return Made(scheme.name, "int8", None, {}, REFUSED, cannot)
        absent = cannot_time(scheme)
        found = search(scheme, self._quantizer, self._exams, self.budget, self.say, None if absent else self._clock)
        parity: dict[str, float | None] = {"drop": found.mark.drop, **found.mark.numbers}
        if found.model is None:
            return Made(scheme.name, "int8", None, parity, REFUSED, found.reason, found.steps)
        got, want = (np.stack(outputs_of(m, self.samples)) for m in (found.model, self.candidate.model))
        parity["equal"] = equal_share(got, want, PICTURE_STEP if self.candidate.makes_pictures else 0)
        parity["frames"] = float(len(got))
        found, status, reason = self._compared(found, absent)
        variant = None if status == REFUSED else self._int8_variant(scheme, found, parity)
        return Made(scheme.name, "int8", variant, parity, status, reason, found.steps)

    def facts(self) -> dict[str, Any]:
        """What the provenance says of INT8's data; nothing where none was read."""
        if not self._read:
            return {}
        used = self._read[0]
        return {"calibration": f"{len(used.names)} frames of {Path(used.source).name}", "exam": self._exams.where}

    def records(self, made: Sequence[Made]) -> dict[str, Any]:
        """The manifest's own records: the calibration's frames, and the variants that were refused."""
        refused = {m.name: {"reason": m.reason, "search": table(m.steps)} for m in made if m.variant is None}
        found: dict[str, Any] = {"refused": refused} if refused else {}
        return {**found, "calibration": self._read[0].to_json()} if self._read else found

    @cached_property
    def _exams(self) -> Exams:
        """Labelled pictures where they are at hand, else samples that are not calibrated on."""
        self.say("samples to measure INT8 on")
        c = self.candidate
        exams = labelled_exams(c, self.data)
        held_out = None if exams else c.supply.held_out(self.data)
        used = c.supply.calibration(self.calibration, self.budget.frames, exams is None and held_out is None)
        self._read.append(used)
        if exams is not None:
            return exams
        samples, where = held_out or (used.held_back, Path(used.source).name)
        return picture_exams(c, samples, where, self.features) if c.makes_pictures else float_exams(c, samples, where)

    @cached_property
    def _quantizer(self) -> Quantizer:
        _ = self._exams
        return Quantizer(self.candidate.model, self._read[0].samples, self.budget.quantizer)

    def _clock(self, models: Mapping[str, Any]) -> dict[str, float]:
        return frame_ms(self.candidate, models, self.samples[:2])

    def _compared(self, found: Outcome, absent: str) -> tuple[Outcome, str, str]:
        """Sets a plan beside float32. Gives it with the step, its status and a reason."""
        if found.ms is None or found.float_ms is None:
            return found, UNMEASURED, absent
        kept, reason = beside_float(self.candidate, found.model, self.samples[:2], found.ms, found.float_ms)
        step = Step("beside fp32", None, round(found.ms, 3), reason if kept else f"left out: {reason}")
        return replace(found, steps=(*found.steps, step)), WRITTEN if kept else REFUSED, reason

    def _int8_variant(self, scheme: Scheme, found: Outcome, parity: Mapping[str, float | None]) -> Variant:
        answers = answers_of(found.model, self.goldens)[self.candidate.output.name]
        step = PICTURE_STEP if self.candidate.makes_pictures else 0
        golden = equal_share(answers, self.answers[self.candidate.output.name], step)
        tolerance = Tolerance(round(max(0.0, 1 - APART * (1 - golden) - 0.005), 4), step)
        extra = {"plan": {"quantizer": self.budget.quantizer, **found.plan()}, "max_drop": self.budget.max_drop,
                 "search": table(found.steps)}
        return self._write(scheme.name, "int8", found.model, parity, tolerance, scheme.targets, extra)

    def _judged(self, precision: str, model: Any, otherwise: str) -> Made:
        """Measures parity and writes the graph where it holds."""
        parity = measure(model, self.candidate, self.samples, THRESHOLDS[precision])
        failure = parity.failure(THRESHOLDS[precision]) or self.budget.too_far(parity.psnr)
        if failure:
            return Made(precision, precision, None, parity.to_json(), otherwise, failure)
        variant = self._write(precision, precision, model, parity.to_json(), self._tolerance(precision),
                              TARGETS[precision], {})
        return Made(precision, precision, variant, parity.to_json())

    def _tolerance(self, precision: str) -> Tolerance:
        step = THRESHOLDS[precision].max_step if self.candidate.makes_pictures else 0
        return replace(TOLERANCES[precision], max_step=step)

    def _write(self, name: str, precision: str, model: Any, parity: Mapping[str, float | None], tolerance: Tolerance,
               targets: tuple[str, ...], extra: Mapping[str, Any]) -> Variant:
        path = self.folder / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        built_with = {**versions(("torch", "onnx", "onnxruntime")), "opset": str(model.opset_import[0].version)}
        measured = {k: v for k, v in parity.items() if v is not None}
        return Variant(name, path.name, "onnx", precision, bundle.sha256(path), path.stat().st_size, built_with,
                       measured, tolerance, targets, extra)
