"""Engine: an opened session with what it says of itself, that answers frames and closes after the last one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends import Session
from .errors import DataError
from .frames import Arrays, Frame, Result
from .manifest import Manifest, TensorSpec
from .sources import notice
from .tiles import Tiles, tiled
from .timing import timed
from .turns import Turns

ANY_SIDE = 64
"""Height and width of warm-up frames where any size will do."""
MOST_TURNS, CLOSED = 12, 1e-3
"""Unseen turns of a loop at most, and when two turns leave the same behind."""


class Engine:
    """An opened session that is closed after its last frame; see `Model.swap`."""

    def __init__(self, session: Session, manifest: Manifest, most: int = 1) -> None:
        self.session, self.manifest = session, manifest
        self.turns = Turns(session.run, session.depth, most)
        self._carried = manifest.carried
        self._users, self._retired = 0, False
        self._lock = threading.Lock()

    def enter(self) -> bool:
        """Counts a frame that will go through it; False where it was retired already."""
        with self._lock:
            self._users += not self._retired
            return not self._retired

    def leave(self) -> None:
        """The frame is through; closes the session after the last one."""
        with self._lock:
            self._users -= 1
            last = self._retired and not self._users
        if last:
            self.session.close()

    def retire(self) -> None:
        """Takes no more frames; closes the session now or after the last one."""
        with self._lock:
            last = not self._retired and not self._users
            self._retired = True
        if last:
            self.session.close()

    def answer(self, frame: Frame, carried: Arrays, tiles: Tiles | None = None) -> Result:
        """What the network says of a frame.

        Args:
            carried: what the frame before left for this one, by input's name, empty for the first; this one leaves its
                own there. A stream that carries something has one frame in work at a time.
            tiles: see `tiles.tiled`.

        Raises:
            DataError: the model takes no such frames.
        """
        times_ms = {"decode": frame.decode_ms} if frame.decode_ms else {}
        frame = tiled(frame, self.manifest, tiles)
        feeds = frame.feeds(self.manifest, times_ms)
        if self._carried:
            carried |= carried or self._beginning(frame, len(next(iter(feeds.values()))))
            feeds |= carried
        with timed(times_ms, "infer"):
            answers = [self.turns(part) for part in frame.parts(feeds)]
        carried |= {spec.name: answers[0][name] for name, spec in self._carried.items()}
        outputs = frame.own(answers[0] if len(answers) == 1 else _together(answers), times_ms)
        return Result(frame, outputs, self.manifest, times_ms)

    def _beginning(self, frame: Frame, rows: int) -> Arrays:
        """What the first frame of a stream finds of what is carried: zeros; or, in a loop, what its last frame leaves.

        A loop is gone through unseen until a further turn changes nothing, so that it closes.
        """
        state = {spec.name: _nothing(spec, rows) for spec in self._carried.values()}
        for turn in range(MOST_TURNS):
            old = state
            for feeds in frame.before():
                outputs = self.turns(feeds | state)
                state = {spec.name: outputs[name] for name, spec in self._carried.items()}
            if old is state or (turn and _apart(state, old) <= CLOSED):  # the very same where nothing was before
                return state
        notice(f"'{self.manifest.name}' forgets too slowly for this loop: after {MOST_TURNS} turns it does not quite "
               "close")
        return state


def warm_up(engine: Engine, runs: int = 2) -> None:
    """Runs zeros (black frames) through a session, on as many threads as it computes on."""
    feeds = {spec.name: np.zeros((spec.shape[0] or 1, *(size or ANY_SIDE for size in spec.shape[1:])), spec.dtype)
             for spec in engine.manifest.inputs}
    with ThreadPoolExecutor(engine.session.depth) as pool:
        list(pool.map(lambda _: engine.turns(feeds), range(runs * engine.session.depth)))


def _together(answers: list[Arrays]) -> Arrays:
    """Several runs' outputs as one batch."""
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _apart(state: Arrays, old: Arrays) -> float:
    """The largest difference of two states, as a share of the largest number in them."""
    return max(float(np.abs(state[name] - old[name]).max() / (np.abs(state[name]).max() + 1e-9)) for name in state)


def _nothing(spec: TensorSpec, rows: int) -> NDArray[Any]:
    """Zeros of what is carried."""
    if None in spec.shape[1:]:
        raise DataError(f"input '{spec.name}', which is carried from frame to frame", got=f"shape {spec.shape}",
                        expected="a size that is fixed but for the batch", do="export it again")
    return np.zeros((rows, *(size or 1 for size in spec.shape[1:])), spec.dtype)
