"""What an export did, as `epee export --json` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..runtime.errors import ExportError
from ..runtime.manifest import Variant
from .budget import Step
from .variants import FAILED, WRITTEN, Made


@dataclass(frozen=True)
class Row:
    """What became of one variant.

    Attributes:
        precision, variant, file, bytes: as in the manifest; no file where it was refused.
        parity: what was measured: see `parity.Parity`, and for INT8 `drop` and `equal`.
        status: `written`, `unmeasured` (written, its speed is for the device to say), `refused` or `failed`.
        reason: why.
        search: the steps that led here, for INT8.
    """

    precision: str
    variant: str
    file: str
    bytes: int
    parity: Mapping[str, float | None]
    status: str
    reason: str = ""
    search: tuple[Step, ...] = ()


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        bundle: the bundle's folder, or None where nothing was written.
        rows: one a variant.
        seconds: wall time.
        lacking: for somebody else's model, backend that works here but does not take the float graph -> why.
    """

    bundle: Path | None
    rows: tuple[Row, ...]
    seconds: float
    lacking: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The object that `epee export --json` prints."""
        return {"bundle": None if self.bundle is None else str(self.bundle),
                "variants": [asdict(row) for row in self.rows], "seconds": round(self.seconds, 2),
                "lacking": dict(self.lacking)}


class ParityError(ExportError):
    """The exported graph does not answer as the trained network; nothing was written.

    Attributes:
        report: with the row that failed.
    """

    def __init__(self, report: ExportReport) -> None:
        self.report = report
        row = next(row for row in report.rows if row.status == FAILED)
        super().__init__(f"parity of variant '{row.variant}' does not hold", got=row.reason,
                         do="nothing was written; please report it with the checkpoint")


def row_of(made: Made) -> Row:
    """The report's line of a variant."""
    file, size = (made.variant.file, made.variant.bytes) if made.variant else ("", 0)
    return Row(made.precision, made.name, file, size, made.parity, made.status, made.reason, made.steps)


def extractor_report(variant: Variant, seconds: float, out: Path) -> ExportReport:
    """The report of a feature extractor's export."""
    row = Row(variant.precision, variant.name, variant.file, variant.bytes, variant.parity, WRITTEN)
    return ExportReport(out, (row,), seconds)
