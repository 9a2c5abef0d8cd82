"""A server of live pictures, and a wire to it that can be cut: what studies and tests of streams are made against."""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

SYSTEM_PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("rtsp_server.py")
START_S = 20.0


def missing() -> str:
    """Why the RTSP server cannot run here, or ''."""
    code = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; Gst.init(None); " \
           "lacks = [n for n in ('x264enc', 'x265enc', 'rtph264pay') if not Gst.ElementFactory.find(n)]; " \
           "assert not lacks, lacks"
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, text=True, timeout=60)
    except OSError as error:
        return str(error)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


class RtspServer:
    """`rtsp_server.py` in a process of its own; a context manager.

    Args:
        options: what the script takes, e.g. `codec="h265"`.

    Attributes:
        port: the same after each `start`.
    """

    def __init__(self, **options: object) -> None:
        self.options, self.port = dict(options), 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where the pictures are."""
        return f"rtsp://127.0.0.1:{self.port}/live"

    def start(self, **options: object) -> RtspServer:
        """Starts it, with changed options if any; gives itself when it serves."""
        self.options.update(options)
        words = [str(word) for name, value in self.options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([SYSTEM_PYTHON, str(SCRIPT), "--port", str(self.port), *words],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the RTSP server did not start (exit status {self._process.wait()})")
        self.port = int(json.loads(line)["port"])
        return self

    def kill(self) -> None:
        """Ends it at once, as a power cut would, but for the system that says goodbye to its connections."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def __enter__(self) -> RtspServer:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.kill()


class Wire:
    """A TCP proxy in front of a server, which can be made to lose everything, or to add garbage; a context manager.

    Args:
        port: the server's.

    Attributes:
        port: where to connect to.
        dead: while set, nothing is passed on and nothing is closed, as when a cable is pulled.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.dead = threading.Event()
        self._garbage, self._garbage_after, self._passed = b"", 0, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._lost: set[socket.socket] = set()
        self._gone: list[socket.socket] = []
        self._over = False
        self._thread = threading.Thread(target=self._run, name="wire", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Loses every packet from now on, of new connections too."""
        self.dead.set()

    def mend(self) -> None:
        """Passes new connections on; those from before stay dead, as after a router's restart."""
        self._lost |= set(self._peers)
        self.dead.clear()

    def add_garbage(self, garbage: bytes, after: int) -> None:
        """Puts bytes into what the server sends, after so many of each connection's bytes."""
        self._garbage, self._garbage_after = garbage, after

    def _run(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._listener:
                    if not self.dead.is_set():
                        self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._pass(key.fileobj)
            if self.dead.is_set():
                time.sleep(0.02)  # a caller who is not let in keeps the listener ready
            else:
                while self._gone:
                    self._drop(self._gone.pop())
        for end in list(self._peers):
            self._drop(end)
        self._selector.close()
        self._listener.close()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._target), 1.0)
        except OSError:
            near.close()
            return
        self._passed = 0
        for end, other in ((near, far), (far, near)):
            end.settimeout(1.0)
            self._peers[end] = other
            self._selector.register(end, selectors.EVENT_READ)

    def _pass(self, end: socket.socket) -> None:
        if end not in self._peers:
            return  # it was closed a moment ago
        try:
            data = end.recv(1 << 16)
            if self.dead.is_set() and not data:
                self._selector.unregister(end)
                self._gone.append(end)
            if self.dead.is_set() or (data and end in self._lost):
                return
            if not data:
                raise ConnectionResetError
            if end.getpeername()[1] == self._target:
                data = self._with_garbage(data)
            self._peers[end].sendall(data)
        except OSError:
            self._drop(end)

    def _with_garbage(self, data: bytes) -> bytes:
        before, self._passed = self._passed, self._passed + len(data)
        return data + self._garbage if self._garbage and before < self._garbage_after <= self._passed else data

    def _drop(self, end: socket.socket) -> None:
        other = self._peers.pop(end, None)
        if other is None:
            return  # it went with its other end
        self._peers.pop(other)
        for one in (end, other):
            self._lost.discard(one)
            if one.fileno() in self._selector.get_map():
                self._selector.unregister(one)
            one.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._over = True
        self._thread.join()
