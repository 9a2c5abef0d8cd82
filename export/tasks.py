"""What each task's checkpoint is turned into a candidate by."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..runtime.errors import ExportError
from ..train.checkpoint import Trained
from .candidate import Candidate
from .samples import Asked


@dataclass(frozen=True)
class Task:
    """A task's `FILE:FUNCTION`s, imported when they are used.

    Attributes:
        opener: a training's network, the bundle's name and `--size` or None to a candidate; raises ExportError.
        checker: `samples.Asked` to nothing; raises where an option does not fit or cannot be read.
    """

    opener: str
    checker: str

    def open(self, trained: Trained, name: str, size_wh: tuple[int, int] | None) -> Candidate:
        """Traces a training's network."""
        candidate: Candidate = _found(self.opener)(trained, name, size_wh)
        return candidate

    def check(self, asked: Asked) -> None:
        """Looks at the options before a network is traced."""
        _found(self.checker)(asked)


TASKS = {"segment": Task("segmenter:from_trained", "frames:check"),
         "translate": Task("pictures:from_trained", "pictures:check"),
         "enhance": Task("pictures:from_trained", "pictures:check"),
         "generate": Task("generator:from_trained", "latents:check"),
         "animate": Task("animator:from_trained", "latents:check")}


def task_of(name: str) -> Task:
    """The task of a checkpoint. Raises ExportError where this version exports none such."""
    if name not in TASKS:
        raise ExportError("task of the checkpoint", got=name, expected=", ".join(TASKS))
    return TASKS[name]


def _found(place: str) -> Callable[..., Any]:
    file, _, name = place.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(f".{file}", __package__), name)
    return function
