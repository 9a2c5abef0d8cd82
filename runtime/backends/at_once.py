"""What sessions share that cannot overlap: `submit` runs the request at once and keeps the answer for `result`."""

from __future__ import annotations

from collections import deque
from typing import Any

from numpy.typing import NDArray

from ..errors import BackendError
from . import Arrays


class AtOnce:
    """Gives a session that has `backend`, `run` and `close` the rest of `backends.Session`, with a depth of 1."""

    backend: str
    depth = 1

    def __init__(self) -> None:
        self._waiting: deque[dict[str, NDArray[Any]]] = deque()

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """See `backends.Session.run`."""
        raise NotImplementedError

    def submit(self, feeds: Arrays) -> None:
        """Runs the request at once; `result` gives the answer."""
        if self._waiting:
            raise BackendError(f"backend '{self.backend}': submit", got="1 request waits already",
                               do="call result first")
        self._waiting.append(self.run(feeds))

    def result(self) -> dict[str, NDArray[Any]]:
        """The answer of the submitted request."""
        if not self._waiting:
            raise BackendError(f"backend '{self.backend}': result", got="no request waits", do="call submit first")
        return self._waiting.popleft()

    def close(self) -> None:
        """Drops what waits; sessions free their graph too."""
        self._waiting.clear()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
