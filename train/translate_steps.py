"""One step of a translator: by pairs (pix2pix) or without them (FastCUT).

Pictures are on a scale of -1 to 1 in all losses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .contrast import patch_contrast
from .gan import computing, descend
from .gan_losses import LOSSES, zero_centred
from .losses import feature_matching
from .presets.translate import TranslateConfig
from .state import PairState


def pixel_step(state: PairState, x: Tensor, y: Tensor) -> dict[str, float]:
    """Learns pairs by their pixels alone; gives `pixel_loss` and `generator_gradient`.

    Args:
        state: changed in place; its learning rates are set already.
        x, y: (N, 3, H, W) float, 0 to 1: inputs and their targets.
    """
    with computing(x.device):
        made = state.generator.network(x)
    loss = F.l1_loss(signed(made), signed(y))
    norm = descend(state.generator.optimizer, state.generator.network, loss)
    return {"pixel_loss": float(loss.detach()), "generator_gradient": float(norm)}


def paired_step(state: PairState, x: Tensor, y: Tensor, config: TranslateConfig,
                chance: torch.Generator) -> dict[str, float]:
    """Adversarial loss + pixel weight x L1 + feature weight x feature matching.

    Isola 2017, arXiv 1611.07004; feature matching from Wang 2018, arXiv 1711.11585.

    Args:
        state: changed in place; its learning rates are set already.
        x, y: (N, 3, H, W) float, 0 to 1: inputs and their targets.
        config: losses and their weights.
        chance: the only source of chance; on the CPU.

    Returns:
        `discriminator_loss`, `real_score`, `fake_score`, `discriminator_gradient`, `r1` where it was due,
        `generator_loss` (the adversarial part), `pixel_loss`, `feature_loss`, `generator_gradient`.
    """
    given, real = signed(x), signed(y)
    with computing(x.device):
        made = signed(state.generator.network(x))
    values = _teach_discriminator(state, torch.cat([real, given], 1), torch.cat([made.detach(), given], 1), config,
                                  chance)
    judge, loss = state.partner.network.requires_grad_(False), LOSSES[config.loss]
    seen = config.augment(torch.cat([real, made, given], 1), chance)  # one change for all three
    with computing(x.device):
        with torch.no_grad():
            real_score, wanted = judge.judged(seen[:, :3], seen[:, 6:])  # type: ignore[operator]
        fake_score, found = judge.judged(seen[:, 3:6], seen[:, 6:])  # type: ignore[operator]
    adversarial, pixels = loss.generator(real_score, fake_score), F.l1_loss(made, real)
    features = feature_matching(found, wanted)
    total = adversarial + config.pixel_weight * pixels + config.feature_weight * features
    norm = descend(state.generator.optimizer, state.generator.network, total)
    judge.requires_grad_(True)
    return {**values, "generator_loss": float(adversarial.detach()), "pixel_loss": float(pixels.detach()),
            "feature_loss": float(features.detach()), "generator_gradient": float(norm)}


def unpaired_step(state: PairState, x: Tensor, y: Tensor, config: TranslateConfig,
                  chance: torch.Generator) -> dict[str, float]:
    """Adversarial loss + contrast weight x patch contrast: FastCUT (Park 2020, arXiv 2007.15651), without its flips.

    Args:
        state: changed in place; its generator is a `contrast.Contrasted`.
        x, y: (N, 3, H, W) float, 0 to 1: inputs, and pictures in the manner to take on.
        config: losses and their weights.
        chance: the only source of chance; on the CPU.

    Returns:
        `discriminator_loss`, `real_score`, `fake_score`, `discriminator_gradient`, `r1` where it was due,
        `generator_loss` (the adversarial part), `contrast_loss`, `generator_gradient`.
    """
    network, real = state.generator.network, signed(y)
    with computing(x.device):
        made = network(x)
    values = _teach_discriminator(state, real, signed(made.detach()), config, chance)
    judge, loss = state.partner.network.requires_grad_(False), LOSSES[config.loss]
    places = [at.to(x.device) for at in network.places(x.shape[-2:], config.patches, chance)]  # type: ignore[operator]
    seen = [config.augment(images, chance) for images in (real, signed(made))]
    with computing(x.device):
        with torch.no_grad():
            real_score = judge(seen[0])
            given = network.vectors(x, places)  # type: ignore[operator]
        fake_score = judge(seen[1])
        contrast = patch_contrast(network.vectors(made, places), given)  # type: ignore[operator]
    adversarial = loss.generator(real_score, fake_score)
    norm = descend(state.generator.optimizer, network, adversarial + config.contrast_weight * contrast)
    judge.requires_grad_(True)
    return {**values, "generator_loss": float(adversarial.detach()), "contrast_loss": float(contrast.detach()),
            "generator_gradient": float(norm)}


def _teach_discriminator(state: PairState, real: Tensor, made: Tensor, config: TranslateConfig,
                         chance: torch.Generator) -> dict[str, float]:
    """`real` and `made` are (N, 3 or 6, H, W): pictures, with the inputs they belong to where there are pairs."""
    loss, judge = LOSSES[config.loss], state.partner.network
    real, made = config.augment(real, chance), config.augment(made, chance)
    due = config.gamma > 0 and state.step % config.penalty_every == 0
    real.requires_grad_(due)
    with computing(real.device):
        real_score, fake_score = (judge(i[:, :3], i[:, 3:] if i.shape[1] > 3 else None) for i in (real, made))
    total = loss.discriminator(real_score, fake_score)
    values = {"discriminator_loss": total.detach(), "real_score": real_score.detach().mean(),
              "fake_score": fake_score.detach().mean()}
    if due:
        # A patch's mean |dD/dx|^2, were patches apart: the sum of their gradients has the sum of their squares.
        patches = real_score.flatten(1).sum(1) / math.sqrt(real_score[0].numel())
        values["r1"] = penalty = zero_centred(patches, real)
        total = total + 0.5 * config.gamma * config.penalty_every * penalty
    values["discriminator_gradient"] = descend(state.partner.optimizer, judge, total)
    return {name: float(value.detach()) for name, value in values.items()}


def signed(images: Tensor) -> Tensor:
    """0 to 1 -> -1 to 1, float32."""
    return images.float().mul(2.0).sub(1.0)
