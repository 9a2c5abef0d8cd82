"""The adversarial losses and gradient penalties, and nothing else: no logging, no devices, no files.

`real` and `fake` are the discriminator's scores D(x) and D(G(z)), (N,) float each, or (N, k) of k discriminators; every
loss is a mean over pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

Of = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """A game of two.

    Attributes:
        discriminator: what the discriminator makes small, from (real, fake).
        generator: what the generator makes small, from (real, fake).
        interpolated: whether the penalty lies on points between real and fake (Wasserstein), else on both ends.
        says_gap: whether a large gap between real and fake scores means that the discriminator is certain; where
            scores have no fixed scale it means nothing.
    """

    discriminator: Of
    generator: Of
    interpolated: bool = False
    says_gap: bool = True


LOSSES: dict[str, AdversarialLoss] = {
    # L_D = softplus(-(D(x) - D(G(z)))), L_G = softplus(D(x) - D(G(z))): Huang 2025 (R3GAN), arXiv 2501.05441
    "relativistic": AdversarialLoss(lambda real, fake: softplus(fake - real).mean(),
                                    lambda real, fake: softplus(real - fake).mean()),
    # L_D = -log s(D(x)) - log(1 - s(D(G(z)))), L_G = log(1 - s(D(G(z)))): Goodfellow 2014, arXiv 1406.2661, eq. 1
    "minimax": AdversarialLoss(lambda real, fake: (softplus(-real) + softplus(fake)).mean(),
                               lambda real, fake: -softplus(fake).mean()),
    # L_D as in minimax, L_G = -log s(D(G(z))): Goodfellow 2014, section 3
    "nonsaturating": AdversarialLoss(lambda real, fake: (softplus(-real) + softplus(fake)).mean(),
                                     lambda real, fake: softplus(-fake).mean()),
    # L_D = max(0, 1 - D(x)) + max(0, 1 + D(G(z))), L_G = -D(G(z)): Lim 2017, arXiv 1705.02894
    "hinge": AdversarialLoss(lambda real, fake: (torch.relu(1.0 - real) + torch.relu(1.0 + fake)).mean(),
                             lambda real, fake: -fake.mean()),
    # L_D = D(G(z)) - D(x), L_G = -D(G(z)): Arjovsky 2017, arXiv 1701.07875; penalty: Gulrajani 2017
    "wasserstein": AdversarialLoss(lambda real, fake: (fake - real).mean(), lambda real, fake: -fake.mean(),
                                   interpolated=True, says_gap=False),
}
"""Name -> loss."""


def zero_centred(scores: Tensor, images: Tensor) -> Tensor:
    """Mean over the pictures of |dD/dx|^2: R1 on real pictures, R2 on generated ones.

    Mescheder 2018, arXiv 1801.04406; the loss takes gamma / 2 times it. It can be differentiated again.

    Args:
        scores: (N,) float, of `images`; or (N, k) of k discriminators, whose penalties are added.
        images: (N, 3, H, W) float, -1 to 1, a leaf that requires gradients.
    """
    return torch.stack([squares.mean() for squares in _squares(scores, images)]).sum()


def one_centred(scores: Tensor, images: Tensor) -> Tensor:
    """Mean over the pictures of (|dD/dx| - 1)^2 (Gulrajani 2017, arXiv 1704.00028); the loss takes lambda times it.

    Args:
        scores: (N,) float, of `images`, or (N, k), as for `zero_centred`.
        images: (N, 3, H, W) float, as `between` gives them.
    """
    return torch.stack([((squares + 1e-12).sqrt() - 1.0).square().mean() for squares in _squares(scores, images)]).sum()


def between(real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """A point on the line between each pair of pictures, a leaf; `share` is (N,), 0 to 1."""
    return torch.lerp(real, fake, share.view(-1, 1, 1, 1)).detach().requires_grad_()


def _squares(scores: Tensor, images: Tensor) -> list[Tensor]:
    """|dD/dx|^2 for each picture, (N,) in the scores' dtype, with a graph of its own; for each discriminator."""
    squares = []
    for column in scores.unbind(1) if scores.ndim == 2 else (scores,):
        (gradient,) = torch.autograd.grad(column.sum(), images, create_graph=True)
        squares.append(gradient.to(scores.dtype).flatten(1).square().sum(1))
    return squares
