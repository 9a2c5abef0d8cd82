"""A batch in parts: one after the other in a process, several processes at once, or both.

What is learned depends on the batch and the number of its parts, and not on who computes them: gradients are the mean
over the parts, and so are running statistics, since each part's norms see that part alone. Norms that are the same in
all processes (SyncBatchNorm) would need GPUs, wait for each other at every layer, and learn something else than parts
that are computed one after the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..runtime.errors import ConfigError
from .processes import Processes


@dataclass(frozen=True)
class Share:
    """The parts of every batch that a process computes.

    Attributes:
        parts: of a batch, in all processes together.
        mine: numbers of those that are computed here.
        pictures: of a part.
    """

    parts: int
    mine: range
    pictures: int

    @property
    def slots(self) -> range:
        """Places in the batch of the pictures that are computed here."""
        return range(self.mine.start * self.pictures, self.mine.stop * self.pictures)

    def cut(self, part: int) -> slice:
        """Where a part lies among the pictures that are computed here."""
        start = (part - self.mine.start) * self.pictures
        return slice(start, start + self.pictures)


def share_of(batch: int, accumulate: int, processes: Processes) -> Share:
    """Divides batches among processes: into as many parts as `accumulate` says, or as there are processes.

    Raises:
        ConfigError: the parts cannot be divided among the processes, or the pictures among the parts.
    """
    count = processes.count
    parts = max(accumulate, count)
    if parts % count:
        raise ConfigError("--accumulate", got=f"{parts} parts for {count} processes", expected=f"a multiple of {count}",
                          do="parts are counted over all processes")
    if batch % parts:
        raise ConfigError("--batch", got=f"{batch} pictures in {parts} parts", expected=f"a multiple of {parts}",
                          do="name another --batch" + ("" if count > 1 else " or --accumulate"))
    each = parts // count
    return Share(parts, range(processes.rank * each, (processes.rank + 1) * each), batch // parts)


class Gathered:
    """Gradients and running statistics of a step, over its parts. With one part it does nothing.

    Args:
        modules: what learns in this step; gradients are none at first.
        share: of the batch.
        processes: that compute the rest.
    """

    def __init__(self, modules: Iterable[nn.Module], share: Share, processes: Processes) -> None:
        self._parts, self._processes = share.parts, processes
        many = list(modules) if share.parts > 1 else []
        self._weights = [p for m in many for p in m.parameters()]
        self._statistics = [b for m in many for b in m.buffers() if b.is_floating_point()]
        self._before = [b.clone() for b in self._statistics]
        self._sums = [torch.zeros_like(b) for b in self._statistics]

    @torch.no_grad()
    def end_part(self) -> None:
        """After each part: takes what it made of the running statistics, and puts them back."""
        for now, before, total in zip(self._statistics, self._before, self._sums, strict=True):
            total.add_(now, alpha=1.0 / self._parts)
            now.copy_(before)

    @torch.no_grad()
    def end_step(self) -> None:
        """After all parts: puts the means over them in place. Gradients of the parts add up by themselves."""
        if self._processes.count > 1:
            taught = torch.tensor([p.grad is not None for p in self._weights], dtype=torch.float32,
                                  device=self._processes.device)
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._weights]
            self._processes.add_up([*gradients, taught, *self._sums])
            for weight, gradient, times in zip(self._weights, gradients, taught.tolist(), strict=True):
                weight.grad = gradient if times else None  # nowhere taught: the optimizer passes it by
        for now, mean in zip(self._statistics, self._sums, strict=True):
            now.copy_(mean)


def mean_values(told: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each value over those that tell it, in the order in which they are first told."""
    names = dict.fromkeys(name for values in told for name in values)
    found = {name: [values[name] for values in told if name in values] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}


def digest(network: nn.Module, *facts: object) -> str:
    """A SHA-256 of a network's weights and buffers and of facts; arrays among the facts are short ones."""
    found = hashlib.sha256(repr(facts).encode())
    for tensor in network.state_dict().values():
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
