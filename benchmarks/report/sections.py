"""Parts of the page that only some benchmarks have: a comparison, other people's runs, profiles."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..compare import VERDICTS, Compared, Comparison, change
from ..profile import Part, Profile
from ..versus import Contest, beside
from . import svg


def comparison(found: Comparison) -> str:
    """Verdict, table and a picture of the intervals against the limit."""
    broken = [row.name for row in found.rows if row.verdict in ("slower", "broken")]
    limit = f"{100 * found.max_slower:g}%"
    verdict = (f"Worse than the baseline: {'; '.join(broken)}." if broken
               else f"No row is shown to be more than {limit} slower than the baseline.")
    body = "".join(f'<tr class="{row.verdict}"><td class="l" data-is="row">{escape(row.name)}</td>'
                   f'<td class="l" data-is="verdict" title="{escape(VERDICTS[row.verdict])}">{row.verdict}</td>'
                   f'<td data-is="change">{escape(_said(row))}</td></tr>' for row in found.rows)
    drawn = [row for row in found.rows if row.low and row.high is not None]
    return (f"<h2>Against {escape(found.baseline)}</h2><p>{escape(verdict)}</p>"
            f'<div class="wide"><table class="cards"><thead><tr><th class="l">row</th><th class="l">verdict</th>'
            f"<th>change, and its interval for all rows together</th></tr></thead><tbody>{body}</tbody></table></div>"
            + (f'<figure><div class="scroll">{_intervals(found)}</div><figcaption>Change of the median time; a row '
               "fails only where its whole interval lies beyond the red line.</figcaption></figure>" if drawn else ""))


def _said(row: Compared) -> str:
    """The change, or why there is none to show."""
    return row.note or change(row)


def _intervals(found: Comparison) -> str:
    drawn = [row for row in found.rows if row.low and row.high is not None and row.ratio is not None]
    ends = [100 * x - 100 for row in drawn for x in (row.low, row.high or row.low)] + [0.0, 100 * found.max_slower]
    low, high = min(ends), max(ends)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    left, right, step = 12.0, svg.WIDTH - 16, 44.0
    bottom = 12 + step * len(drawn)

    def at(percent: float) -> float:
        return left + (right - left) * (percent - low) / (high - low)

    parts = [svg.line(left, bottom, right, bottom, "axis")]
    for value in svg.ticks(low, high, 6):
        parts += [svg.line(at(value), 4, at(value), bottom, "axis" if value == 0 else "grid"),
                  svg.text(at(value), bottom + 17, f"{svg.number(value)}%", anchor="middle")]
    for i, row in enumerate(drawn):
        y = step * i + 34
        hue = 5 if row.verdict == "slower" else 2 if row.verdict == "fine" else 6
        parts += [svg.text(left, y - 13, row.name, kind="name"),
                  svg.line(at(100 * row.low - 100), y, at(100 * (row.high or row.low) - 100), y, "whisker", hue),
                  svg.dot(at(100 * (row.ratio or 1.0) - 100), y, 5, hue)]
    x = at(100 * found.max_slower)
    parts.append(svg.line(x, 0, x, bottom, "limit"))
    return svg.chart(parts, bottom + 26, "change of each row against the limit")


def contest(found: Contest) -> str:
    """Other people's runs as sentences, each beside the bundle's row."""
    lines = []
    for score in found.scores:
        if score.ms is None:
            lines.append(f'<p class="fault">{escape(score.name)}: {escape(score.note)}</p>')
            continue
        start = "" if score.start_ms is None else f", after {score.start_ms / 1e3:.1f} s of start-up"
        note = f" ({score.note})" if score.note else ""
        lines.append(f"<p><strong>{escape(score.name)}</strong>, {escape(score.scenario)}: {score.ms:.2f} ms a frame"
                     f"{start}{escape(beside(score, found) + note)}.</p>")
    return ("<h2>Other people's runs</h2>" + "".join(lines) + '<p class="soft">Measured in the same shuffled rounds. '
            "Command lines are timed from outside on two lengths of the same clip, ours too; the start-up cancels. Of "
            "an ONNX only the graph is timed, without what has to be done before and after it.</p>")


def profiles(found: Sequence[Profile]) -> str:
    """Where the time of each row goes: shares by kind of work, what that says to change, and details to unfold."""
    kinds = list(dict.fromkeys(part.name for profile in found for part in profile.kinds))
    legend = "".join(f'<span style="white-space:nowrap"><svg viewBox="0 0 12 12" style="display:inline;width:.7em;'
                     f'height:.7em">{svg.bar(0, 0, 12, 12, kind=f"s{i % 6}")}</svg> {escape(name)}&emsp;</span>'
                     for i, name in enumerate(kinds))
    each = "".join(_profile(profile, kinds) for profile in found)
    return (f'<h2>Where the time goes</h2><p class="soft">Told by the runtimes\' own profilers, which cost time '
            f"themselves: trust the shares.</p><p>{legend}</p>{each}")


def _profile(profile: Profile, kinds: Sequence[str]) -> str:
    name = escape(profile.row)
    if profile.error:
        return f'<h3>{name}</h3><p class="fault">{escape(profile.error)}</p>'
    parts, x = [], 0.0
    for part in sorted(profile.kinds, key=lambda p: kinds.index(p.name)):
        width = svg.WIDTH * part.share
        kind, title = f"s{kinds.index(part.name) % 6}", f"{part.name} {part.share:.1%}"
        parts.append(svg.bar(x, 0, width, 22, kind=kind, title=title))
        if width > 40:
            parts.append(svg.text(x + width / 2, 15.5, f"{part.share:.0%}", anchor="middle", kind="on"))
        x += width
    advice = "".join(f"<li>{escape(line)}</li>" for line in profile.advice)
    tables = "".join(f'<h3>{title}</h3><div class="wide"><table><tr><th class="l">{head}</th><th>share</th><th>ms</th>'
                     f'<th>nodes</th><th class="l">where, in what</th></tr>{_parts(rows)}</table></div>'
                     for title, head, rows in (("By operator", "operator", profile.operators[:12]),
                                               ("Slowest nodes", "node", profile.slowest)))
    return (f"<h3>{name}: {profile.ms:.2f} ms in nodes</h3>{svg.chart(parts, 22, 'shares by kind of work')}"
            f"<ul>{advice}</ul><details><summary>operators and nodes</summary>{tables}</details>")


def _parts(parts: Sequence[Part]) -> str:
    return "".join(f'<tr><td class="l">{escape(p.name)}</td><td>{p.share:.1%}</td><td>{p.ms:.3f}</td>'
                   f'<td>{p.nodes}</td><td class="l">{escape(p.provider)}, {escape(p.precision)}</td></tr>'
                   for p in parts)
