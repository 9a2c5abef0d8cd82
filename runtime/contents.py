"""`epee inspect`: what is in a bundle, for a person and as JSON. Opens no backend."""

from __future__ import annotations

from typing import Any

from .backends import describe
from .bundle import Bundle
from .manifest import Variant


def facts(bundle: Bundle) -> dict[str, Any]:
    """The manifest with `path`, `digest` and the bundle's size in `bytes`."""
    size = sum(p.stat().st_size for p in bundle.path.iterdir() if p.is_file())
    return {"path": str(bundle.path), "digest": bundle.digest(), "bytes": size, **bundle.manifest.to_json()}


def render(bundle: Bundle) -> str:
    """What a person reads: task, tensors, classes, variants, where it comes from."""
    m, data = bundle.manifest, facts(bundle)
    lines = [f"{m.name}: {m.task}, {data['bytes'] / 1e6:.2f} MB in {bundle.path}", f"digest    {data['digest']}"]
    for title, specs in (("input", m.inputs), ("output", m.outputs)):
        lines += [f"{title:<9} {s.name} {describe(s)}{' ' + s.pixel if s.pixel else ''}" for s in specs]
    if any(s.size_hw for s in m.inputs):
        lines.append(f"fit       {m.fit.mode}, {m.fit.interpolation} (frames of another size)")
    if m.classes:
        lines.append(f"classes   {len(m.classes)}: " + ", ".join(f"{i} {name}" for i, name in enumerate(m.classes)))
    lines.append("variants")
    lines += [f"  {line}" for v in m.variants for line in _variant(v)]
    if m.provenance:
        lines.append("from")
        lines += [f"  {key:<14} {_short(value)}" for key, value in m.provenance.items() if value is not None]
    return "\n".join(lines)


def _variant(v: Variant) -> list[str]:
    """The variant's own line, and under it what was measured at export and what it was built with."""
    parity = ", ".join(f"{key} {value:g}" for key, value in v.parity.items())
    targets = f"for {', '.join(v.targets)}" if v.targets else "anywhere"
    built = " ".join(f"{name} {version}" for name, version in v.built_with.items())
    asked = f"{v.tolerance.min_equal:g} equal" + f" within {v.tolerance.max_step}" * bool(v.tolerance.max_step)
    notes = {"parity": parity, "asked": asked, "built with": built}
    return [f"{v.name:<14} {v.kind:<6} {v.precision:<5} {v.bytes / 1e6:6.2f} MB  {targets}",
            *(f"  {name:<12} {text}" for name, text in notes.items() if text)]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_short(v)}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
