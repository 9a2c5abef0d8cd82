"""`epee tune`: which backend and variant answer right and fastest here, remembered for `auto`.

The choice lies in the user's cache folder, by bundle, machine and library versions: after an upgrade, or on another
machine that shares the folder, it is not found and the default holds until the next `epee tune`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from . import machine
from .backends import parse_backend, probe_all
from .bundle import Bundle
from .errors import EpeeError
from .manifest import Variant
from .stopwatch import Timing, time_variants

SECONDS, ROUNDS = 0.25, 3
VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")
"""Any of these adds products of bytes without saturating."""


@dataclass(frozen=True)
class Choice:
    """What was found best.

    Attributes:
        backend: `NAME:DEVICE`, as `--backend` takes it.
        variant: its name.
        ms: a frame, when it was tuned.
        tuned: the day, ISO.
    """

    backend: str
    variant: str
    ms: float
    tuned: str

    def line(self) -> str:
        """Why it is used, for a person."""
        return f"{self.variant} on {self.backend}: {self.ms:.1f} ms a frame, tuned {self.tuned}"


@dataclass(frozen=True)
class Tuned:
    """What `tune` found.

    Attributes:
        timings: one a backend and variant.
        choice: the fastest that answers right, or None.
        file: where the choice is remembered, or None where it is not.
    """

    timings: tuple[Timing, ...]
    choice: Choice | None
    file: Path | None

    def to_json(self) -> dict[str, Any]:
        """The object that `epee tune --json` prints."""
        return {"choice": None if self.choice is None else asdict(self.choice),
                "candidates": [{**asdict(t), "verdict": self.verdict(t)} for t in self.timings],
                "file": None if self.file is None else str(self.file)}

    def verdict(self, timing: Timing) -> str:
        """`chosen`, `slower`, or what is wrong."""
        if timing.wrong:
            return timing.wrong
        chosen = self.choice and (timing.variant, _where(timing)) == (self.choice.variant, self.choice.backend)
        return "chosen" if chosen else "slower"


def tune(bundle: Bundle, backends: Sequence[str] = (), *, threads: int = 0,
         say: Callable[[str], None] = lambda line: None) -> Tuned:
    """Checks goldens and times every variant on every backend, and remembers the fastest that answers right.

    Args:
        bundle: what to tune.
        backends: `NAME[:DEVICE]` each; none means all that are available. A choice among some is not remembered.
        threads: compute threads; 0 leaves it to the backends. A choice with other than 0 is not remembered.
        say: is told each backend.

    Raises:
        BackendError: no such backend.
    """
    timings: list[Timing] = []
    here = machine.cpu()
    for backend in backends or [b.name for b in probe_all() if b.available]:
        wrong = {v.name: saturates(v.name, here) for v in bundle.manifest.variants if opens(v, backend)}
        say(f"{backend}: {len(wrong)} variants")
        pairs = [(backend, name) for name, reason in wrong.items() if not reason]
        timings += [Timing(backend, "", name, wrong=reason) for name, reason in wrong.items() if reason]
        timings += time_variants(bundle, pairs, seconds=SECONDS, rounds=ROUNDS, threads=threads)
    right = [t for t in timings if not t.wrong and t.ms is not None]
    best = min(right, key=lambda t: t.ms or 0.0, default=None)
    choice = None if best is None else Choice(_where(best), best.variant, round(best.ms or 0.0, 3),
                                              date.today().isoformat())
    keep = choice is not None and not backends and not threads
    return Tuned(tuple(timings), choice, remember(bundle, choice) if keep and choice else None)


def remembered(bundle: Bundle) -> Choice | None:
    """What an earlier `tune` chose for this bundle, machine and libraries, or None."""
    if not any((cache_folder() / "tuned").glob(f"{bundle.digest()}-*.json")):
        return None  # spares the search for library versions where nothing was ever tuned
    try:
        data = json.loads(choice_file(bundle).read_text(encoding="utf-8"))
        choice = Choice(str(data["backend"]), str(data["variant"]), float(data["ms"]), str(data["tuned"]))
        bundle.manifest.variant(choice.variant)
    except (OSError, ValueError, KeyError, TypeError, EpeeError):
        return None
    return choice


def remember(bundle: Bundle, choice: Choice) -> Path | None:
    """Writes the choice down, whole or not at all; gives the file, or None where the cache cannot be written."""
    file = choice_file(bundle)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, suffix=".part", delete=False) as part:
            json.dump(asdict(choice), part)
        os.replace(part.name, file)
    except OSError as error:
        print(f"epee: the choice is not remembered: {file}: {error.strerror or error}", file=sys.stderr)
        return None
    return file


def choice_file(bundle: Bundle) -> Path:
    """Where the choice for this bundle on this machine lies."""
    facts = [machine.cpu(), machine.board(), sorted(_gpus()), machine.versions()]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    return cache_folder() / "tuned" / f"{bundle.digest()}-{key}.json"


def cache_folder() -> Path:
    """The user's cache folder for epee: `$XDG_CACHE_HOME/epee`, else the system's usual place."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "epee"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "epee"


def saturates(variant: str, cpu: Mapping[str, Any]) -> str:
    """Why a variant must not run on a CPU that adds products of bytes in 16 bits, or ''."""
    x86 = cpu["arch"] in ("x86_64", "AMD64", "x86")
    if variant != "int8-u8s8" or not x86 or set(VNNI) & set(cpu["flags"]):
        return ""
    return "sums saturate on this CPU, which has no VNNI; int8-u8s8-rr is made for it"


def opens(variant: Variant, backend: str) -> bool:
    """Whether the variant is for this backend at all: an engine is for the one library that it was built with."""
    library = parse_backend(backend)[0]
    return variant.kind != "engine" or any(target.partition(":")[0] == library for target in variant.targets)


def render(tuned: Tuned) -> str:
    """The table that a person reads."""
    lines = [f"{'variant':<20}{'backend':<22}{'ms':>8}{'equal':>9}  verdict"]
    for t in sorted(tuned.timings, key=lambda t: (t.ms is None, t.ms or 0.0)):
        ms = "-" if t.ms is None else f"{t.ms:.2f}"
        equal = "-" if t.equal is None else f"{t.equal:.5f}"
        lines.append(f"{t.variant:<20}{_where(t):<22}{ms:>8}{equal:>9}  {tuned.verdict(t)}")
    if tuned.choice is None:
        return "\n".join([*lines, "nothing answers right here"])
    end = f"`auto` uses it from now on ({tuned.file})" if tuned.file else "not remembered"
    return "\n".join([*lines, f"{tuned.choice.line()}: {end}"])


def _where(timing: Timing) -> str:
    return f"{timing.backend}:{timing.device}" if timing.device else timing.backend


def _gpus() -> list[str]:
    """Marks of NVIDIA GPUs that cost no call of nvidia-smi."""
    return [p.name for p in Path("/proc/driver/nvidia/gpus").glob("*")]
