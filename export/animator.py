"""A trained animator becomes a candidate: noise, a state and a truncation in, a frame's bytes and the next state out.

A stream begins with a state of zeros; the graph itself draws where it begins. What is carried stays in float in every
precision: what is rounded there would add up from frame to frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..runtime.manifest import NEXT, TensorSpec
from ..train.checkpoint import Trained
from ..train.networks.animator import Animator, Motion
from .candidate import Candidate
from .latents import LatentSupply
from .samples import Sample
from .tensors import IMAGE, LATENT, LEVELS, STATE, TRUNCATION, image_spec, latent_specs
from .to_onnx import to_onnx, without_output
from .traced import check_own_size, costs, network_of, torch_answers

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
    network = network_of(trained, Animator, "animate")
    check_own_size(trained, size_wh)
    fused, config = FusedAnimator(network), network.config
    state = TensorSpec(STATE, (None, config.state), "float32", "NS")
    inputs = (*latent_specs(config.z, 0), state)
    supply = StreamSupply(config.z, 0, motion=fused.network.motion)
    names, outputs = [LATENT, TRUNCATION, STATE], [IMAGE, NEXT_STATE, LEVELS]
    example = [torch.from_numpy(supply.goldens()[1][name]) for name in names]
    model = without_output(to_onnx(fused, example, names, outputs), LEVELS)
    size = config.generator.size
    return Candidate(name=name, task=trained.task, model=model, answer=torch_answers(fused, names, outputs),
                     inputs=inputs,
                     outputs=(image_spec((size, size)), replace(state, name=NEXT_STATE)), supply=supply,
                     provenance={**trained.provenance, **costs(model, network)}, inner=LEVELS, run=RUN)
