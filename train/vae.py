"""One step of a variational autoencoder, whose decoder is a GAN's generator (Kingma 2014, arXiv 1312.6114)."""

from __future__ import annotations

import torch
from torch import Tensor

from .gan import computing
from .losses import evidence
from .presets.generate import GenerateConfig
from .state import PairState


def vae_step(state: PairState, images: Tensor, labels: Tensor | None, config: GenerateConfig,
             chance: torch.Generator) -> dict[str, float]:
    """Teaches encoder and decoder from one batch; gives what was measured.

    Args:
        state: changed in place; its learning rates are set already.
        images: (N, 3, H, W) float, -1 to 1.
        labels: (N,) int64 or None, for the decoder.
        config: only its augmentation's flip is used.
        chance: the only source of chance; on the CPU.

    Returns:
        `loss`, `reconstruction`, `divergence` (nats a picture), `encoder_gradient`, `generator_gradient` (norms).
    """
    flipped = torch.rand(len(images), generator=chance).to(images.device) < config.augment.flip
    images = torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)
    with computing(images.device):
        mean, log_variance = state.partner.network(images)
        noise = torch.randn(mean.shape, generator=chance).to(images.device)
        made = state.generator.network(mean + noise * (0.5 * log_variance).exp(), labels)
    reconstruction, divergence = evidence(made, images, mean, log_variance)
    loss = reconstruction + divergence
    norms = {}
    for learner in (state.generator, state.partner):
        learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    for name, learner in (("generator", state.generator), ("encoder", state.partner)):
        norms[f"{name}_gradient"] = float(torch.nn.utils.get_total_norm(
            [p.grad for p in learner.network.parameters() if p.grad is not None]))
        learner.optimizer.step()
    return {"loss": float(loss.detach()), "reconstruction": float(reconstruction.detach()),
            "divergence": float(divergence.detach()), **norms}
