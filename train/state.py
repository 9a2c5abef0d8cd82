"""Everything of a training that changes: weights, their average, the optimizer, and where it stands."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..runtime.errors import TrainingError
from . import checkpoint


@dataclass
class State:
    """A training between two steps.

    Attributes:
        network: what is trained.
        averaged: exponential moving average of its weights and statistics; what is scored and exported.
        optimizer: AdamW over the network.
        step: steps done.
        elapsed_s: wall time spent.
        best: best score so far; below 0 means none yet.
    """

    network: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    elapsed_s: float = 0.0
    best: float = -1.0

    @classmethod
    def new(cls, network: nn.Module, learning_rate: float, weight_decay: float) -> State:
        """A training that has not begun."""
        averaged = copy.deepcopy(network).eval().requires_grad_(False)
        kernels = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW([{"params": kernels, "weight_decay": weight_decay},
                                       {"params": others, "weight_decay": 0.0}], lr=learning_rate)
        return cls(network, averaged, optimizer)

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Moves the average towards the network: a = decay a + (1 - decay) w; counters are copied."""
        old, new = self.averaged.state_dict(), self.network.state_dict()
        moving = [k for k, v in old.items() if v.is_floating_point()]
        torch._foreach_lerp_([old[k] for k in moving], [new[k] for k in moving], 1.0 - decay)
        for key in old.keys() - set(moving):
            old[key].copy_(new[key])

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Writes all of it. Raises TrainingError where the disk is full."""
        tensors: dict[str, Tensor] = {
            **checkpoint.pack("network", self.network.state_dict()),
            **checkpoint.pack("ema", self.averaged.state_dict()),
            **checkpoint.pack("optimizer", checkpoint.optimizer_tensors(self.optimizer))}
        place = {"step": self.step, "elapsed_s": self.elapsed_s, "best": self.best}
        checkpoint.write(path, tensors, {**facts, "place": place})

    def restore(self, path: Path) -> None:
        """Reads what `save` wrote. Raises TrainingError where it is missing, cut, or of another network."""
        tensors, facts = checkpoint.read(path)
        try:
            self.network.load_state_dict(checkpoint.unpack("network", tensors))
            self.averaged.load_state_dict(checkpoint.unpack("ema", tensors))
            checkpoint.restore_optimizer(self.optimizer, checkpoint.unpack("optimizer", tensors))
            place = facts["place"]
            self.step, self.elapsed_s, self.best = place["step"], place["elapsed_s"], place["best"]
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainingError(f"checkpoint '{path}' does not fit this training",
                                           got=" ".join(str(error).split())[:200],
                                           do="resume with the run's own configuration") from None
