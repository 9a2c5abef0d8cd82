"""The published table: every bundle that is named, on every backend and in every precision that runs here.

    python -m epee.benchmarks.studies.published --into docs/benchmarks.md street-nano=synthetic:street [B.epee=D.yaml …]

Measures as `epee bench` does and writes the tables, and the machine, between the two marks in the page. What stood
between them is replaced; the rest is left alone. A machine that is busy with other things is refused: where
others took half of two cores, OpenVINO showed 104 ms on one thread in place of 5.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...runtime.bundle import Bundle
from ...runtime.commands import names
from ...runtime.errors import ConfigError
from .. import report
from ..choosing import sentence
from ..matrix import rows_of
from ..report.table import machine
from ..rounds import bench, disturbed
from ..rows import SINGLE, Results, Settings

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> None:
    """Measures bundle by bundle and writes the page at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE[=DATA]")
    parser.add_argument("--into", type=Path, required=True, help="a Markdown page with the two marks")
    parser.add_argument("--threads", default="1,2", type=names)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--rounds", type=int, default=Settings.rounds)
    parser.add_argument("--seconds", type=float, default=Settings.seconds)
    args = parser.parse_args()
    head, tail = around(args.into)
    found = []
    for text in args.bundles:
        name, _, data = text.partition("=")
        bundle = Bundle.open(name)
        settings = Settings((SINGLE,), args.rounds, args.seconds, data=data, split=args.split if data else "",
                            limit=args.limit)
        rows = rows_of(bundle, ["all"], ["all"], [int(count) for count in args.threads])
        found.append(bench(bundle, rows, settings, lambda line: print(line, file=sys.stderr, flush=True)))
        if said := disturbed(found[-1]):
            raise ConfigError("nothing is published", got=said, do="stop what else runs, and begin again")
    args.into.write_text(f"{head}{BEGIN}\n\n{page(found)}\n{END}{tail}", encoding="utf-8")


def around(path: Path) -> tuple[str, str]:
    """What stands before and after the marks.

    Raises:
        ConfigError: the page cannot be read, or has no two marks.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ConfigError(f"--into '{path}'", got="no page with the two marks", expected=f"{BEGIN} and {END}")
    return head, tail


def page(found: list[Results]) -> str:
    """A section a bundle, and the machine."""
    first = found[0]
    versions = ", ".join(f"{name} {version}" for name, version in first.machine["versions"].items())
    lines = [f"Measured on {first.began[:10]}: {machine(first)} ({' '.join(first.machine['cpu']['flags'])}), "
             f"{first.machine['system']}; {versions}.", ""]
    for results in found:
        lines += [f"### {results.bundle['name']}", "", sentence(report.ordered(results.rows)), "",
                  report.markdown(results)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
