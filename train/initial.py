"""A training that begins from weights that are there: what fits is taken, and said; the rest begins anew."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..runtime import bundle
from ..runtime.errors import BundleError, TrainingError
from .checkpoint import Trained, load_trained
from .networks.segmenter import Segmenter

HEAD = "head"


@dataclass(frozen=True)
class Taken:
    """What a network took over.

    Attributes:
        tensors: how many, of how many.
        head: `whole`, `new`, or `rows` where classes were found by name.
        classes: names of the classes whose rows of the head were taken.
        anew: names of the other tensors, which begin anew because they are missing or of another shape.
    """

    tensors: tuple[int, int]
    head: str
    classes: tuple[str, ...]
    anew: tuple[str, ...]

    def render(self, source: str) -> str:
        """One line for a person."""
        head = {"whole": "the head with them", "new": "a new head",
                "rows": f"a new head with the rows of {', '.join(self.classes)}"}[self.head]
        tail = f"; begun anew: {', '.join(self.anew[:6])}{' …' * (len(self.anew) > 6)}" if self.anew else ""
        return f"{self.tensors[0]} of {self.tensors[1]} tensors taken from {source}, {head}{tail}"

    def to_json(self) -> dict[str, Any]:
        """The same for `--json`."""
        return dataclasses.asdict(self)


def weights_of(source: str | os.PathLike[str]) -> Path:
    """Gives the run or checkpoint that a bundle's name, a bundle, a run or a checkpoint file stands for.

    A bundle holds no weights to train on with: they lie beside it, as NAME.safetensors beside NAME.epee.

    Raises:
        TrainingError: there is nothing of that name, or a bundle without weights beside it.
    """
    path = Path(source)
    if path.is_file() or (path.is_dir() and not (path / bundle.MANIFEST).is_file()):
        return path
    try:
        folder = bundle.find(path)
    except BundleError as error:
        raise TrainingError(f"weights '{source}'", got=error.got, expected="a run, a .safetensors file, a bundle with "
                            "its .safetensors beside it, or one of: " + (", ".join(_trainable()) or "(none is here)"),
                            do=bundle.shelves_told()) from None
    beside = folder.with_suffix(".safetensors")
    if not beside.is_file():
        raise TrainingError(f"bundle '{folder}'", got="no weights to train on with",
                            expected=f"{beside.name} beside it", do="name the run that it was exported from")
    return beside


def load_initial(source: str) -> Trained:
    """Opens weights of a segmenter by what `weights_of` takes.

    Raises:
        TrainingError: none are there, or those of another task.
    """
    trained = load_trained(weights_of(source))
    if trained.task != "segment":
        raise TrainingError(f"weights '{source}'", got=f"task {trained.task}", expected="task segment")
    return trained


def take(network: Segmenter, names: Sequence[str], trained: Trained) -> Taken:
    """Copies into a network what fits of trained weights.

    Where the classes are the same, so is the head; else it is new, and classes of the same name keep their rows.

    Args:
        network: changed in place.
        names: its classes.
        trained: from `load_initial`.

    Raises:
        TrainingError: nothing but the head would fit.
    """
    own, given = network.state_dict(), trained.network.state_dict()
    trunk = [k for k in own if not k.startswith(f"{HEAD}.")]
    same = {k: given[k] for k in trunk if k in given and given[k].shape == own[k].shape}
    if not any(v.ndim > 1 for v in same.values()):
        raise TrainingError("weights to begin from", got="none that fits", expected="those of a network of these sizes",
                            do="leave --preset out, so that the network is the weights' own")
    network.load_state_dict(same, strict=False)
    kept = _take_head(network.head, names, trained)
    whole = kept == tuple(names) == trained.names
    return Taken((len(same) + (len(own) - len(trunk)) * whole, len(own)),
                 "whole" if whole else "rows" if kept else "new", kept, tuple(k for k in trunk if k not in same))


@torch.no_grad()
def _take_head(head: nn.Conv2d, names: Sequence[str], trained: Trained) -> tuple[str, ...]:
    given = trained.network.get_submodule(HEAD)
    if not isinstance(given, nn.Conv2d) or given.weight.shape[1:] != head.weight.shape[1:]:
        return ()
    kept = tuple(name for name in names if name in trained.names)
    for name in kept:
        to, of = list(names).index(name), trained.names.index(name)
        head.weight[to] = given.weight[of]
        if head.bias is not None and given.bias is not None:
            head.bias[to] = given.bias[of]
    return kept


def _trainable() -> list[str]:
    return [name for name in bundle.shipped_names() if bundle.find(name).with_suffix(".safetensors").is_file()]
