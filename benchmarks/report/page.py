"""report.html: one page without scripts or anything from elsewhere. First what to take, then why."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from ..choosing import choice, front, main_score, score_name, sentence
from ..compare import Comparison
from ..profile import Profile
from ..rounds import disturbed
from ..rows import PIPELINE, SCENARIOS, Results, Row
from ..versus import Contest
from . import charts, sections, table
from .style import SHEET


def page(results: Results, comparison: Comparison | None = None, profiles: Sequence[Profile] = (),
         contest: Contest | None = None) -> str:
    """The whole page as HTML."""
    rows = table.ordered(results.rows)
    name = escape(results.bundle["name"])
    parts = [f"<h1>{name} · {escape(results.bundle['task'])} · benchmark</h1>",
             f'<p class="take">{escape(sentence(rows))}</p>',
             f'<p class="soft">{escape(table.machine(results))}. {escape(table.what(results))}. '
             f"{escape(results.began.replace('T', ' ')[:16])} UTC.</p>",
             f'<p class="fault">{escape(said)}</p>' if (said := disturbed(results)) else "",
             sections.comparison(comparison) if comparison else "", _table(rows),
             *(f'<p class="fault">{escape(line)}</p>' for line in table.faults(rows)),
             sections.contest(contest) if contest else "", _pictures(rows),
             sections.profiles(profiles) if profiles else "",
             _machine(results), _method(results), _again(results)]
    return (f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{name}: benchmark</title>\n'
            f"<style>{SHEET}</style>\n<main>\n" + "\n".join(part for part in parts if part) + "\n</main>\n</html>\n")


def _table(rows: Sequence[Row]) -> str:
    keep, taken = table.columns(rows), choice(rows)
    head = "".join(f'<th class="{"l" * (i < 2)}" title="{escape(c.note)}">{escape(c.title)}</th>'
                   for i, c in enumerate(keep))
    body = []
    for row in rows:
        if row.scenarios:
            kind = "wrong" if row.wrong else "taken" if row is taken else ""
            cells = "".join(_cell(i, c, row) for i, c in enumerate(keep))
            body.append(f'<tr class="{kind}">{cells}</tr>')
    notes = "; ".join(f"{c.title}: {c.note}" for c in keep if c.note)
    return (f'<h2>All rows, fastest first</h2><div class="wide"><table class="cards"><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(body)}</tbody></table></div><p class=\"soft\">{escape(notes)}.</p>")


def _cell(i: int, column: table.Column, row: Row) -> str:
    swatch = f'<span class="swatch b{charts.hue(row)}"></span>' if i == 0 else ""
    words = f"<span>{swatch}{escape(column.text(row))}</span>" if column.text(row) else ""
    return f'<td class="{"l" * (i < 2)}" data-is="{escape(column.title)}">{words}</td>'


def _pictures(rows: Sequence[Row]) -> str:
    score, found = main_score([r for r in rows if r.good]), []
    if score:
        best = ", ".join(row.name for row in front(rows, score))
        found.append(figure("Time against quality", charts.quality(rows, score),
                            f"A row that is neither fastest nor best in {score_name(score)} for its time lies off the "
                            f"dashed line. On it: {best}."))
    if any(row.headline and row.headline.latency_ms for row in rows):
        found.append(figure("How the times are spread", charts.spread(rows),
                            "Every timed call of every process, none left out; ticks at p50, p90 and p99. Two humps "
                            "are two states of the machine; a long tail is what a camera sees as a stutter."))
    if any(PIPELINE in row.scenarios for row in rows):
        found.append(figure("A whole frame: decode, infer, overlay, encode", charts.stages(rows),
                            "Medians of each stage. Stages of different frames run at the same time, so that a frame "
                            "costs less than their sum."))
    return "".join(found)


def figure(title: str, chart: str, caption: str) -> str:
    """A chart with its heading and what to see in it; on a phone it is wider than the screen and moves sideways."""
    return (f'<h2>{escape(title)}</h2><figure><div class="scroll">{chart}</div>'
            f"<figcaption>{escape(caption)}</figcaption></figure>")


def _machine(results: Results) -> str:
    found, cpu = results.machine, results.machine["cpu"]
    facts: dict[str, Any] = {
        "processor": f"{cpu['name']}, {cpu['cores']} cores, {cpu['arch']}",
        "instruction sets": " ".join(cpu["flags"]), "board": found.get("board"),
        "GPUs": "; ".join(f"{g['name']}, driver {g['driver']}" for g in found.get("gpus", ())),
        "system": found["system"], "clock governor": found.get("governor") or "not told",
        "load before": found.get("load_1m"), "fingerprint": found.get("fingerprint"),
        "versions": ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        "energy": "; ".join(f"{device}: {note}" for device, note in results.energy.items())}
    return "<h2>Machine</h2>" + _facts(facts) + _conditions(results)


def _conditions(results: Results) -> str:
    """Rounds in which the machine was not at rest, so that nobody trusts such a table blindly."""
    rounds = [r for row in results.rows for s in row.scenarios.values() for r in s.rounds]
    unsteady = sum(not r.steady for r in rounds)
    others = [r.conditions["others"] for r in rounds if r.conditions.get("others") is not None]
    lines = [f"In {unsteady} of {len(rounds)} processes times had not settled when the warm-up's time was up."
             if unsteady else "Times had settled in every process before the first timed call."]
    if others:
        lines.append(f"Other programs used {sum(others) / len(others):.0%} of the processors meanwhile, on average.")
    return f'<p class="soft">{escape(" ".join(lines))}</p>'


def _method(results: Results) -> str:
    settings = results.settings
    asked = {name: SCENARIOS[name] for name in settings.scenarios if name in SCENARIOS}
    words = (f"Each row runs in {settings.rounds} fresh processes of {settings.seconds:g} s timed time, in rounds "
             "whose order is shuffled anew each time, so that drift of the machine hits all rows alike. Warm-up lasts "
             "until times are steady. No call is left out. Intervals are bootstraps of whole rounds: calls within a "
             "process agree far better than processes do. Every process also answers the bundle's goldens: a row "
             "that answers them wrong is listed last, in red, and is never the choice.")
    return f"<h2>Method</h2><p>{escape(words)}</p>" + _facts(asked)


def _again(results: Results) -> str:
    return f"<h2>Do it again</h2><pre>{escape(command(results))}</pre>"


def command(results: Results) -> str:
    """The command that measures the same rows in the same way."""
    s, rows = results.settings, [row for row in results.rows if not row.label]

    def some(values: Sequence[object]) -> str:
        return ",".join(map(str, dict.fromkeys(values)))

    words = [f"epee bench {results.bundle['name']} --out bench", f"--backend {some([r.backend for r in rows])}",
             f"--precision {some([r.variant for r in rows])}", f"--threads {some([r.threads for r in rows])}",
             f"--batch {some([r.batch for r in rows])}", f"--scenario {some(s.scenarios)}",
             f"--rounds {s.rounds} --seconds {s.seconds:g}"]
    if s.data:
        words.append(f"--data {s.data}" + f" --split {s.split}" * bool(s.split) + f" --limit {s.limit}" * bool(s.limit))
    words += [f"--source {s.source} --frames {s.frames}"] if s.source else []
    return " \\\n  ".join(words)


def _facts(facts: dict[str, Any]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items()
                            if v not in (None, "")) + "</dl>"
