"""Checkpoints as safetensors: `best` or `generator` holds what is exported, `last` all that a training needs to go on.

Nothing is unpickled. Facts about the weights travel as JSON in the file's own metadata.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..runtime.errors import TrainingError
from ..runtime.manifest import Fit
from ..runtime.settings import from_dict
from .networks.animator import Animator, AnimatorConfig
from .networks.extractor import Extractor, ExtractorConfig
from .networks.generator import Generator, GeneratorConfig
from .networks.segmenter import Segmenter, SegmenterConfig
from .networks.translator import Translator, TranslatorConfig
from .networks.upscaler import Upscaler, UpscalerConfig

BEST, GENERATOR, LAST = "best.safetensors", "generator.safetensors", "last.safetensors"
FORMAT = 1

NETWORKS: dict[str, tuple[Any, type[Any]]] = {
    "segment": (Segmenter, SegmenterConfig),
    "generate": (Generator, GeneratorConfig),
    "translate": (Translator, TranslatorConfig),
    "enhance": (Upscaler, UpscalerConfig),
    "animate": (Animator, AnimatorConfig),
    "features": (Extractor, ExtractorConfig),
}
"""Task -> (network, its configuration)."""


@dataclass(frozen=True)
class Trained:
    """A trained network and what a bundle must say of it.

    Attributes:
        task: a key of NETWORKS.
        network: in eval mode, float32, on the CPU.
        size_wh: the size it was trained at.
        names, colours, ignore: of the classes; a generator has no colours, and no names without labels.
        fit: how pictures of another size were fitted.
        data: what it was trained on, as given.
        provenance: preset, budget, seed, scores, versions.
    """

    task: str
    network: nn.Module
    size_wh: tuple[int, int]
    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    ignore: int
    fit: Fit
    data: str
    provenance: Mapping[str, Any]


def load_trained(source: str | os.PathLike[str]) -> Trained:
    """Opens the weights of a run folder (its `best` or `generator.safetensors`) or of a `.safetensors` file.

    Raises:
        TrainingError: nothing there, no checkpoint of ours, or one that is cut or of a newer format.
    """
    path = Path(source)
    if path.is_dir():
        path = path / (GENERATOR if (path / GENERATOR).is_file() else BEST)
    tensors, facts = read(path)
    try:
        kind, config = NETWORKS[facts["task"]]
        network: nn.Module = kind(from_dict(config, facts["network"]))
        network.load_state_dict({k.removeprefix("ema."): v for k, v in tensors.items() if k.startswith("ema.")})
        return Trained(
            task=facts["task"], network=network.eval(), size_wh=tuple(facts["size_wh"]), names=tuple(facts["names"]),
            colours=tuple((int(r), int(g), int(b)) for r, g, b in facts["colours"]), ignore=int(facts["ignore"]),
            fit=Fit(**facts["fit"]), data=facts["data"], provenance=facts["provenance"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(f"checkpoint '{path}' does not fit", got=" ".join(str(error).split())[:200],
                            do="was it written by another version of epee?") from None


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Gives the tensors by name and the facts of a checkpoint file.

    Raises:
        TrainingError: it is missing, cut, or none of ours.
    """
    if not path.is_file():
        raise TrainingError(f"checkpoint '{path}'", got="nothing there",
                            expected="a run folder of `epee train`, or a .safetensors file of one")
    try:
        with safe_open(str(path), framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("epee", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise TrainingError(f"checkpoint '{path}' does not open", got=" ".join(str(error).split())[:200],
                            do="it is cut or no safetensors file") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        got = facts.get("format") if isinstance(facts, dict) else "no facts of ours"
        raise TrainingError(f"checkpoint '{path}'", got=f"format {got}", expected=f"format {FORMAT}",
                            do="take a file that this version of epee wrote")
    return tensors, facts


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes a checkpoint; the old one stays until the new one is whole.

    Raises:
        TrainingError: the disk is full or the place cannot be written.
    """
    part = path.with_suffix(".part")
    text = json.dumps({"format": FORMAT, **facts}, default=_plain)
    try:
        save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, str(part), {"epee": text})
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise TrainingError(f"cannot write checkpoint '{path}'", got=" ".join(str(error).split())[:200],
                            do="free some space; the checkpoint before it is still whole") from None


def pack(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Puts a prefix before each name."""
    return {f"{prefix}.{name}": value for name, value in state.items()}


def unpack(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Takes the tensors of one prefix, without it."""
    return {k.removeprefix(prefix + "."): v for k, v in tensors.items() if k.startswith(prefix + ".")}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as `INDEX.NAME` -> tensor."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": torch.as_tensor(value) for i, entry in state.items() for name, value in entry.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `optimizer_tensors` gave; learning rates are left as they are.

    Moments get the memory format of their weights: a fused optimizer walks through both as they lie in memory.
    """
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        weight = weights[int(index)]
        own = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value.clone()
        state.setdefault(int(index), {})[name] = own
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)  # type: ignore[arg-type]
