"""A bundle that is replaced on disk replaces the one that runs, between two frames, if it answers its goldens.

What replaces it is a folder that takes its place, or a link that now points to another version. A bundle that is being
copied is left alone until its files have stopped changing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from .answering import Engine, warm_up
from .backends import Session, open_session
from .bundle import MANIFEST, Bundle, find
from .errors import BundleError, EpeeError
from .manifest import Manifest
from .model import Model
from .sources import notice
from .variants import choose_variant, variants_of
from .verify import answer, compare, read_goldens

POLL_S = 0.5
"""How often the folder is looked at: a few file times, no contents. It has to look the same twice."""
JOIN_S = 30.0
"""How long `close` waits for a bundle that is just being opened."""
Look = tuple[object, ...]


class Replacing:
    """Watches the bundle of a model on a thread of its own; a context manager.

    A new bundle is opened beside the running one (so both are in memory for a moment), verified on the same backend,
    warmed up and swapped in. One that is broken, answers wrongly or has other outputs is refused: one line on standard
    error says why, and the old one goes on.

    Args:
        model: opened from `path`.
        path: as it was given: a folder, a link, or the name of a bundle that ships.
        backend, precision: as they were given; `auto` keeps what runs.
        threads, depth: as the model was opened.
        asked: how often a person has asked for it, e.g. by SIGHUP; where it grows, the bundle is opened even if it
            looks the same.

    Attributes:
        counts: `{"done", "refused"}`.
    """

    def __init__(self, model: Model, path: str | Path, backend: str = "auto", precision: str = "auto", *,
                 threads: int = 0, depth: int = 1, asked: Callable[[], int] = lambda: 0) -> None:
        self._model, self._backend, self._precision = model, backend, precision
        self._threads, self._depth, self._asked = threads, depth, asked
        self._path = find(path)
        self.counts = {"done": 0, "refused": 0}
        self._looks, self._asks = look(self._path), asked()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="epee-bundle", daemon=True)

    def __enter__(self) -> Replacing:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join(JOIN_S)

    def _watch(self) -> None:
        before = self._looks
        while not self._over.wait(POLL_S):
            now, asks = look(self._path), self._asked()
            settled, before = now == before, now
            if now and settled and (now != self._looks or asks != self._asks):
                self._looks, self._asks = now, asks
                self._replace()

    def _replace(self) -> None:
        name = self._path.name
        try:
            session, manifest = self._open()
        except Exception as error:  # also a runtime's own: nothing that is wrong with a new bundle stops the old one
            self.counts["refused"] += 1
            text = str(error) if isinstance(error, EpeeError) else f"{type(error).__name__}: {error}"
            notice(f"the new '{name}' is refused, the old one goes on: {' '.join(text.split())}")
            return
        if self._over.is_set():
            session.close()
            return
        self._model.swap(session, manifest)
        self.counts["done"] += 1
        notice(f"the new '{name}' runs ({session.backend}:{session.device}, {session.precision})")

    def _open(self) -> tuple[Session, Manifest]:
        """The new session, verified and warm. Raises EpeeError where it will not do."""
        bundle = Bundle.open(self._path.resolve())
        running = self._model.session
        same_contract(self._model.manifest, bundle.manifest)
        backend = f"{running.backend}:{running.device}" if self._backend == "auto" else self._backend
        precision = self._precision
        if precision == "auto" and any(v.name == running.variant for v in variants_of(bundle)):
            precision = running.variant
        session = open_session(bundle, backend, precision, threads=self._threads, depth=self._depth)
        try:
            answers_goldens(session, bundle)
            engine = Engine(session, bundle.manifest)
            warm_up(engine)
        except BaseException:
            session.close()
            raise
        return session, bundle.manifest


def look(path: Path) -> Look:
    """What a bundle looks like from outside: where it really is, and name, size, time and inode of each file.

    Empty while there is none.
    """
    folder = path.resolve()
    try:
        if not (folder / MANIFEST).is_file():
            return ()
        files = [(entry.name, entry.stat()) for entry in sorted(folder.iterdir())]
    except OSError:  # it is being exchanged at this very moment
        return ()
    return (str(folder), *((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in files))


def same_contract(old: Manifest, new: Manifest) -> None:
    """Raises BundleError where source and sinks could not go on with the new bundle.

    The size of frames and pictures may differ, so may classes where they are no input.
    """
    for what, was, now in (
            ("task", old.task, new.task),
            ("inputs", *([("frame" if s is m.frame_input else (s.name, s.shape[1:], s.dtype)) for s in m.inputs]
                         for m in (old, new))),
            ("classes", *([len(m.classes)] if any(s.name == "label" for s in m.inputs) else [] for m in (old, new))),
            ("outputs", [(s.name, s.dtype, s.pixel) for s in old.outputs],
             [(s.name, s.dtype, s.pixel) for s in new.outputs])):
        if was != now:
            raise BundleError(f"bundle '{new.name}': {what}", got=now, expected=f"{was}, as the one that runs",
                              do="end the run and start it with the new bundle")


def answers_goldens(session: Session, bundle: Bundle) -> None:
    """Raises BundleError where a session does not give the bundle's own answers."""
    goldens = read_goldens(bundle)
    variant = choose_variant(bundle, session.variant)
    for name, _, wrong in compare(session.outputs, answer(session, goldens), goldens, variant.tolerance):
        if wrong:
            raise BundleError(f"bundle '{bundle.manifest.name}', variant '{variant.name}': output '{name}'",
                              got=wrong.removeprefix("got "), do="export it again; `epee verify` tells more")
