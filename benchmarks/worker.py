"""One measurement in a process of its own: `python -m epee.benchmarks.worker < JOB.json > ANSWER.json`.

A process a measurement, because idle threads of one runtime spin beside the next one's, because a process is what
repeats (memory comes to lie elsewhere, threads on other cores), and because a runtime that crashes must not take the
table with it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.backends import open_session
from ..runtime.bundle import Bundle
from ..runtime.errors import BackendError, EpeeError
from ..runtime.timing import cpus
from ..runtime.variants import choose_variant
from ..runtime.verify import Named, read_goldens
from . import energy, quality, scenarios
from .conditions import Watch
from .rows import Settings

MOST_DEPTH = 4
"""Calls in flight where they overlap: one a thread, up to so many, as `epee run` has them."""


def main() -> int:
    """Reads the job, writes what it measured, or `{"error": line}`."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # runtimes that print shall not print into the answer
    job = json.load(sys.stdin)
    try:
        found = JOBS[job["kind"]](job)
    except EpeeError as error:
        found = {"error": str(error)}
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    with answer:
        json.dump(found, answer)
    return 0


def timed(job: dict[str, Any]) -> dict[str, Any]:
    """Opens a session, lets it answer, warm up, and go through a scenario, and checks that it answers right.

    Returns:
        Fields of a `rows.Round`, and `facts` for the row: `device`, `computed`, `golden_equal`, `wrong`, `quality`,
        `energy` (what its figure covers, or why there is none).
    """
    bundle, settings, scenario = Bundle.open(job["bundle"]), Settings(**job["settings"]), job["scenario"]
    variant, goldens = choose_variant(bundle, job["variant"]), read_goldens(bundle)
    feeds, expected = feeds_of(bundle, goldens, job["batch"])
    depth = min(MOST_DEPTH, job["threads"] or cpus()) if scenario in scenarios.OVERLAPPING else 1
    start = time.perf_counter()
    with open_session(bundle, job["backend"], variant.name, threads=job["threads"], depth=depth) as session:
        session.run(feeds[0])
        cold_start_ms = 1e3 * (time.perf_counter() - start)
        call_ms, steady = scenarios.warm_up(session, feeds)
        meter, note = energy.find(session.device)
        with Watch() as watch, energy.counting(meter) as joules:
            cpu_s = time.process_time()
            found = scenarios.TIMED[scenario](session, feeds, settings, call_ms)
            cpu_s = time.process_time() - cpu_s
        peak_rss_mb = _peak_rss_mb()
        facts = quality.of_goldens(session, feeds, expected, variant.tolerance, pictures=job["number"] == 0)
        facts |= {"device": session.device, "computed": session.precision, "energy": note}
    return found | {"cold_start_ms": cold_start_ms, "peak_rss_mb": peak_rss_mb, "cpu_ms": 1e3 * cpu_s / found["frames"],
                    "energy_mj": None if meter is None else 1e3 * joules() / found["frames"], "steady": steady,
                    "conditions": watch.found, "harness_us": scenarios.harness_us(), "facts": facts}


def scored(job: dict[str, Any]) -> dict[str, Any]:
    """Scores the variant on data; gives the row's `quality`."""
    return quality.of_data(Bundle.open(job["bundle"]), job["backend"], job["variant"], job["threads"],
                           Settings(**job["settings"]))


def profiled(job: dict[str, Any]) -> dict[str, Any]:
    """Looks where the time goes; see `profile.profiled`."""
    from . import profile

    return profile.profiled(job)


JOBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "timed": timed, "scored": scored, "profiled": profiled}
"""What a job's `kind` may be."""


def feeds_of(bundle: Bundle, goldens: Named, batch: int) -> tuple[list[Named], Named]:
    """Inputs of calls that together have every golden, repeated where they do not fill a batch.

    Returns:
        One dictionary of inputs a call, and the goldens in the order in which the calls have them.

    Raises:
        BackendError: the graph takes another batch only.
    """
    for spec in bundle.manifest.inputs:
        if spec.shape[0] not in (None, batch):
            raise BackendError(f"batch {batch}", got=f"a graph that takes {spec.shape[0]} at once",
                               do="leave --batch out, or export the bundle with a free batch")
    count = len(next(iter(goldens.values())))
    order = np.arange(-(-count // batch) * batch) % count
    laid = {name: np.ascontiguousarray(array[order]) for name, array in goldens.items()}
    return [{s.name: laid[s.name][i:i + batch] for s in bundle.manifest.inputs}
            for i in range(0, len(order), batch)], laid


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
