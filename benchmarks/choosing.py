"""What to take: the one sentence that a table is read for."""

from __future__ import annotations

from collections.abc import Sequence

from .rows import Row

WORTH: dict[str, float] = {"miou": 0.005, "pixel_accuracy": 0.005, "psnr_db": 1.0, "ssim": 0.01}
"""Score -> how much of it may be given up for speed; of scores that are not listed, a tenth of the best."""
SCORES = {"miou": "mIoU", "pixel_accuracy": "pixel acc.", "psnr_db": "PSNR dB", "ssim": "SSIM"}
FIRST = ("miou", "kid", "psnr_db", "ssim", "pixel_accuracy")
"""Which score says the most, the first that is there."""


def main_score(rows: Sequence[Row]) -> str:
    """The score to choose by, '' where there is none."""
    names = {name for row in rows for name in row.quality}
    return next((name for first in FIRST for name in sorted(names) if name.partition("-")[0] == first), "")


def less_is_better(score: str) -> bool:
    """Of distances; all other scores grow with quality."""
    return score.startswith(("kid", "fd", "fid"))


def score_name(score: str) -> str:
    """What a person calls it."""
    return SCORES.get(score, score.upper() if score == "kid" else score.replace("kid-", "KID-"))


def choice(rows: Sequence[Row]) -> Row | None:
    """The fastest right row that gives up no more quality than it is worth; None where no row is right.

    Args:
        rows: of the bundle and of others; others' rows are not for choosing, nor are larger batches.
    """
    good = [row for row in rows if row.good and not row.label]
    good = [row for row in good if row.batch == min(r.batch for r in good)]
    score = main_score(good)
    scored = [row.quality[score] for row in good if score in row.quality]
    if scored and less_is_better(score):
        good = [row for row in good if row.quality.get(score, 1e9) <= min(scored) + 0.1 * abs(min(scored))]
    elif scored:
        least = max(scored) - WORTH.get(score, 0.1 * max(scored))
        good = [row for row in good if row.quality.get(score, -1e9) >= least]
    return min(good, key=_ms, default=None)


def front(rows: Sequence[Row], score: str) -> list[Row]:
    """The rows that no other beats in both time and score, fastest first."""
    sign = -1 if less_is_better(score) else 1
    best, found = -float("inf"), []
    for row in sorted((r for r in rows if r.good and score in r.quality), key=_ms):
        if sign * row.quality[score] > best:
            best = sign * row.quality[score]
            found.append(row)
    return found


def sentence(rows: Sequence[Row]) -> str:
    """What to take on this machine, how fast and how good it is; and what is as fast, as far as was measured."""
    row = choice(rows)
    if row is None or row.headline is None:
        return "No row was measured to its end and answers right: there is nothing to take. The reasons are below."
    text = f"On this machine take {row.name}: {_figure(row)} a {'frame' if row.batch == 1 else f'call of {row.batch}'}"
    score = main_score([row])
    if score:
        value = row.quality[score]
        text += f", {score_name(score)} {value:.3f}" if value < 10 else f", {score_name(score)} {value:.1f}"
    return text + "." + _as_fast(rows, row)


def brief(rows: Sequence[Row]) -> dict[int, str]:
    """A short name of each row by its `id`: what all rows have in common is left out."""
    threads, batches = {row.threads for row in rows}, {row.batch for row in rows}
    names = {}
    for row in rows:
        parts = [row.label, row.variant, row.backend if row.device in ("", "cpu") else row.where,
                 f"batch {row.batch}" if len(batches) > 1 else "", f"{row.threads or 'auto'} thr." * (len(threads) > 1)]
        names[id(row)] = " · ".join(dict.fromkeys(part for part in parts if part))
    return names


def _as_fast(rows: Sequence[Row], row: Row) -> str:
    """Names the rows whose interval reaches into that of the chosen one."""
    if not (row.headline and row.headline.interval_ms):
        return ""
    top = row.headline.interval_ms[1]
    near = [r.name for r in rows if r is not row and r.good and not r.label and r.batch == row.batch and r.headline
            and r.headline.interval_ms and r.headline.interval_ms[0] <= top]
    return f" As fast, as far as these rounds can tell: {' and '.join(near[:3])}." if near else ""


def _figure(row: Row) -> str:
    if row.headline is None:
        return "not measured"
    spread = " ({:.2f} to {:.2f})".format(*row.headline.interval_ms) if row.headline.interval_ms else ""
    return f"{row.headline.ms:.2f} ms{spread}"


def _ms(row: Row) -> float:
    return row.headline.ms if row.headline else float("inf")
