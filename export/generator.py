"""A trained generator becomes a candidate: a latent, a label and a truncation in, a picture's bytes out.

Nothing is drawn inside, so that the same latent gives the same picture everywhere.

The bilinear resizes stay what they are. Six forms that are equal to them were measured by hand, on one core's own time
(a transposed convolution, a depthwise one over doubled pixels, two mean pools over doubled pixels, one matrix over
whole maps, one a side, and a convolution with depth-to-space). At 32x32 in batches of 64 they gave 15 to 30% fewer
pictures in ONNX Runtime, in INT8 11 to 68% fewer; in OpenVINO the transposed convolution alone gave 9% more in float32,
and lost a fifth in INT8 and a third in ONNX Runtime.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..train.checkpoint import Trained
from ..train.networks.generator import Generator
from .candidate import Candidate
from .latents import LatentSupply
from .tensors import IMAGE, LEVELS, image_spec, latent_specs
from .to_onnx import to_onnx, without_output
from .traced import check_own_size, costs, network_of, torch_answers


class FusedGenerator(nn.Module):
    """A Generator to bytes, with the truncation trick.

    The first layer is linear and a latent's mean is 0, so a latent times t moves what that layer says of it to its
    mean, as StyleGAN's trick does behind a mapping network (Karras 2019, arXiv 1812.04948): h' = mean + t (h - mean).
    The mean is the label's own, so classes stay apart. Values are not clipped: a walk stays smooth at any t.

    Args:
        network: in eval mode; left as it is.

    Input: z (N, Z) float32, standard normal; truncation (N,) float32, 1 for none, towards 0 for pictures nearer to the
        mean; label (N,) int64, only where there are classes.
    Output: image (N, size, size, 3) uint8, BGR; levels, the same as float32 before rounding, 0 to 255.
    """

    def __init__(self, network: Generator) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, z: Tensor, truncation: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        picture = self.network(z * truncation[:, None], label)  # (N, 3, size, size)
        levels = ((picture + 1) * 127.5).permute(0, 2, 3, 1)  # (N, size, size, 3)
        return torch.round(levels).to(torch.uint8), levels


def from_trained(trained: Trained, bundle: str, size_wh: tuple[int, int] | None = None) -> Candidate:
    """Traces a training's network.

    Args:
        trained: from `load_trained`.
        bundle: its name.
        size_wh: None, or the size of the training: a generator makes no other.

    Raises:
        ExportError: another task's network, another size, or one that torch cannot trace.
    """
    network = network_of(trained, Generator, "generate")
    check_own_size(trained, size_wh)
    fused, config = FusedGenerator(network), network.config
    inputs, supply = latent_specs(config.z, config.classes), LatentSupply(config.z, config.classes)
    names, example = [spec.name for spec in inputs], supply.goldens()[0]
    model = without_output(to_onnx(fused, [torch.from_numpy(example[name]) for name in names], names,
                                   [IMAGE, LEVELS]), LEVELS)
    return Candidate(name=bundle, task=trained.task, model=model, answer=torch_answers(fused, names, [IMAGE, LEVELS]),
                     inputs=inputs, outputs=(image_spec((config.size, config.size)),), supply=supply,
                     names=trained.names if config.classes else (), inner=LEVELS,
                     provenance={**trained.provenance, **costs(model, network)})
