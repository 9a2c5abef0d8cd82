"""What an engine says about itself, and the file with it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from .libraries import EngineError


@dataclass(frozen=True)
class Batch:
    """The batch sizes that an engine takes, and the one it is fastest at. Only for graphs whose batch is free."""

    least: int = 1
    best: int = 1
    most: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.best <= self.most:
            raise EngineError("batch of an engine", got=str(self), expected="1 <= least <= best <= most")

    def __str__(self) -> str:
        return f"{self.least}-{self.best}-{self.most}"

    @classmethod
    def parse(cls, text: str) -> Batch:
        """Reads what `str` wrote."""
        least, best, most = map(int, text.split("-"))
        return cls(least, best, most)


@dataclass(frozen=True)
class EngineSettings:
    """How an engine is built.

    Attributes:
        batch: see Batch.
        workspace_mb: memory that a layer may take while it computes; 0 is the library's choice.
        version_compatible: opens with later versions of the library too (`tensorrt` only; larger, a little slower).
        hardware_compatible: opens on all GPUs from Ampere on (`tensorrt` only, never on a Jetson; slower).
    """

    batch: Batch = Batch()
    workspace_mb: int = 0
    version_compatible: bool = False
    hardware_compatible: bool = False


@dataclass(frozen=True)
class EngineManifest:
    """Where an engine comes from and where it opens. Kept in a variant's `built_with`, all of it text there.

    Attributes:
        library, library_version: what built it, and with which version it opens.
        compute_capability: of the GPU it is for, e.g. `sm86`.
        source, source_sha256: the variant and the ONNX file that it was built from.
        precision: of the source.
        batch: the batch sizes that it takes, as `str(Batch)`.
        seconds: how long the build took.
        version_compatible, hardware_compatible: `yes` or `no`.
    """

    library: str
    library_version: str
    compute_capability: str
    source_sha256: str
    precision: str = ""
    source: str = ""
    batch: str = "1-1-1"
    seconds: str = ""
    version_compatible: str = "no"
    hardware_compatible: str = "no"

    def __str__(self) -> str:
        return f"{self.library} {self.library_version} for {self.compute_capability}"

    def to_json(self) -> dict[str, str]:
        """Gives the facts by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, facts: Mapping[str, str], what: str = "engine") -> EngineManifest:
        """Reads what `to_json` wrote, and leaves out what it does not know.

        Raises:
            EngineError: `what` does not say who built it, or for which GPU.
        """
        try:
            return cls(**{f.name: str(facts[f.name]) for f in fields(cls) if f.name in facts})
        except TypeError:
            raise EngineError(f"{what}: what built it", got=", ".join(sorted(facts)) or "nothing",
                              expected="library, library_version, compute_capability, source_sha256",
                              do="export the bundle again") from None


@dataclass(frozen=True)
class EngineFile:
    """A built engine: its bytes and its manifest."""

    data: bytes
    manifest: EngineManifest

    def write(self, path: Path) -> Path:
        """Writes the bytes, whole or not at all, and gives the path."""
        return write_whole(path, self.data)


def write_whole(path: Path, data: bytes) -> Path:
    """Writes a file that appears whole or not at all.

    Raises:
        EngineError: the place cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f"{path.name}.tmp-", dir=path.parent)
        with open(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise EngineError(f"cannot write {path}", got=error.strerror or str(error),
                          do="free some space there") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path
