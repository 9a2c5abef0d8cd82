"""Everything of a training that changes: weights, their average, the optimizer, and where it stands."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..runtime.errors import TrainingError
from . import checkpoint

Read = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors by name and facts of a checkpoint."""


@dataclass
class Learner:
    """A network that learns.

    Attributes:
        network: what is trained.
        optimizer: over the network.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name; the training's own memory, not a copy."""
        return {**checkpoint.pack("network", self.network.state_dict()),
                **checkpoint.pack("optimizer", checkpoint.optimizer_tensors(self.optimizer))}

    def put_back(self, tensors: Mapping[str, Tensor]) -> None:
        """Copies in what `tensors` gave. Raises KeyError, RuntimeError or ValueError where it does not fit."""
        self.network.load_state_dict(checkpoint.unpack("network", tensors))
        checkpoint.restore_optimizer(self.optimizer, checkpoint.unpack("optimizer", tensors))

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate of the next step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate


@dataclass
class AveragedLearner(Learner):
    """A network that learns, and the exponential moving average of its weights and statistics.

    Attributes:
        averaged: in eval mode, without gradients; what is scored and exported.
    """

    averaged: nn.Module

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Moves the average towards the network: a = decay a + (1 - decay) w; counters are copied."""
        old, new = self.averaged.state_dict(), self.network.state_dict()
        moving = [k for k, v in old.items() if v.is_floating_point()]
        torch._foreach_lerp_([old[k] for k in moving], [new[k] for k in moving], 1.0 - decay)
        for key in old.keys() - set(moving):
            old[key].copy_(new[key])

    def tensors(self) -> dict[str, Tensor]:
        """As a Learner's, and the average."""
        return {**super().tensors(), **checkpoint.pack("ema", self.averaged.state_dict())}

    def put_back(self, tensors: Mapping[str, Tensor]) -> None:
        """As a Learner's, and the average."""
        super().put_back(tensors)
        self.averaged.load_state_dict(checkpoint.unpack("ema", tensors))


def average_of(network: nn.Module) -> nn.Module:
    """An average that has not moved yet."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@dataclass
class State(AveragedLearner):
    """A training of one network between two steps.

    Attributes:
        beside: what learns along and is neither averaged nor exported, e.g. further heads; or None.
        partner: a discriminator with its own optimizer; or None.
        step: steps done.
        elapsed_s: wall time spent.
        best: best score so far; below 0 means none yet.
    """

    beside: nn.Module | None = None
    partner: Learner | None = None
    step: int = 0
    elapsed_s: float = 0.0
    best: float = -1.0

    @classmethod
    def new(cls, network: nn.Module, learning_rate: float, weight_decay: float,
            beside: nn.Module | None = None, partner: Learner | None = None) -> State:
        """A training that has not begun, with AdamW."""
        weights = [*network.parameters(), *(beside.parameters() if beside is not None else ())]
        kernels, others = [p for p in weights if p.ndim > 1], [p for p in weights if p.ndim <= 1]
        optimizer = torch.optim.AdamW([{"params": kernels, "weight_decay": weight_decay},
                                       {"params": others, "weight_decay": 0.0}], lr=learning_rate)
        return cls(network, optimizer, average_of(network), beside, partner)

    def tensors(self) -> dict[str, Tensor]:
        """As an AveragedLearner's, and what learns along."""
        more = {} if self.beside is None else checkpoint.pack("beside", self.beside.state_dict())
        partner = {} if self.partner is None else checkpoint.pack("partner", self.partner.tensors())
        return {**super().tensors(), **more, **partner}

    def put_back(self, tensors: Mapping[str, Tensor]) -> None:
        """As an AveragedLearner's, and what learns along."""
        super().put_back(tensors)
        if self.beside is not None:
            self.beside.load_state_dict(checkpoint.unpack("beside", tensors))
        if self.partner is not None:
            self.partner.put_back(checkpoint.unpack("partner", tensors))

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Writes all of it. Raises TrainingError where the disk is full."""
        place = {"step": self.step, "elapsed_s": self.elapsed_s, "best": self.best}
        checkpoint.write(path, self.tensors(), {**facts, "place": place})

    def restore(self, path: Path, read: Callable[[Path], Read] = checkpoint.read) -> None:
        """Reads what `save` wrote. Raises TrainingError where it is missing, cut, or of another network."""
        tensors, facts = read(path)
        try:
            self.put_back(tensors)
            place = facts["place"]
            self.step, self.elapsed_s, self.best = place["step"], place["elapsed_s"], place["best"]
        except (KeyError, RuntimeError, ValueError) as error:
            raise misfit(path, error) from None


@dataclass
class PairState:
    """A training of a generator and its partner between two steps.

    Attributes:
        generator: with its average.
        partner: the discriminator of a GAN, the encoder of a VAE.
        step: steps done.
        elapsed_s: wall time spent.
        calm: factor on the learning rate; halved at each going back.
        rollbacks: how many times it went back.
    """

    generator: AveragedLearner
    partner: Learner
    step: int = 0
    elapsed_s: float = 0.0
    calm: float = 1.0
    rollbacks: int = 0

    @classmethod
    def new(cls, generator: nn.Module, partner: nn.Module, rate: float, betas: tuple[float, float]) -> PairState:
        """A training that has not begun, with Adam on both sides."""
        adam = [torch.optim.Adam(n.parameters(), lr=rate, betas=betas, fused=True) for n in (generator, partner)]
        return cls(AveragedLearner(generator, adam[0], average_of(generator)), Learner(partner, adam[1]))

    def tensors(self) -> dict[str, Tensor]:
        """All weights and optimizers by name; the training's own memory, not a copy."""
        return {**checkpoint.pack("generator", self.generator.tensors()),
                **checkpoint.pack("partner", self.partner.tensors())}

    def put_back(self, tensors: Mapping[str, Tensor]) -> None:
        """Copies in what `tensors` gave; the place is left as it is."""
        self.generator.put_back(checkpoint.unpack("generator", tensors))
        self.partner.put_back(checkpoint.unpack("partner", tensors))

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Writes all of it. Raises TrainingError where the disk is full."""
        place = {"step": self.step, "elapsed_s": self.elapsed_s, "calm": self.calm, "rollbacks": self.rollbacks}
        checkpoint.write(path, self.tensors(), {**facts, "place": place})

    def save_run(self, out: Path, facts: Mapping[str, Any], scores: Mapping[str, float], network: nn.Module) -> None:
        """Writes `last.safetensors`, to go on from, and `generator.safetensors`, see `save_averaged`."""
        self.save(out / checkpoint.LAST, facts)
        self.save_averaged(out / checkpoint.GENERATOR, facts, scores, network)

    def save_averaged(self, path: Path, facts: Mapping[str, Any], scores: Mapping[str, float],
                      network: nn.Module) -> None:
        """Writes the averaged network, or the part of it that is exported. Raises TrainingError where the disk is full.

        Args:
            path: of the checkpoint.
            facts: what it says of itself.
            scores: by name, added to its provenance, as the step and the minutes are.
            network: whose weights are written.
        """
        grown = {"scores": dict(scores), "step": self.step, "minutes": round(self.elapsed_s / 60, 2)}
        checkpoint.write(path, checkpoint.pack("ema", network.state_dict()),
                         {**facts, "provenance": {**facts["provenance"], **grown}})

    def restore(self, path: Path) -> dict[str, Any]:
        """Reads what `save` wrote and gives its facts.

        Raises:
            TrainingError: it is missing, cut, or of other networks.
        """
        tensors, facts = checkpoint.read(path)
        try:
            self.put_back(tensors)
            place: dict[str, Any] = facts["place"]
            self.step, self.elapsed_s = place["step"], place["elapsed_s"]
            self.calm, self.rollbacks = place["calm"], place["rollbacks"]
            return facts
        except (KeyError, RuntimeError, ValueError) as error:
            raise misfit(path, error) from None


def misfit(path: Path, error: Exception) -> TrainingError:
    """The error for a checkpoint of another network."""
    return TrainingError(f"checkpoint '{path}' does not fit this training", got=" ".join(str(error).split())[:200],
                         do="resume with the run's own configuration")
