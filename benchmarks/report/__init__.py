"""What a benchmark leaves: a table for the terminal and to paste, results.json, pictures, and a page with all of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ...runtime.errors import EpeeError
from ..choosing import main_score
from ..compare import Comparison
from ..profile import Profile
from ..rows import Results
from ..versus import Contest
from .page import page
from .table import faults, markdown, ordered, terminal

__all__ = ["faults", "markdown", "ordered", "prepare", "terminal", "write"]


def prepare(out: Path) -> None:
    """Makes the folder and shows that it can be written, before minutes are spent on measuring.

    Raises:
        EpeeError: it cannot.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.write_text("", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        raise EpeeError(f"--out '{out}'", got=error.strerror or str(error), expected="a folder to write in",
                        do="name another --out") from None


def write(out: Path, results: Results, comparison: Comparison | None = None, profiles: Sequence[Profile] = (),
          contest: Contest | None = None) -> dict[str, str]:
    """Writes results.json, results.md, the pictures and report.html; gives what was written, by name.

    Args:
        out: an existing folder.
        results: what was measured; results.json is written first, so that a disk that fills up spares it.
        comparison, profiles, contest: what `--compare`, `--profile` and `--vs` found; each but the first also has a
            JSON file of its own.

    Raises:
        EpeeError: the folder cannot be written.
    """
    from . import pictures

    rows = ordered(results.rows)
    measured = [row for row in rows if row.scenarios]
    score = main_score([row for row in measured if row.good])
    files = {"results": out / "results.json"}
    results.save(files["results"])
    others = {"comparison": comparison and comparison.to_json(), "profile": [p.to_json() for p in profiles],
              "versus": contest and contest.to_json()}
    try:
        for name, found in others.items():
            if found:
                files[name] = out / f"{name}.json"
                files[name].write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        files["table"] = out / "results.md"
        files["table"].write_text(markdown(results), encoding="utf-8")
        files["report"] = out / "report.html"
        files["report"].write_text(page(results, comparison, profiles, contest), encoding="utf-8")
        if measured:
            files["latency"] = pictures.latency(out / "latency.png", measured)
        if score:
            files["quality"] = pictures.quality(out / "quality.png", measured, score)
    except OSError as error:
        raise EpeeError(f"cannot write the report to '{out}'", got=error.strerror or str(error),
                        do="free some space or name another --out; what was measured is in results.json"
                        if files["results"].exists() else "free some space or name another --out") from None
    return {name: str(path) for name, path in files.items()}
