"""Results of a study as they stand in its file: a line a run, added as it ends and never run again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime import machine
from ...runtime.scores import Confusion

FOLDER = Path(__file__).parent.parent / "results"
"""Where results that are kept lie."""


def lines(path: Path) -> list[dict[str, Any]]:
    """What a results file holds; nothing where there is none."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def line_of(path: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """The line of a results file with all that `key` says, or None."""
    return next((line for line in lines(path) if key.items() <= line.items()), None)


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Adds a line to a results file, with the machine that it came of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**row, "machine": here()}) + "\n")


def here() -> str:
    """This machine in a few words: what decides how far a minute goes."""
    cpu = machine.cpu()
    return ", ".join([machine.board() or cpu["name"], f"{cpu['cores']} cores", *cpu["flags"][-1:],
                      *(gpu["name"] for gpu in machine.gpus())])


def machines(rows: Iterable[Mapping[str, Any]]) -> str:
    """A line for a person: where these lines came of. A minute of one machine is not a minute of another."""
    found = sorted({str(row.get("machine", "one that nobody noted")) for row in rows})
    return ("machines, whose minutes differ: " if len(found) > 1 else "machine: ") + ("; ".join(found) or "none yet")


def pooled(rows: Sequence[Mapping[str, Any]]) -> Confusion:
    """One confusion matrix of what all folds were scored on."""
    confusion = Confusion(len(rows[0]["names"]))
    for row in rows:
        confusion.matrix += np.asarray(row["confusion"], np.int64)
    return confusion
