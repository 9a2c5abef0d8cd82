"""One step of an enhancer: towards the pixels alone, or with a discriminator's say."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .gan import computing, descend
from .gan_losses import LOSSES
from .presets.enhance import EnhanceConfig
from .state import PairState


def pixel_step(state: PairState, bad: Tensor, good: Tensor) -> dict[str, float]:
    """Makes the mean absolute difference smaller; gives `pixel_loss` and `generator_gradient`.

    Args:
        state: changed in place; its learning rates are set already.
        bad: (N, 3, h, w) float, 0 to 1.
        good: (N, 3, scale h, scale w) float, 0 to 1.
    """
    with computing(bad.device):
        made = state.generator.network(bad)
    loss = F.l1_loss(made, good)
    norm = descend(state.generator.optimizer, state.generator.network, loss)
    return {"pixel_loss": float(loss.detach()), "generator_gradient": float(norm)}


def adversarial_step(state: PairState, bad: Tensor, good: Tensor, config: EnhanceConfig,
                     alone: bool) -> dict[str, float]:
    """Teaches the discriminator, then the generator: pixels + weight x adversarial loss (Wang 2021, arXiv 2107.10833).

    There is no perceptual term: its features would have to be somebody's weights.

    Args:
        state: changed in place; its learning rates are set already.
        bad, good: as in `pixel_step`.
        config: loss and its weight.
        alone: whether only the discriminator learns.

    Returns:
        `discriminator_loss`, `real_score`, `fake_score`, `discriminator_gradient`, and where the generator learns too
        `pixel_loss`, `generator_loss`, `generator_gradient`.
    """
    loss, judge, real = LOSSES[config.loss], state.partner.network, good.mul(2.0).sub(1.0)
    with computing(bad.device):
        made = state.generator.network(bad)
        real_score, fake_score = judge(real), judge(made.detach().mul(2.0).sub(1.0))
    total = loss.discriminator(real_score, fake_score)
    norm = descend(state.partner.optimizer, judge, total)
    values = {"discriminator_loss": total.detach(), "real_score": real_score.detach().mean(),
              "fake_score": fake_score.detach().mean(), "discriminator_gradient": norm}
    if not alone:
        judge.requires_grad_(False)
        with computing(bad.device):
            with torch.no_grad():
                real_score = judge(real)
            fake_score = judge(made.mul(2.0).sub(1.0))
        pixels, adversarial = F.l1_loss(made, good), loss.generator(real_score, fake_score)
        norm = descend(state.generator.optimizer, state.generator.network,
                       pixels + config.adversarial_weight * adversarial)
        judge.requires_grad_(True)
        values |= {"pixel_loss": pixels.detach(), "generator_loss": adversarial.detach(), "generator_gradient": norm}
    return {name: float(value) for name, value in values.items()}
