"""What a benchmark leaves: a table for the terminal, results.json, plots, and a page with all of it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..runtime import machine
from ..runtime.backends import BACKENDS
from ..runtime.bundle import Bundle
from ..runtime.errors import EpeeError, need
from .matrix import Row, Settings

MARKS, LEAST_SPAN = "os^Dv", 0.02
"""Of the quality plot: a mark for each variant, and the least range of mIoU that it shows."""
COLUMNS = ("backend", "variant", "p50", "p90", "p99", "mean", "frames/s", "mIoU", "cold ms", "RSS MB", "MB")
WIDE = 92
"""A terminal with fewer columns does without p90 and mean; results.json has them."""
HUES = ("#2a6fbb", "#e07b39", "#4c9f70", "#a2559c", "#c8a415", "#5a5a5a")
"""One a backend, in BACKENDS' order."""


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


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Fastest first; wrong and failed rows last."""
    return sorted(rows, key=lambda r: (bool(r.error), bool(r.wrong), r.latency_ms["p50"] if r.latency_ms else 0.0))


def cells(row: Row) -> list[str]:
    """The row's texts, one a column of COLUMNS; a failed row has only its names."""
    if row.latency_ms is None:
        return [row.where, row.variant]
    ms = row.latency_ms
    return [row.where, row.variant + (" WRONG" if row.wrong else ""),
            *(f"{ms[key]:.2f}" for key in ("p50", "p90", "p99", "mean")), f"{1e3 / ms['p50']:.1f}",
            "-" if row.miou is None else f"{row.miou:.4f}", f"{row.cold_start_ms:.0f}", f"{row.peak_rss_mb:.0f}",
            f"{row.bytes / 1e6:.2f}"]


def table(rows: Sequence[Row], settings: Settings, title: str) -> str:
    """The table as text, as wide as the terminal; reasons of failed and wrong rows stand below it."""
    need("rich")
    from rich.console import Console
    from rich.table import Table

    console = Console()
    keep = [i for i, name in enumerate(COLUMNS) if console.width >= WIDE or name not in ("p90", "mean")]
    shown = Table(title=f"{title}: ms a frame, batch 1, {_threads(settings)}", title_justify="left",
                  box=None, padding=(0, 2 if console.width >= WIDE else 1, 0, 0))
    for i in keep:
        shown.add_column(COLUMNS[i], justify="left" if i < 2 else "right", no_wrap=True)
    for row in ordered(rows):
        if row.latency_ms is not None:
            texts = cells(row)
            shown.add_row(*(texts[i] for i in keep), style="red" if row.wrong else "")
    with console.capture() as capture:
        console.print(shown)
    return capture.get().rstrip() + "".join(f"\n{line}" for line in faults(rows))


def faults(rows: Sequence[Row]) -> list[str]:
    """One line for each row that failed or answers its goldens wrong."""
    lines = [f"wrong: {r.variant} on {r.where}: {line}" for r in rows for line in r.wrong]
    return lines + [f"failed: {r.variant} on {r.where}: {r.error}" for r in rows if r.error]


def write(out: Path, bundle: Bundle, rows: Sequence[Row], settings: Settings) -> dict[str, str]:
    """Writes results.json, the plots and report.html; gives what was written, by name.

    Raises:
        EpeeError: the folder cannot be written.
    """
    rows = ordered(rows)
    results = {"format": 1, "bundle": {"name": bundle.manifest.name, "digest": bundle.digest()},
               "machine": machine.describe(), "settings": asdict(settings), "rows": [r.to_json() for r in rows]}
    try:
        files = {"results": out / "results.json"}
        files["results"].write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        measured = [r for r in rows if r.latency_ms is not None]
        if measured:
            files["latency"] = _plot_latency(out / "latency.png", measured)
        if any(r.miou is not None for r in measured):
            files["quality"] = _plot_quality(out / "quality.png", measured)
        files["report"] = _page(out / "report.html", results, rows, [files[k] for k in ("latency", "quality")
                                                                     if k in files])
    except OSError as error:
        raise EpeeError(f"cannot write the results to '{out}'", got=error.strerror or str(error),
                        do="free some space or name another --out") from None
    return {name: str(path) for name, path in files.items()}


def _figure(height_in: float) -> tuple[Any, Any]:
    need("matplotlib").use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height_in), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _plot_latency(path: Path, rows: Sequence[Row]) -> Path:
    """Bars at the median, a line on to the 99th percentile; fastest on top."""
    figure, axes = _figure(1.2 + 0.42 * len(rows))
    for y, row in enumerate(rows):
        ms = row.latency_ms or {}
        axes.barh(y, ms["p50"], color=_hue(row), height=0.62, alpha=0.35 if row.wrong else 1.0)
        axes.plot((ms["p50"], ms["p99"]), (y, y), color="black", linewidth=1)
        axes.text(ms["p99"], y, f"  {ms['p50']:.2f}", va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [f"{r.variant} · {r.where}" + " · wrong" * bool(r.wrong) for r in rows])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel("milliseconds a frame: median, line to the 99th percentile")
    figure.savefig(path, dpi=120)
    return path


def _plot_quality(path: Path, rows: Sequence[Row]) -> Path:
    """Latency against mIoU: up and left is better. A colour a backend, a mark a variant."""
    variants = {row.variant for row in rows}
    figure, axes = _figure(4.5)
    for row in rows:
        if row.miou is not None and row.latency_ms is not None:
            axes.plot(row.latency_ms["p50"], row.miou, MARKS[sorted(variants).index(row.variant) % len(MARKS)],
                      color=_hue(row), markersize=8, label=f"{row.variant} · {row.backend}")
    axes.margins(x=0.2, y=0.2)
    low, high = axes.get_ylim()
    if high - low < LEAST_SPAN:  # equal answers shall look equal
        axes.set_ylim((low + high - LEAST_SPAN) / 2, (low + high + LEAST_SPAN) / 2)
    axes.ticklabel_format(useOffset=False)
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=9)
    axes.grid(alpha=0.25)
    axes.set_xlabel("milliseconds a frame, median")
    axes.set_ylabel("mIoU")
    figure.savefig(path, dpi=120)
    return path


def _page(path: Path, results: dict[str, Any], rows: Sequence[Row], pictures: Sequence[Path]) -> Path:
    """One self-contained page: machine, table, pictures."""
    cpu, esc = results["machine"]["cpu"], html.escape
    body = "".join("<tr>" + "".join(f"<td>{esc(text)}</td>" for text in cells(r)) + "</tr>\n"
                   for r in rows if r.latency_ms is not None)
    images = "".join(f'<img alt="{p.stem}" src="data:image/png;base64,{base64.b64encode(p.read_bytes()).decode()}">\n'
                     for p in pictures)
    versions = ", ".join(f"{name} {version}" for name, version in results["machine"]["versions"].items())
    name = esc(results["bundle"]["name"])
    path.write_text(f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{name}: benchmark</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums }}
th, td {{ padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd }}
th:nth-child(-n+2), td:nth-child(-n+2) {{ text-align: left }}
img {{ max-width: 100%; margin-top: 1.5rem }} small {{ color: #666 }}
</style>
<h1>{name}</h1>
<p>Milliseconds a frame, batch 1, {results['settings']['rounds']} rounds in fresh processes.</p>
<table><tr>{"".join(f"<th>{esc(c)}</th>" for c in COLUMNS)}</tr>
{body}</table>
{"".join(f"<p>{esc(line)}</p>" for line in faults(rows))}
{images}<p><small>{esc(cpu['name'])}, {cpu['cores']} cores, {esc(' '.join(cpu['flags']))};
{esc(results['machine']['system'])}; {esc(versions)}</small></p></html>
""", encoding="utf-8")
    return path


def _hue(row: Row) -> str:
    return HUES[list(BACKENDS).index(row.backend) % len(HUES)]


def _threads(settings: Settings) -> str:
    return f"{settings.threads} threads" if settings.threads else "default threads"
