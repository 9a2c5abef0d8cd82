"""A discriminator beside a segmenter: what it may look like, what it teaches, and how it learns itself.

It is shown a picture with class probabilities, at the size of the segmenter's answer, and says whether they were drawn
by a label or by the segmenter. Labels are softened first, since a map of zeros and ones gives itself away. It always
compares two class maps of the same picture, so that nothing can be told from the picture alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import check_name, check_share
from .gan import computing
from .gan_losses import LOSSES, between, one_centred
from .losses import feature_matching, pseudo_cross_entropy, soft_labels
from .networks.label_discriminator import LabelDiscriminator, LabelDiscriminatorConfig
from .networks.segmenter import Seen
from .pseudo import Answers
from .state import Learner

FEATURES, HOLISTIC, PIXELS = "features", "holistic", "pixels"


@dataclass(frozen=True)
class AdversaryConfig:
    """A form of adversarial training, and its settings; without a form there is none.

    Attributes:
        form: `features`: the segmenter matches a discriminator's features of picture x softened label at all scales
            (SegAN, Xue 2017, arXiv 1706.01805). `holistic`: a Wasserstein critic compares the teacher's answer with
            the segmenter's (Liu 2019, arXiv 1903.04197). `pixels`: each pixel is scored, and answers on unlabelled
            pictures that the discriminator takes for labels are learned from (Hung 2018, arXiv 1802.07934).
        weight: of the adversarial term on labelled pictures, and on unlabelled ones in `features` and `holistic`.
        begin: share of the budget after which it is switched on; before it there is cross-entropy alone.
        ramp: share of the budget over which the weight then rises from 0, while the discriminator learns.
        learning_rate: of the discriminator's Adam.
        soften: share of the teacher's answer in a softened label; in `pixels` of the segmenter's own (Luc 2016,
            arXiv 1611.08408).
        penalty: weight of the gradient penalty in `holistic`; the other forms have spectral norm in its place.
        unlabelled_weight: of the adversarial term on unlabelled pictures in `pixels`.
        semi: weight of learning from trusted answers in `pixels`.
        trust: the least probability of being a label, by the discriminator, at which an answer is trusted.
        channels: of the discriminator.
    """

    form: str = ""
    weight: float = 0.1
    begin: float = 0.5
    ramp: float = 0.1
    learning_rate: float = 5e-4
    soften: float = 0.5
    penalty: float = 10.0
    unlabelled_weight: float = 0.001
    semi: float = 0.1
    trust: float = 0.2
    channels: tuple[int, ...] = (16, 32, 64)

    def __post_init__(self) -> None:
        if self.form:
            check_name("adversarial form", self.form, (FEATURES, HOLISTIC, PIXELS))
        check_share("adversary: begin", self.begin, below_one=True)
        check_share("adversary: soften", self.soften)

    def share(self, fraction: float) -> float:
        """Of the weight, 0 to 1, at a share of the budget; below 0 while it is not switched on."""
        if fraction < self.begin:
            return -1.0
        return min(1.0, (fraction - self.begin) / self.ramp) if self.ramp > 0 else 1.0


FORMS: dict[str, AdversaryConfig] = {
    FEATURES: AdversaryConfig(FEATURES, weight=1.0),
    HOLISTIC: AdversaryConfig(HOLISTIC, weight=0.1),
    PIXELS: AdversaryConfig(PIXELS, weight=0.01),
}
"""Name -> its usual settings."""


def form_of(name: str) -> AdversaryConfig:
    """The usual settings of a form. Raises ConfigError where there is no such form."""
    check_name("adversarial form", name, FORMS)
    return FORMS[name]


class Shown(NamedTuple):
    """Pictures of a step and two class maps of each, at the size of the segmenter's answer; labelled pictures first.

    Attributes:
        picture: (N, 3, h, w) float, BGR, 0 to 1.
        logits: (N, C, h, w) float32, what the segmenter says.
        said: (N, C, h, w) float32, its probabilities; 0 where nothing counts.
        told: (N, C, h, w) float32, softened labels, and on unlabelled pictures the teacher's answer; 0 there as well.
        counted: (N, 1, h, w) bool.
        labelled: how many of the pictures are.
    """

    picture: Tensor
    logits: Tensor
    said: Tensor
    told: Tensor
    counted: Tensor
    labelled: int


class Adversary:
    """A discriminator with its optimizer, and what it says to a segmenter.

    Args:
        config: with a form.
        classes: number of classes.
        device: where to compute.
    """

    def __init__(self, config: AdversaryConfig, classes: int, device: torch.device) -> None:
        self.config = config
        network = LabelDiscriminator(LabelDiscriminatorConfig(
            classes, config.channels, multiplied=config.form == FEATURES, dense=config.form == PIXELS,
            normed=config.form != HOLISTIC)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learner = Learner(network, torch.optim.Adam(network.parameters(), config.learning_rate, (0.5, 0.99)))
        self.network = network

    def show(self, x: Tensor, labels: Tensor, ignore: int, seen: Seen, teacher: nn.Module,
             answers: Answers | None) -> Shown:
        """Puts together what is shown in a step.

        Args:
            x: (N, 3, H, W) float, BGR, 0 to 1, labelled pictures.
            labels: (N, H, W) int64 class ids.
            ignore: the label id to leave out.
            seen: what the segmenter makes of `x`.
            teacher: in eval mode; softens labels.
            answers: on unlabelled pictures, or None.
        """
        logits = seen.logits.float()
        size = (logits.shape[2], logits.shape[3])
        soft, counted = soft_labels(labels, ignore, logits.shape[1], size)
        with torch.no_grad(), computing(x.device):
            softener = (logits if self.config.form == PIXELS else teacher(x).float()).softmax(1)
        told = torch.lerp(soft, softener, self.config.soften)
        picture = F.adaptive_avg_pool2d(x, size)
        if answers is not None:
            picture = torch.cat([picture, F.adaptive_avg_pool2d(answers.x, size)])
            logits, told = torch.cat([logits, answers.said.float()]), torch.cat([told, answers.told])
            counted = torch.cat([counted, answers.inside[:, None]])
        return Shown(picture, logits, logits.softmax(1) * counted, told * counted, counted, len(x))

    def terms(self, shown: Shown, share: float, weights: Tensor) -> dict[str, Tensor]:
        """What the segmenter makes smaller: `adversarial`, and in `pixels` with unlabelled pictures `trusted`.

        Args:
            shown: with gradients towards the segmenter.
            share: of the weights, 0 to 1.
            weights: (C,) class weights.
        """
        c, judge = self.config, self.network.requires_grad_(False)
        if c.form == FEATURES:
            _, features = judge.judged(*_both(shown.picture, shown.said, shown.told))
            found, wanted = zip(*(f.chunk(2) for f in features), strict=True)
            terms = {"adversarial": share * c.weight * feature_matching(found, wanted)}
        elif c.form == HOLISTIC:
            score = judge(shown.picture, shown.said)
            terms = {"adversarial": share * c.weight * LOSSES["wasserstein"].generator(score, score)}
        else:
            terms = self._by_pixel(shown, judge(shown.picture, shown.said), share, weights)
        judge.requires_grad_(True)
        return terms

    def _by_pixel(self, shown: Shown, score: Tensor, share: float, weights: Tensor) -> dict[str, Tensor]:
        c, n, counted = self.config, shown.labelled, shown.counted[:, 0]
        terms = {"adversarial": share * c.weight * _fooled(score[:n], counted[:n])}
        if len(score) > n:
            terms["adversarial"] = terms["adversarial"] + share * c.unlabelled_weight * _fooled(score[n:], counted[n:])
            trusted, guesses = score[n:].detach().sigmoid() > c.trust, shown.logits[n:].detach().argmax(1)
            terms["trusted"] = share * c.semi * pseudo_cross_entropy(shown.logits[n:], guesses, trusted, counted[n:],
                                                                     weights)
        return terms

    def teach(self, shown: Shown, chance: torch.Generator, weight: float = 1.0) -> dict[str, float]:
        """Adds to the discriminator's gradient; from labelled pictures alone, in `holistic` from all.

        Args:
            shown: as the segmenter was taught with.
            chance: the only source of chance; on the CPU.
            weight: of these pictures in the step.

        Returns:
            `discriminator_loss`, `discriminator_accuracy` (share of the places where the label scores higher than the
            answer on the same picture: 0.5 cannot tell them apart, 1 always can), and in `holistic`
            `gradient_penalty`; nothing where no label counts.
        """
        c, n = self.config, len(shown.picture) if self.config.form == HOLISTIC else shown.labelled
        picture, told, said = shown.picture[:n], shown.told[:n], shown.said[:n].detach()
        real, fake = self.network(*_both(picture, told, said)).chunk(2)
        values: dict[str, float] = {}
        if c.form == HOLISTIC:
            real, fake = real.mean((1, 2)), fake.mean((1, 2))
            point = between(told, said, torch.rand(n, generator=chance).to(told.device))
            penalty = one_centred(self.network(picture, point).mean((1, 2)), point)
            loss = LOSSES["wasserstein"].discriminator(real, fake) + c.penalty * penalty
            values["gradient_penalty"] = float(penalty.detach())
        else:
            counted = F.adaptive_avg_pool2d(shown.counted[:n].float(), real.shape[-2:])[:, 0] >= 0.5
            real, fake = real[counted], fake[counted]
            if not len(real):
                return {}
            loss = LOSSES["hinge" if c.form == FEATURES else "nonsaturating"].discriminator(real, fake)
        (weight * loss).backward()  # type: ignore[no-untyped-call]
        return {"discriminator_loss": float(loss.detach()),
                "discriminator_accuracy": float((real > fake).float().mean()), **values}


def _both(picture: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two class maps of each picture as one batch, so that the discriminator is the same for both."""
    return torch.cat([picture, picture]), torch.cat([first, second])


def _fooled(score: Tensor, counted: Tensor) -> Tensor:
    """Mean of -log D over the pixels that count; 0 where none does."""
    chosen = score[counted]
    return LOSSES["nonsaturating"].generator(chosen, chosen) if len(chosen) else 0.0 * score.sum()
