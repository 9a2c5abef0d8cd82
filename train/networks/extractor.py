"""The feature extractor: a small classifier whose last features say how alike two sets of pictures are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from .segmenter import ConvBnRelu, ResidualBlock


@dataclass(frozen=True)
class ExtractorConfig:
    """Sizes of an Extractor.

    Attributes:
        classes: number of classes.
        size: height and width of the pictures, a multiple of 8.
        channels: at 1, 1/2, 1/4 and 1/8 of the size; the last is the number of features. A Fréchet distance needs
            many more pictures than features, so 128 at most.
        blocks: residual blocks at 1/2, 1/4 and 1/8.
    """

    classes: int
    size: int = 32
    channels: tuple[int, int, int, int] = (32, 64, 96, 128)
    blocks: tuple[int, int, int] = (1, 1, 1)


class Extractor(nn.Module):
    """Features of a picture, and what they are learned by: the logits of its class.

    Plain convolution, batch norm and ReLU, as in the segmenter; then the mean over all places, so that features say
    what is there and how it is drawn rather than where.

    Input: (N, 3, size, size) float, BGR, 0 to 1.
    Output: features (N, channels[-1]) float, 0 or more; logits (N, classes) float.
    """

    def __init__(self, config: ExtractorConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        self.stem = ConvBnRelu(3, c[0])
        self.stages = nn.Sequential(*(
            nn.Sequential(ConvBnRelu(c[i], c[i + 1], stride=2), *(ResidualBlock(c[i + 1]) for _ in range(blocks)))
            for i, blocks in enumerate(config.blocks)))
        self.head = nn.Linear(c[-1], config.classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stages(self.stem(x))  # (N, channels[-1], size/8, size/8)
        features = x.mean((2, 3))  # (N, channels[-1])
        return features, self.head(features)
