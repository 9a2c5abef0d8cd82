"""What `auto` takes for a bundle on this machine: the choice that tuning left in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from . import machine
from .bundle import Bundle
from .errors import EpeeError
from .variants import choose_variant


@dataclass(frozen=True)
class Choice:
    """What was found best.

    Attributes:
        backend: `NAME:DEVICE`, as `--backend` takes it.
        variant: its name.
        ms: a frame, when it was tuned.
        tuned: the day, ISO.
        among: how many answered right and were timed.
    """

    backend: str
    variant: str
    ms: float
    tuned: str
    among: int = 1

    def line(self) -> str:
        """Why it is used, for a person."""
        return (f"{self.variant} on {self.backend}: {self.ms:.1f} ms a frame, the fastest of {self.among} that answer "
                f"right here, tuned {self.tuned}")


def remembered(bundle: Bundle) -> Choice | None:
    """What an earlier tuning chose for this bundle, machine and libraries, or None."""
    if not any(_folder().glob(f"{bundle.digest()}-*.json")):
        return None  # spares the search for library versions where nothing was ever tuned
    try:
        data = json.loads(choice_file(bundle).read_text(encoding="utf-8"))
        choice = Choice(str(data["backend"]), str(data["variant"]), float(data["ms"]), str(data["tuned"]),
                        int(data.get("among", 1)))
        choose_variant(bundle, choice.variant)
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
    """Where the choice for this bundle on this machine, with these libraries, lies."""
    facts = [machine.cpu(), machine.board(), sorted(_gpus()), machine.versions()]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    return _folder() / f"{bundle.digest()}-{key}.json"


def _folder() -> Path:
    return machine.cache_folder() / "tuned"


def _gpus() -> list[str]:
    """Marks of NVIDIA GPUs that cost no call of nvidia-smi."""
    return [p.name for p in Path("/proc/driver/nvidia/gpus").glob("*")]
