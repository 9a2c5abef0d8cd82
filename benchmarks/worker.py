"""One measurement in a process of its own: `python -m epee.benchmarks.worker JOB.json ANSWER.json`.

A process a measurement, because idle threads of one runtime spin beside the next one's, and because a runtime that
crashes must not take the table with it.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..runtime.backends import open_session
from ..runtime.bundle import Bundle
from ..runtime.errors import EpeeError
from ..runtime.timing import measure
from ..runtime.variants import choose_variant
from ..runtime.verify import answer, compare, read_goldens

WARM_CALLS, WARM_S, WARM_LIMIT_S, MIN_CALLS = 5, 0.2, 2.0, 10


def main() -> int:
    """Reads the job, writes what it measured, or `{"error": line}`."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        found = JOBS[job["kind"]](job)
    except EpeeError as error:
        found = {"error": str(error)}
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
    return 0


def latency(job: dict[str, Any]) -> dict[str, Any]:
    """Times single frames, one after the other, on the bundle's golden inputs.

    Returns:
        `device`, `cold_start_ms` (open to first answer), `samples_ms` (every call), `peak_rss_mb`, and what the
        goldens say: `golden_equal` (0 to 1) and `wrong` (lines).
    """
    bundle = Bundle.open(job["bundle"])
    variant = choose_variant(bundle, job["variant"])
    goldens = read_goldens(bundle)
    feeds = [{s.name: goldens[s.name][i:i + 1] for s in bundle.manifest.inputs}
             for i in range(len(next(iter(goldens.values()))))]
    start = time.perf_counter()
    with open_session(bundle, job["backend"], variant.name, threads=job["threads"]) as session:
        session.run(feeds[0])
        cold_start_ms = 1e3 * (time.perf_counter() - start)
        turn = itertools.cycle(feeds)
        call_ms = _warm_up(lambda: session.run(next(turn)))
        samples_ms = measure(lambda: session.run(next(turn)), max(MIN_CALLS, round(1e3 * job["seconds"] / call_ms)), 0)
        peak_rss_mb = _peak_rss_mb()
        checks = list(compare(session.outputs, answer(session, goldens), goldens, variant.tolerance))
        return {"device": session.device, "cold_start_ms": cold_start_ms, "samples_ms": samples_ms,
                "peak_rss_mb": peak_rss_mb, "golden_equal": min(share for _, share, _ in checks),
                "wrong": [f"output '{name}': {wrong}" for name, _, wrong in checks if wrong]}


def quality(job: dict[str, Any]) -> dict[str, Any]:
    """Scores the variant on a labelled split; gives eval's JSON."""
    from ..runtime.evaluate import evaluate

    scores = evaluate(Bundle.open(job["bundle"]), job["data"], job["split"], backend=job["backend"],
                      precision=job["variant"], threads=job["threads"], limit=job["limit"])
    return scores.to_json()


JOBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"latency": latency, "quality": quality}
"""What a job's `kind` may be."""


def _warm_up(call: Callable[[], object]) -> float:
    """Calls until the median of five is within 5 % of the five before, at least 0.2 s, at most 2 s; gives it in ms."""
    start, before = time.perf_counter(), 0.0
    while True:
        now = sorted(measure(call, WARM_CALLS, 0))[WARM_CALLS // 2]
        spent = time.perf_counter() - start
        if spent > WARM_LIMIT_S or (spent > WARM_S and abs(now - before) <= 0.05 * before):
            return now
        before = now


def _peak_rss_mb() -> float:
    """Largest resident memory of this process. Linux's ru_maxrss counts the parent before exec, VmHWM does not."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1 << 20) if sys.platform == "darwin" else used / 1024


if __name__ == "__main__":
    sys.exit(main())
