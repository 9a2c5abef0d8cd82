"""A trained animator becomes a candidate: noise, a state and a truncation in, a frame's bytes and the next state out.

A stream begins with a state of zeros; the graph itself draws where it begins. What is carried stays in float in every
precision: what is rounded there would add up from frame to frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..runtime.errors import ExportError
from ..runtime.manifest import NEXT, TensorSpec
from ..train.checkpoint import Trained
from ..train.networks.animator import Animator, Motion
from .candidate import Answer, Candidate
from .latents import LatentSupply
from .samples import Sample
from .tensors import IMAGE, LATENT, LEVELS, STATE, TRUNCATION, image_spec, latent_specs
from .to_onnx import multiply_adds, to_onnx, without_output

NEXT_STATE = NEXT + STATE
RUN = 16
"""Consecutive frames of a stream among the samples."""


class FusedAnimator(nn.Module):
    """An Animator to bytes, with the truncation trick of `generator.FusedGenerator`, applied to where the latent is.

    Args:
        network: in eval mode; left as it is.

    Input: z (N, Z) float32, standard normal; truncation (N,) float32, 1 for none; state (N, S) float32, zeros at first.
    Output: image (N, size, size, 3) uint8, BGR; next_state (N, S) float32; levels, the image as float32 before
        rounding, 0 to 255.
    """

    def __init__(self, network: Animator) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, z: Tensor, truncation: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        latent, state = self.network.motion(z, state)
        picture = self.network.generator(latent * truncation[:, None])  # (N, 3, size, size)
        levels = ((picture + 1) * 127.5).permute(0, 2, 3, 1)  # (N, size, size, 3)
        return torch.round(levels).to(torch.uint8), state, levels


@dataclass(frozen=True)
class StreamSupply(LatentSupply):
    """See `samples.Supply`: runs of consecutive frames, each with the state that the float network was in.

    Attributes:
        motion: of the network.
    """

    motion: Motion = field(kw_only=True)

    def drawn(self, what: str, count: int) -> list[Sample]:
        """Samples of one of SEEDS: streams of RUN frames, one after another, each from its beginning."""
        found: list[Sample] = []
        state = torch.zeros(1, self.motion.config.state)
        for i, sample in enumerate(super().drawn(what, count)):
            if i % RUN == 0:
                state = torch.zeros_like(state)
            found.append({**sample, STATE: state.numpy()})
            with torch.no_grad():
                _, state = self.motion(torch.from_numpy(sample[LATENT]), state)
        return found


def from_trained(trained: Trained, name: str, size_wh: tuple[int, int] | None = None) -> Candidate:
    """Traces a training's network.

    Args:
        trained: from `load_trained`.
        name: of the bundle.
        size_wh: None, or the size of the training: an animator makes no other.

    Raises:
        ExportError: another task's network, another size, or one that torch cannot trace.
    """
    network = trained.network
    if not isinstance(network, Animator):
        raise ExportError("task of the checkpoint", got=trained.task, expected="animate")
    if size_wh not in (None, trained.size_wh):
        (w, h), (own_w, own_h) = size_wh, trained.size_wh
        raise ExportError("size of an animator", got=f"{w}x{h}", expected=f"{own_w}x{own_h}, as it was trained",
                          do="leave --size out; `epee train animate --size` makes another")
    fused, config = FusedAnimator(network.eval().float().cpu()), network.config
    state = TensorSpec(STATE, (None, config.state), "float32", "NS")
    inputs = (*latent_specs(config.z, 0), state)
    supply = StreamSupply(config.z, 0, motion=fused.network.motion)
    names = [LATENT, TRUNCATION, STATE]
    example = [torch.from_numpy(supply.goldens()[1][name]) for name in names]
    model = without_output(to_onnx(fused, example, names, [IMAGE, NEXT_STATE, LEVELS]), LEVELS)
    facts = {"macs": multiply_adds(model), "parameters": sum(p.numel() for p in network.parameters())}
    size = config.generator.size
    return Candidate(name=name, task=trained.task, model=model, answer=answers_of(fused, names), inputs=inputs,
                     outputs=(image_spec((size, size)), replace(state, name=NEXT_STATE)), supply=supply,
                     provenance={**trained.provenance, **facts}, inner=LEVELS, run=RUN)


def answers_of(fused: FusedAnimator, names: Sequence[str]) -> Answer:
    """torch's answers; `names` are the inputs in the order of `forward`."""
    def answer(sample: Sample) -> Mapping[str, NDArray[Any]]:
        with torch.no_grad():
            outputs = fused(*(torch.from_numpy(sample[name]) for name in names))
        return {name: np.asarray(output) for name, output in zip((IMAGE, NEXT_STATE, LEVELS), outputs, strict=True)}

    return answer
