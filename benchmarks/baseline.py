"""Baselines of `epee bench --compare`: an old bundle that is run again, or, on the same machine, its old figures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..runtime.bundle import MANIFEST, Bundle
from ..runtime.errors import ConfigError, DataError, EpeeError
from ..runtime.manifest import Manifest
from .matrix import Contestant, contestants
from .rows import Results, Row, Settings

LABEL, RESULTS, BUNDLE = "baseline", "results.json", "bundle.epee"
FACTS = ("board", "cpu", "gpus", "governor")
"""What has to be the same of two machines for their figures to be compared."""


@dataclass(frozen=True)
class Baseline:
    """What to compare with: a bundle to run again, or else what was measured of one.

    Attributes:
        name: in a few words.
        bundle: the old one; None where there are only figures.
        results: figures; None where there is only a bundle.
    """

    name: str
    bundle: Bundle | None = None
    results: Results | None = None


def save(folder: Path, bundle: Bundle, results: Results) -> Path:
    """Keeps a bundle and its figures as a baseline: FOLDER/bundle.epee and FOLDER/results.json.

    Raises:
        EpeeError: it cannot be written; what was there before is then still there.
    """
    check_place(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.tmp-", dir=folder.parent) as made:
            shutil.copytree(bundle.path, Path(made, "new", BUNDLE))
            results.save(Path(made, "new", RESULTS))
            if folder.exists():
                folder.rename(Path(made, "old"))
            Path(made, "new").rename(folder)
    except (OSError, shutil.Error) as error:
        raise EpeeError(f"cannot save the baseline '{folder}'", got=getattr(error, "strerror", None) or str(error),
                        do="free some space or name another --save-baseline") from None
    return folder


def check_place(folder: Path) -> None:
    """Raises ConfigError where something that is no baseline stands in the place of one."""
    if folder.exists() and not (folder / RESULTS).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--save-baseline '{folder}'", got="something that is no baseline is there",
                          expected="a new folder, or an earlier baseline", do="name another one")


def find(text: str) -> Baseline:
    """Reads what `--compare` names: a folder of `--save-baseline`, a bundle, or a results.json.

    Raises:
        EpeeError: there is nothing, or nothing of the kind.
    """
    path = Path(text)
    if (path / RESULTS).is_file() and (path / BUNDLE / MANIFEST).is_file():
        results = Results.load(path / RESULTS)
        return Baseline(f"'{text}' of {results.began[:10]}, run again", Bundle.open(path / BUNDLE), results)
    if (path / RESULTS).is_file():
        path /= RESULTS
    if path.is_file():
        results = Results.load(path)
        return Baseline(f"figures of {results.began[:16].replace('T', ' ')} in '{text}'", results=results)
    try:
        return Baseline(f"bundle '{text}', run again", Bundle.open(text))
    except EpeeError as error:
        if path.exists():
            raise
        raise ConfigError(f"--compare '{text}'", got=f"nothing there ({error.what})",
                          expected="a folder of --save-baseline, a bundle, or a results.json",
                          do="make one by `epee bench OLD.epee --out DIR --save-baseline FOLDER`") from None


def check_bundle(manifest: Manifest, old: Baseline) -> None:
    """Raises DataError where the two bundles do not do the same work."""
    if old.bundle is not None:
        then = old.bundle.manifest
        facts = [("task", then.task, manifest.task),
                 ("inputs", _tensors(then.inputs), _tensors(manifest.inputs)),
                 ("outputs", _tensors(then.outputs), _tensors(manifest.outputs))]
    else:
        facts = [("task", old.results.bundle.get("task", "") if old.results else "", manifest.task)]
    for what, was, now in facts:
        if was != now:
            raise DataError(f"baseline {old.name}: {what}", got=was, expected=f"{now}, as of '{manifest.name}'",
                            do="compare bundles that do the same work")


def check_machine(old: Baseline, here: dict[str, Any]) -> None:
    """Raises DataError where figures were measured on another machine; a bundle is run again, so that it may be any.

    Args:
        old: the baseline.
        here: `runtime.machine.describe()`.
    """
    if old.bundle is not None or old.results is None:
        return
    then = old.results.machine
    differ = [f"{fact} {_short(then.get(fact))} there, {_short(here.get(fact))} here"
              for fact in FACTS if then.get(fact) != here.get(fact)]
    if differ:
        raise DataError(f"baseline {old.name}", got="another machine: " + "; ".join(differ),
                        expected="figures of this one",
                        do="name the old bundle instead, --compare OLD.epee: it is run again here, beside the new one")


def upgrades(old: Baseline, here: dict[str, Any]) -> str:
    """Which library versions differ between figures and this machine: perhaps the very thing to find out; or ''."""
    if old.bundle is not None or old.results is None:
        return ""
    then, now = old.results.machine.get("versions", {}), here.get("versions", {})
    return ", ".join(f"{name} {then.get(name, 'absent')} then, {now.get(name, 'absent')} now"
                     for name in sorted({*then, *now}) if then.get(name) != now.get(name))


def rivals(old: Bundle, rows: Sequence[Row], settings: Settings) -> list[Contestant]:
    """The old bundle's rows as contestants of the same rounds, each beside the new bundle's row.

    Args:
        old: the baseline's bundle.
        rows: of the new bundle, unmeasured; those whose variant the old one lacks have no rival.
        settings: only the first scenario is compared.
    """
    sizes = {v.name: (v.precision, v.bytes) for v in old.manifest.variants}
    twins = []
    for row in rows:
        file = row.variant if row.variant in sizes else "fp32" if row.precision == "bf16" else ""
        if file in sizes:
            twins.append(replace(row, bytes=sizes[file][1], label=LABEL, scenarios={}, wrong=[], quality={}))
    return contestants(old, twins, replace(settings, scenarios=settings.scenarios[:1]))


def _tensors(specs: Sequence[Any]) -> str:
    return ", ".join(f"{s.name} {s.shape} {s.dtype}".replace("None", "N") for s in specs)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"'{value.get('name', '')}' with {value.get('cores')} cores ({' '.join(value.get('flags', ()))})"
    if isinstance(value, list):
        return ", ".join(str(entry.get("name", entry)) for entry in value) or "none"
    return f"'{value}'"
