"""How soon, and how surely, a lost RTSP stream comes back.

    python -m epee.benchmarks.studies.restarts [--count 100] [--how both] [--out restarts.json]

A real server is lost again and again in mid-stream: it is killed (its system resets the connection), or, behind a wire,
every packet is silently dropped and the connection stays open. After a random time it is back; the time until the next
frame arrives whose bars were drawn by then is the recovery. A stream whose packets vanish is known to be lost only
after the read time limit (2 s here), so outages are longer than that. Threads and handles are counted with the stream
live, before the first and after the last loss. Appends one JSON object to `--out` and prints it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

from ...runtime.sources import StreamOptions, open_source
from ...runtime.timing import percentiles
from .serving import RtspServer, Wire
from .taking import Taker, wait_for

READ_TIMEOUT_S = 2.0
OUTAGE_S = (2.5, 6.0)
GIVE_UP_S = 60.0


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="of losses of each kind")
    parser.add_argument("--how", choices=["kill", "drop", "both"], default="both")
    parser.add_argument("--transport", choices=["tcp", "udp"], default="tcp", help="udp: with --how kill alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("restarts.json"))
    args = parser.parse_args()
    random.seed(args.seed)
    options = StreamOptions(transport=args.transport, read_timeout_s=READ_TIMEOUT_S)
    for how in ("kill", "drop") if args.how == "both" else (args.how,):
        row = {"study": "restarts", "how": how, "transport": args.transport, "read_timeout_s": READ_TIMEOUT_S,
               "outage_s": OUTAGE_S, **lose(how, args.count, options)}
        print(json.dumps(row), flush=True)
        with args.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def lose(how: str, count: int, options: StreamOptions) -> dict[str, Any]:
    """Loses a stream so often; gives recoveries, threads and handles."""
    recoveries: list[float] = []
    with RtspServer() as server, Wire(server.port) as wire:
        url = server.url if how == "kill" else server.url.replace(str(server.port), str(wire.port))
        with Taker(open_source(url, options=options)) as taker:
            taker.wait(10)
            before = counts()
            for _ in range(count):
                if how == "kill":
                    server.kill()
                else:
                    wire.cut()
                wait_for(lambda: taker.source.status.state == "lost", 2 * READ_TIMEOUT_S)
                time.sleep(random.uniform(*OUTAGE_S) - READ_TIMEOUT_S)
                if how == "kill":
                    server.start()
                else:
                    wire.mend()
                try:
                    recoveries.append(taker.wait(3, GIVE_UP_S))
                except TimeoutError:
                    continue
            after, status = counts(), taker.source.status
    return {"losses": count, "recovered": len(recoveries), "reconnects": status.reconnects, "bad": status.bad,
            "unread": taker.unread, "recovery_s": {**percentiles(recoveries), "max": round(max(recoveries), 3)},
            "before": before, "after": after}


def counts() -> dict[str, int]:
    """Threads and open files of this process."""
    return {"threads": threading.active_count(), "handles": len(os.listdir("/proc/self/fd"))}


if __name__ == "__main__":
    main()
