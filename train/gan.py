"""One step of a generative adversarial network: the discriminator's, then the generator's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .devices import use_bf16
from .diffaug import DiffAugment
from .gan_losses import LOSSES, AdversarialLoss, between, one_centred, zero_centred
from .presets.game import MakerConfig
from .state import PairState


def gan_step(state: PairState, images: Tensor, labels: Tensor | None, config: MakerConfig,
             chance: torch.Generator) -> dict[str, float]:
    """Teaches both networks from one batch; gives what was measured.

    Args:
        state: changed in place; its learning rates are set already.
        images: (N, 3, H, W) float, -1 to 1, real pictures.
        labels: (N,) int64 or None; generated pictures have the same ones, so that pairs are of one class.
        config: loss, penalties and augmentation.
        chance: the only source of chance; on the CPU.

    Returns:
        `discriminator_loss`, `generator_loss`, `real_score`, `fake_score` (means over the batch),
        `discriminator_gradient`, `generator_gradient` (norms over all weights), and where a penalty was due `r1` and
        `r2`, or `gradient_penalty`.
    """
    loss = LOSSES[config.loss]
    return {**_teach_discriminator(state, images, labels, config, loss, chance),
            **_teach_generator(state, images, labels, config.augment, loss, chance)}


def _teach_discriminator(state: PairState, images: Tensor, labels: Tensor | None, config: MakerConfig,
                         loss: AdversarialLoss, chance: torch.Generator) -> dict[str, float]:
    """Penalties are of the pictures that the discriminator sees, augmented ones."""
    judge = state.partner.network
    with torch.no_grad():
        fake = config.augment(draw(state.generator.network, images, labels, chance), chance)
        real = config.augment(images, chance)
    weight = config.gradient_penalty if loss.interpolated else 0.5 * config.resolved_gamma
    due = weight > 0 and state.step % config.penalty_every == 0
    on_ends = due and not loss.interpolated
    real, fake = real.requires_grad_(on_ends), fake.requires_grad_(on_ends and config.penalised == "both")
    with computing(images.device):
        real_score, fake_score = judge(real, labels), judge(fake, labels)
    total = loss.discriminator(real_score, fake_score)
    values = {"discriminator_loss": total.detach(), "real_score": real_score.detach().mean(),
              "fake_score": fake_score.detach().mean()}
    if due:
        if on_ends:
            penalties = {name: zero_centred(score, at) for name, score, at in
                         (("r1", real_score, real), ("r2", fake_score, fake)) if at.requires_grad}
        else:
            middle = between(real, fake, torch.rand(len(real), generator=chance).to(real.device))
            with computing(images.device):
                middle_score = judge(middle, labels)
            penalties = {"gradient_penalty": one_centred(middle_score, middle)}
        total = total + weight * config.penalty_every * torch.stack(list(penalties.values())).sum()
        values |= {name: value.detach() for name, value in penalties.items()}
    values["discriminator_gradient"] = descend(state.partner.optimizer, judge, total)
    return {name: float(value) for name, value in values.items()}


def _teach_generator(state: PairState, images: Tensor, labels: Tensor | None, augment: DiffAugment,
                     loss: AdversarialLoss, chance: torch.Generator) -> dict[str, float]:
    judge = state.partner.network.requires_grad_(False)
    fake = augment(draw(state.generator.network, images, labels, chance), chance)
    with torch.no_grad():
        real = augment(images, chance)
    with computing(images.device):
        with torch.no_grad():
            real_score = judge(real, labels)
        fake_score = judge(fake, labels)
    total = loss.generator(real_score, fake_score)
    norm = descend(state.generator.optimizer, state.generator.network, total)
    judge.requires_grad_(True)
    return {"generator_loss": float(total.detach()), "generator_gradient": float(norm)}


def draw(generator: nn.Module, like: Tensor, labels: Tensor | None, chance: torch.Generator) -> Tensor:
    """As many pictures of new latents as `like` has, (N, 3, H, W) float32, -1 to 1."""
    z = torch.randn(len(like), generator.config.z, generator=chance)  # type: ignore[union-attr, arg-type]
    with computing(like.device):
        return generator(z.to(like.device), labels).float()


def descend(optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> Tensor:
    """One step of the optimizer; gives the norm of the gradient over all weights."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
    optimizer.step()
    return norm


@contextlib.contextmanager
def computing(device: torch.device) -> Iterator[None]:
    """bfloat16 convolutions where the hardware has them; weights, losses and penalties stay float32."""
    with torch.autocast(device.type, torch.bfloat16, enabled=use_bf16(device)):
        yield
