"""`epee bench --vs NAME=…`: other people's runs in the same shuffled rounds: a command line, or an ONNX.

A command line is timed from outside, twice a round: on the video's beginning and on a longer piece of it. The
difference, divided by the frames between the two, is what a frame costs once everything has started; what is left is
the start-up. `epee run` is timed in the very same way, beside it. Of an ONNX only the graph is timed, in the same
sessions and processes as the bundle's own, on the bundle's golden frames brought to its size.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..runtime.errors import ConfigError
from . import statistics
from .choosing import choice
from .matrix import Contestant
from .outsider import Failed, run
from .rows import Range, Results, Row, Settings

WHOLE = "whole command"
"""The scenario of command lines, ours among them."""
OURS = "epee run"
ROUNDS = 5
"""At most: a command line runs over two clips in each."""


@dataclass(frozen=True)
class Rival:
    """Somebody else's run.

    Attributes:
        name: what it is called in the table.
        command: words with `{source}` and perhaps `{out}`, a fresh folder of each run; empty for an ONNX.
        onnx: the graph; None for a command.
    """

    name: str
    command: tuple[str, ...] = ()
    onnx: Path | None = None


@dataclass(frozen=True)
class Score:
    """One rival beside the bundle's best row of the same scenario.

    Attributes:
        name, scenario: whose and what.
        ms: a frame; None where it failed.
        start_ms: start-up, of command lines.
        ratio: times as long as the bundle's; with its interval where there are three rounds.
        note: why it failed.
    """

    name: str
    scenario: str
    ms: float | None = None
    start_ms: float | None = None
    ratio: float | None = None
    interval: Range | None = None
    note: str = ""


@dataclass(frozen=True)
class Contest:
    """All rivals; `own` names the bundle's row of each scenario that they are set beside."""

    own: dict[str, str]
    scores: tuple[Score, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def parse(text: str) -> Rival:
    """Reads `NAME=COMMAND` or `NAME=FILE.onnx`.

    Raises:
        ConfigError: no name, no `{source}` in a command, or a program or file that is not there.
    """
    name, equals, rest = text.partition("=")
    name, words = name.strip(), shlex.split(rest)
    if not equals or not name or not words:
        raise ConfigError("--vs", got=repr(text), expected="NAME=COMMAND with {source} in it, or NAME=FILE.onnx")
    if len(words) == 1 and words[0].endswith(".onnx"):
        if not Path(words[0]).is_file():
            raise ConfigError(f"--vs {name}", got=f"no file '{words[0]}'", expected="an ONNX file")
        return Rival(name, onnx=Path(words[0]))
    if not any("{source}" in word for word in words):
        raise ConfigError(f"--vs {name}", got=f"a command without {{source}}: {rest.strip()}",
                          expected="{source} where it takes the video, e.g. \"yolo predict source={source}\"")
    if shutil.which(words[0]) is None:
        raise ConfigError(f"--vs {name}", got=f"no program '{words[0]}'", expected="one on the PATH, or its path",
                          do="install it, or give its whole path")
    return Rival(name, tuple(words))


def command_contestant(rival: Rival, clips: Sequence[tuple[Path, int]], settings: Settings) -> Contestant:
    """A command line as a contestant.

    Args:
        rival: with a command.
        clips: the short and the long piece of the source, with their numbers of frames.
        settings: `timeout_s` holds for each run.
    """
    row = Row("command", "", rival.name, "", 0, label=rival.name)
    return Contestant(row, WHOLE, lambda number: slope(rival.command, clips, settings.timeout_s), ROUNDS)


def own_contestants(bundle: Path, rows: Sequence[Row], clips: Sequence[tuple[Path, int]], settings: Settings) -> list[
        Contestant]:
    """`epee run` of the bundle's rows of single frames, with an overlay into an mp4, timed as the rivals are.

    They are rows of their own, labelled OURS: what goes wrong here spoils none of the bundle's.
    """
    def command(row: Row) -> tuple[str, ...]:
        return (sys.executable, "-m", "epee", "run", str(bundle.resolve()), "--source", "{source}", "--sink",
                "{out}/out.mp4", "--backend", row.where, "--precision", row.variant, "--threads", str(row.threads),
                "--json")

    def contestant(row: Row) -> Contestant:
        return Contestant(row, WHOLE, lambda number: slope(command(row), clips, settings.timeout_s), ROUNDS)

    return [contestant(Row(row.backend, row.device, row.variant, row.precision, row.bytes, row.threads, label=OURS))
            for row in rows if row.batch == 1]


def slope(command: Sequence[str], clips: Sequence[tuple[Path, int]], timeout_s: float) -> dict[str, Any]:
    """Runs a command on both clips; the fields of a `rows.Round`.

    Raises:
        Failed: it failed, hung, or the longer clip took no longer.
    """
    took_s = []
    for clip, _ in clips:
        with tempfile.TemporaryDirectory(prefix="epee-vs-") as out:
            words = [word.replace("{source}", str(clip)).replace("{out}", out) for word in command]
            start = time.perf_counter()
            run(words, timeout_s)
            took_s.append(time.perf_counter() - start)
    frames = clips[1][1] - clips[0][1]
    more_s = took_s[1] - took_s[0]
    if more_s <= 0:
        raise Failed(f"{clips[1][1]} frames", do="does it read {source}? if it does, ask for more --frames",
                     got=f"{took_s[1]:.2f} s, no more than {took_s[0]:.2f} s for {clips[0][1]}")
    start_ms = 1e3 * (took_s[0] - more_s / frames * clips[0][1])
    return {"ms": 1e3 * more_s / frames, "calls": frames, "frames": frames, "seconds": more_s,
            "stages_ms": {"start": max(0.0, start_ms)}}


def contest(results: Results, rivals: Sequence[Rival]) -> Contest:
    """Sets each rival beside the bundle's best row of its scenario.

    Args:
        results: with the rivals' rows, labelled with their names.
        rivals: as asked for.
    """
    own: dict[str, str] = {}
    scores = []
    for rival in rivals:
        scenario = WHOLE if rival.command else results.settings.scenarios[0]
        best = _best(results.rows, scenario)
        if best is not None:
            own[scenario] = best.name
        scores += [_score(row, best, scenario) for row in results.rows if row.label == rival.name]
    return Contest(own, tuple(scores))


def render(found: Contest) -> str:
    """What a person reads: a line a rival."""
    lines = []
    for score in found.scores:
        if score.ms is None:
            lines.append(f"{score.name}: {score.note}")
            continue
        start = "" if score.start_ms is None else f" after {score.start_ms / 1e3:.1f} s of start-up"
        lines.append(f"{score.name}, {score.scenario}: {score.ms:.2f} ms a frame{start}{beside(score, found)}"
                     + (f"; {score.note}" if score.note else ""))
    return "\n".join(lines)


def beside(score: Score, found: Contest) -> str:
    """`, 2.10 times (1.98 to 2.25) as long as fp32 on openvino:cpu`, or '' where nothing stands beside it."""
    if score.ratio is None:
        return ""
    spread = " ({:.2f} to {:.2f})".format(*score.interval) if score.interval else ""
    return f", {score.ratio:.2f} times{spread} as long as {found.own[score.scenario]}"


def _best(rows: Sequence[Row], scenario: str) -> Row | None:
    """The bundle's own row to set rivals beside: of command lines the fastest, of graphs the one to take."""
    if scenario == WHOLE:
        ours = [row for row in rows if row.label == OURS and scenario in row.scenarios]
        return min(ours, key=lambda row: row.scenarios[scenario].ms, default=None)
    return choice([row for row in rows if scenario in row.scenarios])


def _score(row: Row, best: Row | None, scenario: str) -> Score:
    name = row.label if row.backend == "command" else f"{row.label} on {row.where}"
    note = row.error or "; ".join(row.wrong)
    if row.error or scenario not in row.scenarios:
        return Score(name, scenario, note=note or "not measured")
    found = row.scenarios[scenario]
    start_ms = found.stages_ms.get("start")
    if best is None:
        return Score(name, scenario, found.ms, start_ms, note=note)
    mine = {r.number: r.ms for r in best.scenarios[scenario].rounds}
    both = [r for r in found.rounds if r.number in mine]
    if not both:
        return Score(name, scenario, found.ms, start_ms, note=note)
    ratio, interval = statistics.ratio([r.ms for r in both], [mine[r.number] for r in both])
    return Score(name, scenario, found.ms, start_ms, ratio, interval, note)
