"""A trained feature extractor becomes a bundle: bytes in, features and logits out, float32 alone.

Scores are compared across machines and years, so there is one variant, and it answers as torch did.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..runtime import bundle, pixels
from ..runtime.errors import ExportError
from ..runtime.machine import versions
from ..runtime.manifest import Manifest, TensorSpec, Tolerance, Variant
from ..runtime.street import StreetDataset
from ..train.checkpoint import Trained
from ..train.networks.extractor import Extractor
from .fuse import fold
from .parity import open_onnx
from .to_onnx import multiply_adds, to_onnx

FRAME, FEATURES, LOGITS = "frame", "features", "logits"
STILLS, STILL_WH = 16, (96, 72)
"""Synthetic pictures that parity is measured on and that become the goldens."""
MAX_DIFF = 1e-3
"""Largest difference from torch's answers, as a share of the largest of them."""


class FusedExtractor(nn.Module):
    """An Extractor from bytes on.

    Args:
        network: in eval mode; left as it is.
        folded: whether batch norm and the division by 255 are folded into the convolutions. Without, the network that
            was trained computes the same step by step: the reference for parity.

    Input: frame (N, size, size, 3) uint8, BGR.
    Output: features (N, D) float32, 0 or more; logits (N, classes) float32.
    """

    def __init__(self, network: Extractor, *, folded: bool = True) -> None:
        super().__init__()
        self.network = fold(network) if folded else network
        self.folded = folded
        self.eval()

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        x = frame.to(torch.float32).permute(0, 3, 1, 2)  # (N, 3, size, size)
        features, logits = self.network(x if self.folded else x / 255)
        return features, logits  # (N, D), (N, classes)


def export_extractor(trained: Trained, out: str | os.PathLike[str],
                     say: Callable[[str], None] = lambda line: None) -> tuple[Variant, float]:
    """Writes the bundle, which appears whole or not at all.

    Args:
        trained: from `load_trained`, of task `features`.
        out: the bundle's folder, `NAME.epee`.
        say: is told each step in a few words.

    Returns:
        The variant, and how many seconds it took.

    Raises:
        ExportError: another task's network, or a graph that answers differently.
        BundleError: `out` cannot be written.
    """
    started_s = time.monotonic()
    if not isinstance(trained.network, Extractor):
        raise ExportError("task of the checkpoint", got=trained.task, expected="features")
    network, size_hw = trained.network.eval().float().cpu(), (trained.size_wh[1], trained.size_wh[0])
    say("trace")
    example = torch.zeros(1, *size_hw, 3, dtype=torch.uint8)
    model = to_onnx(FusedExtractor(network), [example], [FRAME], [FEATURES, LOGITS])
    say("parity")
    stills = StreetDataset("val", STILL_WH, STILLS)
    frames = np.stack([pixels.fit(stills[i][0], size_hw, trained.fit) for i in range(STILLS)])
    answers = reference(network, frames)
    parity = compared(model, frames, answers)
    with bundle.writing(out) as folder:
        path = folder / "fp32.onnx"
        path.write_bytes(model.SerializeToString())
        built_with = {**versions(("torch", "onnx", "onnxruntime")), "opset": str(model.opset_import[0].version)}
        variant = Variant("fp32", path.name, "onnx", "fp32", bundle.sha256(path), path.stat().st_size, built_with,
                          parity, Tolerance(min_equal=0.999))
        facts = {"macs": multiply_adds(model), "parameters": sum(p.numel() for p in network.parameters()),
                 "parity_frames": "synthetic:street"}
        bundle.save(folder, manifest_of(trained, Path(out).resolve().name.removesuffix(".epee"), variant, answers,
                                        {**trained.provenance, **facts}), {FRAME: frames, **answers})
    return variant, time.monotonic() - started_s


def manifest_of(trained: Trained, name: str, variant: Variant, answers: dict[str, NDArray[Any]],
                provenance: dict[str, Any]) -> Manifest:
    """What the bundle says of itself."""
    w, h = trained.size_wh
    outputs = tuple(TensorSpec(key, (None, answers[key].shape[1]), "float32", "NC") for key in (FEATURES, LOGITS))
    return Manifest(name=name, task="features", variants=(variant,), fit=trained.fit, classes=trained.names,
                    inputs=(TensorSpec(FRAME, (None, h, w, 3), "uint8", "NHWC", "bgr8"),), outputs=outputs,
                    provenance=provenance)


@torch.no_grad()
def reference(network: Extractor, frames: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """torch's answers by name, (N, D) and (N, classes) float32, from the network before folding."""
    features, logits = FusedExtractor(network, folded=False)(torch.from_numpy(frames))
    return {FEATURES: features.numpy(), LOGITS: logits.numpy()}


def compared(model: Any, frames: NDArray[Any], answers: dict[str, NDArray[Any]]) -> dict[str, float]:
    """Gives the largest differences by output. Raises ExportError where one is too large."""
    parity: dict[str, float] = {"frames": float(len(frames))}
    names: Sequence[str] = list(answers)
    for name, got in zip(names, open_onnx(model).run(names, {FRAME: frames}), strict=True):
        scale, difference = float(np.abs(answers[name]).max()), float(np.abs(got - answers[name]).max())
        parity |= {f"{name}_max_diff": difference, f"{name}_scale": scale}
        if not difference <= MAX_DIFF * scale:  # written so that NaN fails
            raise ExportError(f"parity of output '{name}' does not hold", got=f"a difference of {difference:.2g}",
                              expected=f"at most {MAX_DIFF * scale:.2g}",
                              do="nothing was written; please report it with the checkpoint")
    return parity
