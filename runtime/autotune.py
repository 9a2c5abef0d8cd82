"""What `auto` does when a bundle is opened: it takes the choice that is remembered, else it finds one, once.

Nothing but measuring tells whether INT8 in ONNX Runtime or bf16 in OpenVINO is faster on a machine, and whether both
answer right there. So the first opening of a bundle checks the goldens and times the candidates, in processes of their
own and while nothing else of ours computes: that takes two or three seconds, once for each bundle, machine and set of
libraries. `EPEE_AUTOTUNE=0` goes without, for what has to start at once; so does whoever names a backend or precision.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .backends import parse_backend, probe
from .bundle import Bundle
from .choice import Choice, choice_file, remembered

SWITCH = "EPEE_AUTOTUNE"
"""Environment variable; `0` turns timing at first opening off."""
STALE_S = 60.0
"""A mark of another process that is older was left behind by one that died."""
ORDER = ("auto", "auto")
"""The table's first backend that works, and the bundle's first variant."""


def decide(bundle: Bundle) -> tuple[str, str]:
    """What `--backend` and `--precision` would say of the choice for this machine, else `auto` twice.

    A line on standard error says what is taken and why, and what is done that takes time.
    """
    choice = remembered(bundle)
    if choice is None and os.environ.get(SWITCH, "1") != "0":
        choice = _first_time(bundle)
    if choice is None or not probe(parse_backend(choice.backend)[0]).available:
        return ORDER
    _say(choice.line())
    return choice.backend, choice.variant


def _first_time(bundle: Bundle) -> Choice | None:
    """Times the candidates, remembers the best, and gives it; None where there is nothing to choose or no way to."""
    from .tune import QUICK, field, tune

    count = sum(map(len, field(bundle).values()))
    if count < 2:
        return None
    try:
        with _claimed(choice_file(bundle)) as ours:
            if not ours:
                _say("another process is timing this bundle; this one takes the first backend that works")
                return None
            _say(f"first opening of '{bundle.manifest.name}' on this machine: checking and timing {count} candidates, "
                 f"once; {SWITCH}=0 goes without")
            choice = tune(bundle, effort=QUICK, say=_tell_left_out).choice
    except OSError as error:
        _say(f"nothing is timed, because the choice cannot be remembered: {error}; "
             "name --backend and --precision, or set XDG_CACHE_HOME")
        return None
    if choice is None:
        _say("no candidate answered its goldens right in time, so the first backend that works is taken, unchecked; "
             "`epee verify` and `epee tune` say more")
    return choice


@contextmanager
def _claimed(file: Path) -> Iterator[bool]:
    """Whether this process is the only one that times for `file` just now; raises OSError where it cannot be written.

    Two that time at once would measure each other.
    """
    mark = file.with_suffix(".timing")
    mark.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        if time.time() - mark.stat().st_mtime < STALE_S:
            yield False
            return
        mark.touch()
    try:
        yield True
    finally:
        mark.unlink(missing_ok=True)


def _tell_left_out(line: str) -> None:
    """Passes on who is not timed and why; that the others are is no news."""
    if " is left out: " in line:
        _say(f"{line}; `epee tune` tries all")


def _say(line: str) -> None:
    print(f"epee: {line}", file=sys.stderr, flush=True)
