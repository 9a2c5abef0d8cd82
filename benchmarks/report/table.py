"""The rows as a table: for the terminal, as Markdown to paste, and as cells for the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...runtime.errors import need
from ..choosing import SCORES, main_score
from ..rows import OFFLINE, PACED, PIPELINE, SINGLE, Results, Row, Scenario

WIDE = 110
"""A terminal with fewer columns does without those that are not `key`; results.json has them."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: its head, with the unit.
        text: a row's cell; '' where it has nothing to say.
        note: what it is, in a few words.
        key: whether it is shown on a narrow terminal too.
    """

    title: str
    text: Callable[[Row], str]
    note: str = ""
    key: bool = True


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Fastest first, by the first scenario; wrong and failed rows last."""
    return sorted(rows, key=lambda r: (bool(r.error), bool(r.wrong), r.headline.ms if r.headline else 0.0))


def faults(rows: Sequence[Row]) -> list[str]:
    """One line for each row or scenario that failed, and for each row that answers its goldens wrong."""
    lines = [f"wrong: {row.name}: {line}" for row in rows for line in row.wrong]
    lines += [f"failed: {row.name}: {row.error}" for row in rows if row.error]
    return lines + [f"failed: {row.name}, {scenario}: {why}" for row in rows for scenario, why in row.failed.items()]


def quality_names(rows: Sequence[Row]) -> list[str]:
    """The scores that some row has, in the order in which they came."""
    return list(dict.fromkeys(name for row in rows for name in row.quality))


def columns(rows: Sequence[Row]) -> list[Column]:
    """What the rows have something to say about."""
    found = [Column("backend", lambda r: (r.label + " " if r.label else "") + r.where),
             Column("variant", lambda r: r.variant + (" WRONG" if r.wrong else ""))]
    if any(row.computed and row.computed != row.precision for row in rows):
        found.append(Column("computes", lambda r: r.computed, "precision that its layers really compute in", False))
    if any(row.batch != 1 for row in rows):
        found.append(Column("batch", lambda r: str(r.batch)))
    if len({row.threads for row in rows}) > 1:
        found.append(Column("threads", lambda r: str(r.threads or "auto")))
    for name in dict.fromkeys(name for row in rows for name in row.scenarios):
        found += _scenario(name)
    main = main_score(rows)
    found += [Column(SCORES.get(name, name), _score(name), key=name == main) for name in quality_names(rows)]
    found.append(Column("cold ms", lambda r: _number(r.cold_start_ms, 0), "open to first answer", False))
    if any(row.headline and row.headline.energy_mj is not None for row in rows):
        found.append(Column("mJ", lambda r: _number(r.headline.energy_mj if r.headline else None, 1),
                            "energy a frame", False))
    return [*found, Column("RSS MB", lambda r: _number(r.peak_rss_mb, 0), "largest resident memory", False),
            Column("MB", lambda r: f"{r.bytes / 1e6:.2f}", "the model's file")]


def _scenario(name: str) -> list[Column]:
    """Columns of one scenario: of single frames the whole spread, of the others what they are about."""
    def of(take: Callable[[Scenario], str]) -> Callable[[Row], str]:
        return lambda row: take(row.scenarios[name]) if name in row.scenarios else ""

    headline = of(lambda s: f"{s.ms:.2f}")
    if name == SINGLE:
        return [Column("p50 ms", headline, "median of a call"),
                Column("95%", of(interval), "confidence of the median, over fresh processes", False),
                Column("p90", of(lambda s: _number(s.latency_ms.get("p90"), 2)), key=False),
                Column("p99", of(lambda s: _number(s.latency_ms.get("p99"), 2))),
                Column("frames/s", of(lambda s: f"{s.fps:.1f}"), key=False)]
    if name in (OFFLINE, PIPELINE):
        return [Column(f"{name} ms", headline, "wall time a frame")]
    late = [Column("late", of(lambda s: str(s.counts.get("late", 0) + s.counts.get("dropped", 0))),
                   "frames of the pace answered too late or dropped", False)] * (name == PACED)
    return [Column(f"{name} ms", headline), *late]


def _score(name: str) -> Callable[[Row], str]:
    digits = 2 if name.endswith("_db") else 4
    return lambda row: _number(row.quality.get(name), digits)


def interval(scenario: Scenario) -> str:
    """`3.41-3.60`, or '' where there were too few rounds."""
    return "{:.2f}-{:.2f}".format(*scenario.interval_ms) if scenario.interval_ms else ""


def terminal(results: Results) -> str:
    """The table as text, as wide as the terminal; reasons of failed and wrong rows stand below it."""
    need("rich")
    from rich.console import Console
    from rich.table import Table

    console = Console()
    wide, rows = console.width >= WIDE, ordered(results.rows)
    keep = [column for column in columns(rows) if wide or column.key]
    shown = Table(title=f"{results.bundle['name']}: {what(results)}", title_justify="left", box=None,
                  padding=(0, 2 if wide else 1, 0, 0))
    for i, column in enumerate(keep):
        shown.add_column(column.title, justify="left" if i < 2 else "right", no_wrap=True)
    for row in rows:
        if row.scenarios:
            shown.add_row(*(column.text(row) for column in keep), style="red" if row.wrong else "")
    with console.capture() as capture:
        console.print(shown)
    return capture.get().rstrip() + "".join(f"\n{line}" for line in faults(rows))


def markdown(results: Results) -> str:
    """The table to paste, every column of it, with a line that says how and where it was measured."""
    rows = ordered(results.rows)
    keep = columns(rows)
    lines = ["| " + " | ".join(column.title for column in keep) + " |",
             "|" + "|".join([" --- "] * 2 + [" ---: "] * (len(keep) - 2)) + "|"]
    lines += ["| " + " | ".join(column.text(row) or "-" for column in keep) + " |" for row in rows if row.scenarios]
    notes = "; ".join(f"{column.title}: {column.note}" for column in keep if column.note)
    return "\n".join([*lines, "", f"`{results.bundle['name']}`, {what(results)}, on {machine(results)}. {notes}.",
                      *(f"- {line}" for line in faults(rows))]) + "\n"


def what(results: Results) -> str:
    """How it was measured, in a line."""
    settings = results.settings
    threads = {row.threads for row in results.rows}
    count = next(iter(threads)) if len(threads) == 1 else None
    said = "" if count is None else f", {count} thread{'s' * (count > 1)}" if count else ", each backend's own threads"
    return f"{settings.rounds} fresh process{'es' * (settings.rounds > 1)} a row of {settings.seconds:g} s{said}"


def machine(results: Results) -> str:
    """The processor and its cores, the GPUs, in a line."""
    cpu = results.machine["cpu"]
    gpus = "".join(f", {gpu['name']}" for gpu in results.machine.get("gpus", ()))
    return f"{results.machine.get('board') or cpu['name']}, {cpu['cores']} cores{gpus}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
