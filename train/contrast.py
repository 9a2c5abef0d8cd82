"""The patch contrastive loss of one-sided unpaired translation, and the heads that it compares features with.

Park 2020 (CUT and FastCUT), arXiv 2007.15651.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .networks.plain import start
from .networks.translator import Translator

TEMPERATURE = 0.07


class Contrasted(nn.Module):
    """A translator and what turns its features into vectors to compare: two layers for each feature map.

    Input: (N, 3, H, W) float, BGR, 0 to 1.
    Output: as the translator's.
    """

    def __init__(self, translator: Translator, length: int) -> None:
        super().__init__()
        self.translator = translator
        channels = (*translator.config.channels, translator.config.channels[-1])
        self.heads = nn.ModuleList(nn.Sequential(nn.Linear(c, length), nn.ReLU(), nn.Linear(length, length))
                                   for c in channels)
        for head in self.heads:
            for layer in head:  # type: ignore[attr-defined]
                if isinstance(layer, nn.Linear):
                    start(layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.translator(x)

    def vectors(self, x: Tensor, places: list[Tensor]) -> list[Tensor]:
        """(N, P, length) float32 of length 1 for each feature map of a picture.

        Args:
            x: (N, 3, H, W) float, 0 to 1.
            places: for each feature map (P,) int64, which of its pixels.
        """
        found = []
        for features, head, at in zip(self.translator.encode(x), self.heads, places, strict=True):
            picked = features.flatten(2)[:, :, at].transpose(1, 2)  # (N, P, channels)
            found.append(F.normalize(head(picked).float(), dim=2))
        return found

    def places(self, size_hw: tuple[int, int], count: int, chance: torch.Generator) -> list[Tensor]:
        """For each feature map up to `count` places, (P,) int64 on the CPU, none of them twice."""
        drawn, (h, w) = [], size_hw
        for i in range(len(self.translator.config.channels)):
            drawn.append(torch.randperm(h * w, generator=chance)[:count])
            if i + 1 < len(self.translator.config.channels):
                h, w = -(-h // 2), -(-w // 2)
        return [*drawn, torch.randperm(h * w, generator=chance)[:count]]


def patch_contrast(made: list[Tensor], given: list[Tensor]) -> Tensor:
    """Mean over feature maps of -log softmax of v.v+ / 0.07 against v.v-, all within one picture.

    v is a patch of what was made, v+ the patch of the input at the same place, v- those at the other places: each place
    of the output should be told by its input's. No gradient flows into the input's side.

    Args:
        made: (N, P, length) for each feature map, of length 1.
        given: the same of the input.
    """
    losses = []
    for v, w in zip(made, given, strict=True):
        logits = v @ w.detach().transpose(1, 2) / TEMPERATURE  # (N, P, P)
        own = torch.arange(v.shape[1], device=v.device).repeat(len(v))
        losses.append(F.cross_entropy(logits.flatten(0, 1), own))
    return torch.stack(losses).mean()
