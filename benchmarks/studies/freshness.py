"""How old a live frame is when the model is done with it, read from the picture itself.

    python -m epee.benchmarks.studies.freshness [--minutes 10] [--model-ms 66] [--fps 30] [--transport tcp]

A real RTSP server draws its wall clock into each frame; the frame is taken, held as long as the model would hold it,
and read. So everything that may queue on the way counts: encoder, network, decoder, reader. Slope is a line of least
squares through age over time, and says whether a queue grows. Appends one JSON object to `--out` and prints it.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.sources import StreamOptions, open_source
from ...runtime.timing import percentiles
from .serving import RtspServer
from .taking import Seen, Taker

WARM_UP_S, NAP_S = 3.0, 0.01


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--model-ms", type=float, default=66)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--codec", choices=["h264", "h265"], default="h264")
    parser.add_argument("--transport", choices=["tcp", "udp"], default="tcp")
    parser.add_argument("--out", type=Path, default=Path("freshness.json"))
    args = parser.parse_args()
    with RtspServer(fps=args.fps, size=args.size, codec=args.codec) as server:
        source = open_source(server.url, options=StreamOptions(transport=args.transport))
        with Taker(source, args.model_ms / 1e3) as taker, Napper() as napper:
            taker.wait(1)
            time.sleep(WARM_UP_S + 60 * args.minutes)
            status, seen = source.status, list(taker.seen)
    limit_ms = round(2 * args.model_ms + 2e3 / args.fps, 1)
    row = {"study": "freshness", "minutes": args.minutes, "model_ms": args.model_ms, "fps": args.fps, "size": args.size,
           "codec": args.codec, "transport": args.transport, "limit_ms": limit_ms,
           **figures([one for one in seen if one.at_s > seen[0].at_s + WARM_UP_S], limit_ms),
           "overslept_ms": {**percentiles(napper.over_ms), "max": round(max(napper.over_ms), 1)},
           "unread": taker.unread, "received": status.received, "dropped": status.dropped, "bad": status.bad,
           "reconnects": status.reconnects}
    print(json.dumps(row))
    with args.out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


class Napper:
    """Naps for 10 ms again and again; `over_ms` is how much too long each nap took. A context manager."""

    def __init__(self) -> None:
        self.over_ms: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._nap, daemon=True)

    def _nap(self) -> None:
        while not self._over.is_set():
            start = time.perf_counter()
            time.sleep(NAP_S)
            self.over_ms.append(1e3 * (time.perf_counter() - start - NAP_S))

    def __enter__(self) -> Napper:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()


def figures(seen: list[Seen], limit_ms: float) -> dict[str, Any]:
    """Percentiles of age by the picture's clock, its slope, and how far the age that the Frame says is from it."""
    at_s, ages = np.array([one.at_s for one in seen]), np.array([one.age_ms for one in seen])
    slope = float(np.polyfit(at_s - at_s[0], ages, 1)[0])
    off = np.array([one.says_ms for one in seen]) - ages
    return {"frames": len(seen), "age_ms": {**percentiles(ages), "max": round(float(ages.max()), 1)},
            "says_ms_at_max": round(seen[int(ages.argmax())].says_ms, 1),
            "share_over_limit": round(float((ages > limit_ms).mean()), 5),
            "slope_ms_in_10_minutes": round(600 * slope, 3), "says_minus_age_ms": percentiles(off)}


if __name__ == "__main__":
    main()
