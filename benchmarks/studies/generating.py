"""Pictures a second of a generator: by backend, variant and batch, with the PSNR against float32 beside it.

Each number comes from fresh processes, all of one bundle, in rounds whose order is shuffled; the best round counts,
which a machine that is busy with other things spoils least. PSNR is measured in the very backend, on latents that are
neither goldens nor calibrated on, against fp32 in the first backend.

    python -m epee.benchmarks.studies.generating G.epee [--backend onnxruntime,openvino] [--batch 1,64] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.backends import candidates, open_session
from ...runtime.bundle import Bundle
from ...runtime.errors import DataError, EpeeError
from ...runtime.manifest import Manifest
from ...runtime.scores import psnr

JUDGED, SEED, WARM_S, TIMEOUT_S = 256, 77, 0.3, 120.0
FLOAT = "fp32"


@dataclass
class Row:
    """One backend, variant and batch: `rates` are pictures a second of each round; `error` is '' where all went well.

    `decibels` is the PSNR against float32.
    """

    backend: str
    variant: str
    batch: int
    rates: list[float] = field(default_factory=list)
    decibels: float | None = None
    error: str = ""


def main() -> None:
    """Measures and prints the table."""
    if len(sys.argv) == 3 and sys.argv[1] == "--job":
        _child(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--backend", default="onnxruntime,openvino")
    parser.add_argument("--batch", default="1,64")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of calls, a row and round")
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    if bundle.manifest.task not in ("generate", "animate"):
        raise SystemExit(f"epee: bundle '{args.bundle}': got task {bundle.manifest.task}, expected task generate or "
                         "animate")
    rows = [Row(backend, variant.name, int(batch)) for backend in args.backend.split(",")
            for variant in candidates(bundle, backend) if variant.kind == "onnx" for batch in args.batch.split(",")]
    measure(bundle, rows, args.rounds, args.seconds, args.threads)
    print("\n".join(render(bundle, rows, args.threads)))


def measure(bundle: Bundle, rows: list[Row], rounds: int, seconds: float, threads: int) -> None:
    """Fills the rows in, round by round in another order each time."""
    with tempfile.TemporaryDirectory(prefix="epee-generating-") as place:
        pictures = {id(row): Path(place, f"{i}.npy") for i, row in enumerate(rows)}
        for turn in range(rounds):
            for row in random.Random(turn).sample(rows, len(rows)):
                if row.error:
                    continue
                job = {"bundle": str(bundle.path.resolve()), "backend": row.backend, "variant": row.variant,
                       "batch": row.batch, "seconds": seconds, "threads": threads,
                       "pictures": str(pictures[id(row)]) if turn == 0 else ""}
                found = _ask(job, Path(place, "job.json"))
                row.error = found.get("error", "")
                row.rates += [found["rate"]] if not row.error else []
            print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
        whole = [row for row in rows if pictures[id(row)].is_file()]
        base = next((row for row in whole if row.variant == FLOAT), None)
        for row in whole if base else []:
            row.decibels = psnr(np.load(pictures[id(row)]), np.load(pictures[id(base)]))


def render(bundle: Bundle, rows: list[Row], threads: int) -> list[str]:
    """The bundle by its hash, and a line a row."""
    size = {v.name: v.bytes for v in bundle.manifest.variants}
    lines = [f"{bundle.manifest.name} {bundle.digest()}, {threads} threads",
             f"{'backend':<16}{'variant':<14}{'batch':>6}{'ms a call':>12}{'pictures/s':>12}{'PSNR':>8}{'MB':>7}"]
    for row in rows:
        head = f"{row.backend:<16}{row.variant:<14}{row.batch:>6}"
        if row.error or not row.rates:
            lines.append(f"{head}  {row.error}")
            continue
        rate = max(row.rates)
        near = "-" if row.decibels is None else "equal" if np.isinf(row.decibels) else f"{row.decibels:.1f}"
        lines.append(f"{head}{1e3 * row.batch / rate:>12.2f}{rate:>12.0f}{near:>8}"
                     f"{size.get(row.variant, size.get(FLOAT, 0)) / 1e6:>7.2f}")
    return lines


def drawn(manifest: Manifest, count: int) -> dict[str, NDArray[Any]]:
    """Latents, labels in turn, no truncation, and of an animator the state of a beginning, by tensor name.

    Raises:
        DataError: the bundle takes something else.
    """
    classes, given = max(1, len(manifest.classes)), {}
    for spec in manifest.inputs:
        if spec.name == "z":
            shape = (count, spec.shape[1] or 1)
            given["z"] = np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)
        elif spec in manifest.carried.values():
            given[spec.name] = np.zeros((count, *(size or 1 for size in spec.shape[1:])), spec.dtype)
        elif spec.name in ("label", "truncation"):
            values = np.arange(count) % classes if spec.name == "label" else np.ones(count)
            given[spec.name] = values.astype(spec.dtype)
        else:
            raise DataError(f"input '{spec.name}' of bundle '{manifest.name}'", got="unknown",
                            expected="z, label, truncation, or what is carried")
    return given


def _ask(job: dict[str, Any], file: Path) -> dict[str, Any]:
    """Runs a job in a process of its own; gives `rate`, or `error` where it failed."""
    file.write_text(json.dumps(job), encoding="utf-8")
    try:
        done = subprocess.run([sys.executable, "-m", "epee.benchmarks.studies.generating", "--job", str(file)],
                              capture_output=True, text=True, timeout=TIMEOUT_S + 10 * job["seconds"], check=False)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    except subprocess.TimeoutExpired:
        return {"error": "no answer in time"}
    except (ValueError, IndexError):
        return {"error": " ".join(done.stderr.split())[-200:] or "it said nothing"}


def _child(job: dict[str, Any]) -> None:
    """Opens a session, makes pictures, and prints what it found as one line of JSON."""
    try:
        bundle = Bundle.open(job["bundle"])
        given, batch = drawn(bundle.manifest, JUDGED), job["batch"]
        feeds = {name: np.resize(array, (batch, *array.shape[1:])) for name, array in given.items()}
        with open_session(bundle, job["backend"], job["variant"], threads=job["threads"]) as session:
            if job["pictures"]:
                np.save(job["pictures"], np.concatenate([
                    session.run({name: array[i:i + 1] for name, array in given.items()})["image"]
                    for i in range(JUDGED)]))
            _rate(session, feeds, batch, WARM_S)
            print(json.dumps({"rate": _rate(session, feeds, batch, job["seconds"])}))
    except EpeeError as error:
        print(json.dumps({"error": str(error)}))


def _rate(session: Any, feeds: dict[str, NDArray[Any]], batch: int, seconds: float) -> float:
    """Pictures a second over so many seconds of calls."""
    calls, start_s = 0, time.perf_counter()
    while time.perf_counter() - start_s < seconds or not calls:
        session.run(feeds)
        calls += 1
    return calls * batch / (time.perf_counter() - start_s)


if __name__ == "__main__":
    main()
