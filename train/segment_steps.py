"""One step of a segmenter: labels, then pictures without any, then a discriminator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .adversary import Adversary, Shown
from .devices import use_bf16
from .metrics import to_input
from .objective import Objective
from .presets import SegmentConfig
from .pseudo import Answers, ask, pseudo_term
from .state import State
from .unlabelled import UnlabelledViews


@dataclass(frozen=True)
class Teaching:
    """What teaches the network.

    Attributes:
        objective: what is made smaller on labelled pictures.
        views: of unlabelled pictures; or None.
        adversary: a discriminator; or None.
    """

    objective: Objective
    views: UnlabelledViews | None = None
    adversary: Adversary | None = None


def train_step(state: State, teaching: Teaching, images: NDArray[Any], masks: NDArray[Any], config: SegmentConfig,
               fraction: float, device: torch.device) -> dict[str, float]:
    """One step of AdamW on one batch, then one of the discriminator.

    Args:
        state: changed in place; its learning rate is set already.
        teaching: what to make smaller.
        images: (N, H, W, 3) uint8, BGR.
        masks: (N, H, W) uint8 class ids.
        config: of the training; its seed decides with the step what chance decides.
        fraction: share of the budget that is spent, which says what is switched on.
        device: where to compute.

    Returns:
        `loss` and, where there are several, its terms; `pseudo_share` with unlabelled pictures; what `Adversary.learn`
        gives with a discriminator.
    """
    rng = np.random.default_rng((config.seed, 1 << 21, state.step))
    phase, half, objective = rng.integers(0, 2, 2), use_bf16(device), teaching.objective
    x = to_input(torch.from_numpy(images).to(device, non_blocking=True))
    labels = torch.from_numpy(masks).to(device, non_blocking=True).long()
    state.network.train()
    seen = objective.look(x, half)
    terms = objective.terms_of(seen, x, labels, (int(phase[0]), int(phase[1])), half)

    told: dict[str, float] = {}
    teacher = objective.teacher or state.averaged
    answers: Answers | None = None
    if teaching.views is not None and fraction >= config.pseudo.begin:
        answers = ask(objective.network, teacher, teaching.views(state.step), config.pseudo, rng)
        terms["pseudo"], told["pseudo_share"] = pseudo_term(answers, objective.weights, config.pseudo)
    shown: Shown | None = None
    adversary, share = teaching.adversary, config.adversary.share(fraction)
    if adversary is not None and share >= 0:
        shown = adversary.show(x, labels, objective.ignore, seen, teacher, answers)
        terms |= adversary.terms(shown, share, objective.weights)

    loss = torch.stack(list(terms.values())).sum()
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    if adversary is not None and shown is not None:
        chance = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        told |= adversary.learn(shown, chance)
    each = {name: float(term.detach()) for name, term in terms.items()} if len(terms) > 1 else {}
    return {"loss": float(loss.detach()), **each, **told}
