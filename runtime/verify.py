"""`epee verify`: whether a bundle is whole and answers its goldens here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends import Session, candidates, describe, load, open_session, parse_backend
from .bundle import GOLDEN, Bundle
from .errors import BundleError, EpeeError, Unsupported
from .machine import cpu
from .manifest import TensorSpec, Tolerance, Variant
from .scores import close_share, equal_share
from .variants import choose_variant, saturates, variants_of

Named = dict[str, NDArray[Any]]
SCORE_STEP = 8
"""A `score8` output (a probability times 255) may differ by this many levels on top of the variant's tolerance."""


@dataclass(frozen=True)
class Checked:
    """One variant's answers on one backend.

    Attributes:
        equal: least share of equal values over the outputs, 0 to 1.
        min_equal: what the manifest asks for.
    """

    variant: str
    backend: str
    equal: float
    min_equal: float


@dataclass
class Verdict:
    """What `verify` found: `problems` and `skipped` are lines to read, `checked` one entry a variant and backend."""

    problems: list[str] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """The contract's `ok` and `problems`, and what they rest on."""
        return {"ok": self.ok, **asdict(self)}


def verify(bundle: Bundle, backends: Sequence[str] = ("auto",), variants: Sequence[str] | None = None) -> Verdict:
    """Checks every file's hash, then lets the variants answer the goldens.

    Args:
        bundle: an opened bundle.
        backends: `NAME[:DEVICE]` each, or `auto`: the first that is available.
        variants: names; None means all, and `bf16` on named backends that compute it. Hashes are checked for all in
            any case.
    """
    for name in backends:  # a wrong name is the caller's mistake, not the bundle's
        if parse_backend(name)[0] != "auto":
            load(parse_backend(name)[0])
    chosen = [choose_variant(bundle, name) for name in variants] if variants else None
    verdict, whole = Verdict(), set()
    for variant in bundle.manifest.variants:
        problem = _broken(bundle, variant)
        if problem:
            verdict.problems.append(problem)
        else:
            whole.add(variant.file)
    try:
        goldens = read_goldens(bundle)
    except BundleError as error:
        verdict.problems.append(str(error))
        return verdict
    broken: set[tuple[str, str]] = set()
    for variant, backend in [(v, b) for v in chosen or variants_of(bundle) for b in backends]:
        known = (variant.file, backend) in broken  # bf16 of an fp32 file that failed says nothing new
        if variant.file in whole and not known and (chosen or _asked(bundle, variant, backend)):
            before = len(verdict.problems)
            _check(verdict, bundle, variant, backend, goldens, asked=chosen is not None)
            if len(verdict.problems) > before:
                broken.add((variant.file, backend))
    return verdict


def _asked(bundle: Bundle, variant: Variant, backend: str) -> bool:
    """Whether a variant is asked for where none is named: the bundle's own are; bf16 is where it can be computed."""
    return variant in bundle.manifest.variants or (backend != "auto" and variant in candidates(bundle, backend))


def read_goldens(bundle: Bundle) -> Named:
    """The goldens, checked against the manifest's tensors.

    Raises:
        BundleError: the file is broken, or a tensor is missing or misshapen.
    """
    goldens: Named = bundle.goldens()
    counts = set()
    for spec in (*bundle.manifest.inputs, *bundle.manifest.outputs):
        array = goldens.get(spec.name)
        if array is None or array.dtype != spec.dtype or not _fits(array.shape[1:], spec.shape[1:]):
            raise BundleError(f"bundle '{bundle.path}': golden '{spec.name}'",
                              got="missing" if array is None else f"{array.shape} {array.dtype}",
                              expected=describe(spec), do="copy the bundle again, or export it again")
        counts.add(len(array))
    if len(counts) != 1 or 0 in counts:
        raise BundleError(f"bundle '{bundle.path}': {GOLDEN}", got=f"{sorted(counts)} entries by tensor",
                          expected="as many answers as inputs, at least one", do="export it again")
    return goldens


def answer(session: Session, goldens: Named) -> Named:
    """The session's outputs for the goldens' inputs, batch first, however many the graph takes at once."""
    count = len(next(iter(goldens.values())))
    step = session.inputs[0].shape[0] or count
    parts = [session.run({s.name: goldens[s.name][start:start + step] for s in session.inputs})
             for start in range(0, count - step + 1, step)]
    return {s.name: np.concatenate([p[s.name] for p in parts]) for s in session.outputs}


def compare(outputs: Sequence[TensorSpec], answers: Named, goldens: Named, tolerance: Tolerance) -> Iterator[
        tuple[str, float, str]]:
    """Gives (output's name, share of equal values, what is wrong or '') for each output."""
    for spec in outputs:
        got, want = answers[spec.name], goldens[spec.name][:len(answers[spec.name])]
        if got.shape != want.shape or got.dtype != want.dtype:
            yield spec.name, 0.0, f"got {got.shape} {got.dtype}, expected {want.shape} {want.dtype}"
        elif got.dtype.kind == "f" and not np.isfinite(got).all():
            yield spec.name, 0.0, "got values that are not finite"
        else:
            step = tolerance.max_step + (SCORE_STEP if spec.pixel == "score8" else 0)
            floats = got.dtype.kind == "f"
            share = close_share(got, want, tolerance.max_share) if floats else equal_share(got, want, step)
            low = share < tolerance.min_equal
            yield spec.name, share, f"got {share:.5f} equal, expected {tolerance.min_equal:g}" if low else ""


def _broken(bundle: Bundle, variant: Variant) -> str:
    """What is wrong with the variant's file, or ''."""
    try:
        bundle.file(variant)
    except BundleError as error:
        return str(error)
    return ""


def _check(verdict: Verdict, bundle: Bundle, variant: Variant, backend: str, goldens: Named, *, asked: bool) -> None:
    """Lets a variant answer; one that nobody asked for by name is skipped where this CPU cannot compute it right."""
    try:
        with open_session(bundle, backend, variant.name) as session:
            where = f"{session.backend}:{session.device}"
            shares = []
            for name, share, wrong in compare(session.outputs, answer(session, goldens), goldens, variant.tolerance):
                shares.append(share)
                why = saturates(variant.name, cpu(), session.backend) if wrong and session.device == "cpu" else ""
                if wrong:
                    told = f"variant '{variant.name}' on {where}: output '{name}': {wrong}{why and '; ' + why}"
                    (verdict.skipped if why and not asked else verdict.problems).append(told)
            verdict.checked.append(Checked(variant.name, where, min(shares), variant.tolerance.min_equal))
    except EpeeError as error:
        if variant.kind != "onnx" or isinstance(error, Unsupported):  # here it cannot be judged
            verdict.skipped.append(f"variant '{variant.name}' on {backend}: {error}")
        else:
            verdict.problems.append(f"variant '{variant.name}' on {backend}: {error}")
    except Exception as error:  # a runtime's own failure on a broken graph is the bundle's problem, not a crash
        text = " ".join(str(error).split())[:200]
        verdict.problems.append(f"variant '{variant.name}' on {backend}: {type(error).__name__}: {text}")


def _fits(shape: tuple[int, ...], spec: tuple[int | None, ...]) -> bool:
    return len(shape) == len(spec) and all(want is None or have == want for have, want in zip(shape, spec, strict=True))


def render(verdict: Verdict) -> str:
    """What a person reads of a verdict."""
    lines = [f"{c.variant:<12} {c.backend:<22} {c.equal:.5f} equal, at least {c.min_equal:g} asked"
             for c in verdict.checked]
    lines += [f"skipped: {line}" for line in verdict.skipped]
    lines += [f"problem: {line}" for line in verdict.problems]
    count = len(verdict.problems)
    lines.append("ok: whole, and it answers its goldens here" if verdict.ok
                 else f"not ok: {count} problem{'s' * (count > 1)}")
    return "\n".join(lines)
