"""The animator: a latent that moves by itself, and the generator that draws where it is.

The motion is linear, one pole for each pair of numbers, learned in the stable form of an LRU (Orvieto 2023,
arXiv 2303.06349): |p| < 1 whatever is learned, so that no stream drifts away, fades or explodes, however long it is.
Each pair goes through its pole twice, which makes its way smooth (velocities do not jump). Everything is scaled so that
every number is standard normal at every moment; what the generator is given is therefore what it would be given in a
training of single pictures. Being linear and stable, the motion forgets: noise that repeats ends in pictures that
repeat, which is how a stream is made to close.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...runtime.errors import ConfigError
from .generator import Generator, GeneratorConfig


@dataclass(frozen=True)
class AnimatorConfig:
    """Sizes of an Animator.

    Attributes:
        generator: draws a frame; two numbers of its latent are a pair.
        memory: what the pairs forget in, in frames, at first: from the shortest to the longest, evenly in logarithms.
        longest: what a pair may forget in at most, in frames: the longer, the longer a loop takes to close.
        turn: angle that a pair may turn by from frame to frame at first, in radians; half of the pairs do not turn.
    """

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    memory: tuple[float, ...] = (6.0, 60.0)
    longest: float = 100.0
    turn: float = 0.4

    def __post_init__(self) -> None:
        if self.generator.z % 4 or self.generator.classes:
            raise ConfigError("animator", got=f"a latent of {self.generator.z}, {self.generator.classes} classes",
                              expected="a latent whose length is a multiple of 4, and no classes")
        if len(self.memory) != 2 or not 1 <= self.memory[0] <= self.memory[1] < self.longest:
            raise ConfigError("animator's memory", got=f"{self.memory} of at most {self.longest}",
                              expected="shortest and longest in frames, both below the most")

    @property
    def pairs(self) -> int:
        """Pairs of numbers that move."""
        return self.generator.z // 2

    @property
    def z(self) -> int:
        """Length of the noise of a frame."""
        return 2 * self.generator.z

    @property
    def state(self) -> int:
        """Length of what is carried to the next frame: both stages of each pair, and whether there was a frame."""
        return 2 * self.generator.z + 1


class Motion(nn.Module):
    """Moves the latent by a frame.

    With the pole p = r e^(i a) of a pair, r^2 = q, noise e and its two stages u and v, all complex and of variance 1:

        u' = p u + sqrt(1 - q) e,    v' = p v + (1 - q) / sqrt(1 + q) u'

    keeps the variances, and the correlation of u and v at c = 1 / sqrt(1 + q). Before the first frame the state is zero
    and says that nothing was; then u' = e and v' = c e + sqrt(1 - c^2) f are drawn as they will be distributed ever
    after, f being noise that counts then alone.

    Input: z (N, 4 pairs) float, standard normal: e and f; state (N, 4 pairs + 1) float, zeros at first.
    Output: latent (N, 2 pairs), which is v; next state.
    """

    def __init__(self, config: AnimatorConfig) -> None:
        super().__init__()
        self.config = config
        half = config.pairs // 2  # the first half does not turn; both have all memories
        longest, shortest = config.memory[1], config.memory[0]
        memory = torch.logspace(math.log10(longest), math.log10(shortest), half).repeat(2)
        self.forgets = nn.Parameter(torch.logit(memory / config.longest))
        self.turns = nn.Parameter(torch.cat([torch.zeros(half), torch.linspace(config.turn / half, config.turn, half)]))

    def poles(self) -> tuple[Tensor, Tensor]:
        """(pairs,) each: length r of every pole, below 1, and its angle."""
        return torch.exp(-1 / (self.config.longest * torch.sigmoid(self.forgets) + 1e-3)), self.turns

    def forward(self, z: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        r, angle = self.poles()
        q = r * r
        fresh, couple, c = torch.sqrt(1 - q), (1 - q) / torch.sqrt(1 + q), 1 / torch.sqrt(1 + q)
        across, back = torch.cat([r * torch.cos(angle)] * 2), r * torch.sin(angle)
        fresh, couple, c = (torch.cat([x, x]) for x in (fresh, couple, c))  # for both halves of the pairs
        length = self.config.generator.z
        e, f = z[:, :length], z[:, length:]
        u, v, was = state[:, :length], state[:, length:2 * length], state[:, 2 * length:]
        moved_u = self._turned(u, across, back) + (1 - was + was * fresh) * e
        moved_v = self._turned(v, across, back) + (c + was * (couple - c)) * moved_u
        moved_v = moved_v + (1 - was) * torch.sqrt(1 - c * c) * f
        return moved_v, torch.cat([moved_u, moved_v, torch.ones_like(was)], 1)

    def _turned(self, x: Tensor, across: Tensor, back: Tensor) -> Tensor:
        """The pole times each pair; (N, 2 pairs), real parts first."""
        real, imaginary = x[:, :self.config.pairs], x[:, self.config.pairs:]
        return across * x + torch.cat([-back * imaginary, back * real], 1)


class Animator(nn.Module):
    """A frame for noise and a state.

    Input: z (N, 2 generator.z) float, standard normal; state (N, 2 generator.z + 1) float, zeros at first.
    Output: picture (N, 3, size, size) float, BGR, -1 to 1; next state, as the state.
    """

    def __init__(self, config: AnimatorConfig) -> None:
        super().__init__()
        self.config = config
        self.motion = Motion(config)
        self.generator = Generator(config.generator)

    def forward(self, z: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        latent, state = self.motion(z, state)
        return self.generator(latent), state

    def clip(self, z: Tensor) -> Tensor:
        """Pictures of a whole clip from its beginning: (N, T, 2 generator.z) to (N, T, 3, size, size)."""
        with torch.autocast(z.device.type, enabled=False):  # what is carried must not lose digits
            state, latents = z.new_zeros(len(z), self.config.state), []
            for noise in z.unbind(1):
                latent, state = self.motion(noise, state)
                latents.append(latent)
        pictures: Tensor = self.generator(torch.stack(latents, 1).flatten(0, 1))
        return pictures.reshape(*z.shape[:2], *pictures.shape[1:])


@dataclass(frozen=True)
class Noise:
    """What a ClipMaker takes.

    Attributes:
        z: length of the noise of a whole clip.
    """

    z: int


class ClipMaker(nn.Module):
    """An Animator that makes whole clips from their beginning, as a discriminator wants them.

    Input: z (N, T noise) float, standard normal; no labels.
    Output: (N, 3 T, size, size) float, BGR frame after frame, -1 to 1.
    """

    def __init__(self, animator: Animator, frames: int) -> None:
        super().__init__()
        self.animator, self.frames = animator, frames
        self.config = Noise(frames * animator.config.z)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.animator.clip(z.reshape(len(z), self.frames, -1)).flatten(1, 2)
