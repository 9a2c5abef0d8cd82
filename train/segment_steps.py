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
from .presets.segment import SegmentConfig
from .processes import Processes
from .pseudo import Answers, ask, pseudo_term
from .shares import Gathered, mean_values, share_of
from .state import State
from .unlabelled import UnlabelledViews, Views


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
               fraction: float, processes: Processes) -> dict[str, float]:
    """One step of AdamW on one batch, and one of the discriminator.

    Args:
        state: changed in place; its learning rate is set already.
        teaching: what to make smaller.
        images: (N, H, W, 3) uint8, BGR: this process's share of the batch.
        masks: (N, H, W) uint8 class ids.
        config: of the training; its seed decides with the step and the part what chance decides.
        fraction: share of the budget that is spent, which says what is switched on.
        processes: that compute the batch together.

    Returns:
        `loss` and, where there are several, its terms; `pseudo_share` with unlabelled pictures; what `Adversary.teach`
        gives with a discriminator. Means over the parts of the batch.
    """
    share = share_of(config.batch, config.accumulate, processes)
    adversary = teaching.adversary if config.adversary.share(fraction) >= 0 else None
    learners = [state, *([] if adversary is None else [adversary.learner])]
    beside = [] if state.beside is None else [state.beside]
    for learner in learners:
        learner.network.train()
        learner.optimizer.zero_grad(set_to_none=True)
    gathered = Gathered([*(learner.network for learner in learners), *beside], share, processes)
    views = None
    if teaching.views is not None and fraction >= config.pseudo.begin:
        views = teaching.views(state.step)
    told: list[dict[str, float]] = []
    for part in share.mine:
        cut = share.cut(part)
        told.append(_teach(state, teaching, (images[cut], masks[cut], None if views is None else views.cut(cut)),
                           config, fraction, np.random.default_rng((config.seed, 1 << 21, state.step, part)),
                           1.0 / share.parts))
        gathered.end_part()
    gathered.end_step()
    for learner in learners:
        learner.optimizer.step()
    return mean_values([values for of_one in processes.gather(told) for values in of_one])


def _teach(state: State, teaching: Teaching, part: tuple[NDArray[Any], NDArray[Any], Views | None],
           config: SegmentConfig, fraction: float, rng: np.random.Generator, weight: float) -> dict[str, float]:
    """Adds the gradients of one part of a batch, which counts by `weight`; gives its values as `train_step` does."""
    images, masks, views = part
    objective, adversary = teaching.objective, teaching.adversary
    device = objective.weights.device
    phase, half = rng.integers(0, 2, 2), use_bf16(device)
    x = to_input(torch.from_numpy(images).to(device, non_blocking=True))
    labels = torch.from_numpy(masks).to(device, non_blocking=True).long()
    seen = objective.look(x, half)
    terms = objective.terms_of(seen, x, labels, (int(phase[0]), int(phase[1])), half)

    told: dict[str, float] = {}
    teacher = objective.teacher or state.averaged
    answers: Answers | None = None
    if views is not None:
        answers = ask(objective.network, teacher, views, config.pseudo, rng)
        terms["pseudo"], told["pseudo_share"] = pseudo_term(answers, objective.weights, config.pseudo)
    shown: Shown | None = None
    share = config.adversary.share(fraction)
    if adversary is not None and share >= 0:
        shown = adversary.show(x, labels, objective.ignore, seen, teacher, answers)
        terms |= adversary.terms(shown, share, objective.weights)

    loss = torch.stack(list(terms.values())).sum()
    (weight * loss).backward()  # type: ignore[no-untyped-call]
    if adversary is not None and shown is not None:
        told |= adversary.teach(shown, torch.Generator().manual_seed(int(rng.integers(1 << 62))), weight)
    each = {name: float(term.detach()) for name, term in terms.items()} if len(terms) > 1 else {}
    return {"loss": float(loss.detach()), **each, **told}
