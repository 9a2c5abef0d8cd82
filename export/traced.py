"""What turning a training's network into a candidate asks for, whatever its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..runtime.errors import ExportError
from ..train.checkpoint import Trained
from .candidate import Answer
from .samples import Sample
from .to_onnx import multiply_adds

N = TypeVar("N", bound=nn.Module)


def network_of(trained: Trained, kind: type[N], expected: str) -> N:
    """Gives the network in eval mode, float32, on the CPU.

    Args:
        trained: from `load_trained`.
        kind: the class that it has to be of.
        expected: the tasks that may be exported there, for the message.

    Raises:
        ExportError: another task's network.
    """
    if not isinstance(trained.network, kind):
        raise ExportError("task of the checkpoint", got=trained.task, expected=expected)
    return trained.network.eval().float().cpu()


def check_own_size(trained: Trained, size_wh: tuple[int, int] | None) -> None:
    """Raises ExportError where another size is asked for than that of the training."""
    if size_wh not in (None, trained.size_wh):
        (w, h), (own_w, own_h) = size_wh, trained.size_wh
        raise ExportError(f"size of a network of task {trained.task}", got=f"{w}x{h}",
                          expected=f"{own_w}x{own_h}, as it was trained",
                          do=f"leave --size out; `epee train {trained.task} --size` makes another")


def torch_answers(reference: nn.Module, inputs: Sequence[str], outputs: Sequence[str]) -> Answer:
    """torch's answers: `reference` is given a sample's `inputs` in that order, and gives `outputs` in theirs."""
    def answer(sample: Sample) -> Mapping[str, NDArray[Any]]:
        with torch.no_grad():
            found = reference(*(torch.from_numpy(sample[name]) for name in inputs))
        return {name: np.asarray(tensor) for name, tensor in zip(outputs, found, strict=True)}

    return answer


def costs(model: Any, network: nn.Module) -> dict[str, int]:
    """`macs` of a graph and `parameters` of the network it was made of, for the provenance."""
    return {"macs": multiply_adds(model), "parameters": sum(p.numel() for p in network.parameters())}
