"""The heaps of a long-running command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from epee.runtime import heaps
from epee.runtime.cli import main

WORK = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
gate = threading.Barrier(8)
threads = [threading.Thread(target=lambda: (libc.malloc(64), gate.wait())) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fopen.restype, libc.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_char_p]
libc.fclose.argtypes = [ctypes.c_void_p]
import sys
from pathlib import Path
file = libc.fopen(sys.argv[1].encode(), b"w"); libc.malloc_info(0, file); libc.fclose(file)
"""


def heaps_of(path: str, **environment: str) -> tuple[str, int]:
    """Whether a fresh process bounded its heaps, and how many it has after eight threads took memory."""
    code = ("import threading\nfrom epee.runtime.heaps import bound_heaps\nbounded = bound_heaps()\n" + WORK
            + "print(bounded)")
    environment = {key: value for key, value in os.environ.items() if key != "MALLOC_ARENA_MAX"} | environment
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True,
                          env=environment)
    with open(path, encoding="utf-8") as file:
        return done.stdout.strip(), file.read().count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_all_threads_share_two_heaps_unless_told_otherwise(tmp_path: object) -> None:
    assert heaps_of(f"{tmp_path}/bounded.xml") == ("True", 2)
    said, heaps = heaps_of(f"{tmp_path}/told.xml", MALLOC_ARENA_MAX="5")
    assert said == "False"
    assert heaps == 5


HOLES = """
import ctypes, os
from epee.runtime import heaps
heaps.TIDY_S = 0.0
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
taken = [libc.malloc(60_000) for _ in range(2000)]  # small enough to lie in the heap
for at in taken:
    ctypes.memset(at, 1, 60_000)
for at in taken[:-1]:  # the last one keeps the heap from shrinking at its end
    libc.free(at)
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before = resident()
heaps.Tidying()()
print(before - resident() > 80e6)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or sys.platform != "linux", reason="the C library is not glibc")
def test_free_memory_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_the_command_tidies_while_it_runs(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []
    monkeypatch.setattr(heaps.Tidying, "__call__", lambda self: times.append(1))
    assert main(["run", str(tiny_bundle), "--source", "synthetic:street", "--frames", "5", "--sink", "null"]) == 0
    assert len(times) >= 5
