"""What each precision costs and gains: mIoU lost and times faster, against true float32, by backend.

Every graph is whole, bytes in and mask out, so that the tail counts too. Rows are those of `epee bench`: fresh
processes, rounds interleaved in shuffled order. A ratio is taken inside each round, between neighbours in time, and
its median is printed, so that a machine that is busy with other things spoils it least.

    python -m epee.benchmarks.studies.precision B.epee --data D.yaml [--rounds 7]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ...runtime.bundle import Bundle
from ..matrix import rows_of
from ..rounds import bench
from ..rows import SINGLE, Row, Settings
from ..statistics import ratio

FLOAT = "fp32"


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--data", default="", help="a labelled data set; without one there is no mIoU")
    parser.add_argument("--split", default="val")
    parser.add_argument("--backend", default="onnxruntime,openvino")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    engines = {v.name for v in bundle.manifest.variants if v.kind == "engine"}
    rows = rows_of(bundle, args.backend.split(","), ["all"], [args.threads])
    rows = [row for row in rows if row.variant not in engines]
    settings = Settings(rounds=args.rounds, seconds=1.0, data=args.data, split=args.split)
    bench(bundle, rows, settings, lambda line: print(line, file=sys.stderr, flush=True))
    print("\n".join(render(rows)))


def render(rows: Sequence[Row]) -> list[str]:
    """A line a row, beside the float32 row of its backend."""
    lines = [f"{'backend':<18}{'variant':<14}{'ms':>8}{'times faster':>14}{'mIoU':>9}{'lost':>9}"]
    for row in rows:
        if not row.scenarios:
            lines.append(f"{row.where:<18}{row.variant:<14}  {row.error}")
            continue
        base = next((r for r in rows if (r.backend, r.variant) == (row.backend, FLOAT) and r.scenarios), None)
        miou, faster, lost = row.quality.get("miou"), None, None
        if base is not None:
            faster = ratio(_rounds(base), _rounds(row))[0]
            lost = None if miou is None or "miou" not in base.quality else base.quality["miou"] - miou
        lines.append(f"{row.where:<18}{row.variant:<14}{row.scenarios[SINGLE].ms:>8.2f}{_number(faster, '14.2f')}"
                     f"{_number(miou, '9.4f')}{_number(lost, '9.4f')}")
    return lines


def _rounds(row: Row) -> list[float]:
    return [r.ms for r in row.scenarios[SINGLE].rounds]


def _number(value: float | None, form: str) -> str:
    return f"{'-':>{form.partition('.')[0]}}" if value is None else format(value, form)


if __name__ == "__main__":
    main()
