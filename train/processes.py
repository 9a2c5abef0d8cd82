"""The processes that train together: one, or those that torchrun started on one machine or several."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..runtime.errors import EpeeError, TrainingError, need
from .commands.options import started_processes
from .devices import pick_device

T = TypeVar("T")

TIMEOUT_S = 600.0
"""How long a process waits for another one that is there but does not answer."""


@dataclass(frozen=True)
class Processes:
    """What one process knows of those it trains with. All of them call the same methods in the same order.

    Attributes:
        rank: its number, 0 to count - 1; the first one writes and keeps the time.
        count: of processes.
        device: where this one computes.
        fabric: Lightning's, which started them; None for a process alone.
    """

    rank: int
    count: int
    device: torch.device
    fabric: Any = None

    @property
    def first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def from_first(self, make: Callable[..., T], *given: Any) -> T:
        """What `make` gives in the first process, in all of them; it is not called in the others.

        Raises:
            EpeeError: what `make` raised; in the others a TrainingError that says so.
        """
        if self.count == 1:
            return make(*given)
        made: tuple[Any, str] = (None, "")
        try:
            if self.first:
                made = (make(*given), "")
        except EpeeError as error:
            with self._talking():
                self.fabric.broadcast((None, str(error)))
            raise
        with self._talking():
            made = self.fabric.broadcast(made)
        if made[1]:
            raise TrainingError("the first process gave up", got=made[1])
        return made[0]

    def gather(self, mine: T) -> list[T]:
        """What each process says, in the order of their numbers."""
        if self.count == 1:
            return [mine]
        said: list[Any] = [None] * self.count
        with self._talking():
            torch.distributed.all_gather_object(said, mine)
        return said

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Makes each tensor, in place, the sum over the processes. All are float32 on the device."""
        if self.count == 1:
            return
        with self._talking():
            flat = self.fabric.all_reduce(torch.cat([t.reshape(-1) for t in tensors]), reduce_op="sum")
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def agree(self, elapsed_s: float, asked: bool) -> tuple[float, bool]:
        """The first process's time, and whether any was asked to stop."""
        said = self.gather((elapsed_s, asked))
        return said[0][0], any(stop for _, stop in said)

    def check_alike(self, what: str, value: object, do: str) -> None:
        """Raises TrainingError in all processes where one has another `value` than the first."""
        said = self.gather(value)
        if others := [str(rank) for rank, each in enumerate(said) if each != said[0]]:
            raise TrainingError(what, got=f"another one in process {', '.join(others)} than in process 0",
                                expected="the same everywhere", do=do)

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise TrainingError(f"process {self.rank} of {self.count} has lost the others",
                                got=" ".join(str(error).split())[:160],
                                do="one of them ended; see what it said, then go on with --resume") from None


def alone() -> Processes:
    """A process that trains for itself, on the device of its choice."""
    return Processes(0, 1, pick_device())


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Joins the processes that torchrun started: gloo between CPUs, NCCL between GPUs; without torchrun, one alone.

    Raises:
        MissingExtra: Lightning Fabric is not installed.
        TrainingError: fewer GPUs than processes on this machine, or the others cannot be reached.
    """
    if started_processes() == 1:
        yield alone()
        return
    need("lightning_fabric")
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    here, machines = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["GROUP_WORLD_SIZE"])
    kind = pick_device().type
    if kind == "cuda" and torch.cuda.device_count() < here:
        raise TrainingError("processes on this machine", got=here,
                            expected=f"at most one a GPU, {torch.cuda.device_count()}", do="torchrun --nproc-per-node")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # Words go by gloo everywhere: a process that died is noticed at once, and a GPU need not be waited for.
    strategy = DDPStrategy(process_group_backend="cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo",
                           timeout=timedelta(seconds=TIMEOUT_S))
    try:
        fabric = Fabric(accelerator=kind, devices=here, num_nodes=machines, strategy=strategy)
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise TrainingError("the processes cannot be joined", got=" ".join(str(error).split())[:200],
                            expected=f"{machines} machines with {here} processes each") from None
    yield Processes(fabric.global_rank, fabric.world_size, fabric.device, fabric)
    torch.distributed.destroy_process_group()  # after an error it would wait for those that are gone
