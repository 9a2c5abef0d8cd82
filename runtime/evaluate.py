"""`epee eval`: scores of a bundle on a labelled split, at the labels' own size. No torch."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import pixels
from .backends import Session, open_session
from .bundle import Bundle
from .dataset import Dataset, Pair, open_dataset
from .errors import DataError
from .manifest import Manifest
from .scores import Confusion

READERS = 2
"""Threads that read pictures ahead."""
BATCH = 8
"""Frames a call where the device gains by it and the graph takes them."""

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


@dataclass(frozen=True)
class Scores:
    """What a split says of a bundle. Shares are 0 to 1; NaN where no pixel of a class was seen.

    Attributes:
        iou: by class name.
        images: how many were scored.
        backend, device, variant: what answered.
        precision: what it really computed in, see `backends.Session`.
    """

    miou: float
    pixel_accuracy: float
    iou: dict[str, float]
    images: int
    backend: str
    device: str
    variant: str
    precision: str

    def to_json(self) -> dict[str, Any]:
        """The contract's fields; NaN is None."""
        iou = {name: _number(x) for name, x in self.iou.items()}
        return {"miou": _number(self.miou), "pixel_accuracy": _number(self.pixel_accuracy), "iou": iou,
                "images": self.images, "backend": self.backend, "device": self.device, "variant": self.variant,
                "precision": self.precision}


def evaluate(bundle: Bundle, data: str, split: str = "val", *, backend: str = "auto", precision: str = "auto",
             threads: int = 0, limit: int | None = None, progress: Progress | None = None) -> Scores:
    """Scores one variant of a bundle on a split.

    Args:
        bundle: a segmenter.
        data: path of a dataset YAML, or `synthetic:street` (drawn at the network's size).
        split: `train`, `val` or `test`.
        backend, precision, threads: see `backends.open_session`.
        limit: only the first so many images.
        progress: told after each image.

    Raises:
        DataError: the data does not fit the bundle, or one of its files is broken.
        BackendError: the bundle does not open.
    """
    dataset = open_fitting(bundle.manifest, data, split, limit)
    confusion = Confusion(len(dataset.names), dataset.ignore)
    with open_session(bundle, backend, precision, threads=threads) as session:
        done = 0
        for _, label, mask in answered(session, bundle.manifest, dataset):
            confusion.add(label, mask)
            done += 1
            if progress is not None:
                progress(done, len(dataset))
        iou = dict(zip(dataset.names, map(float, confusion.iou()), strict=True))
        return Scores(confusion.miou(), confusion.pixel_accuracy(), iou, done, session.backend, session.device,
                      session.variant, session.precision)


def answered(session: Session, manifest: Manifest, dataset: Dataset) -> Iterator[tuple[Any, Any, Any]]:
    """Gives each image, (H, W, 3) uint8 BGR, its label and the session's mask, (H, W) uint8 both, in order."""
    spec = session.inputs[0]
    for batch in _batches(dataset, _batch_size(session)):
        frames = np.stack([pixels.fit(image, spec.size_hw or image.shape[:2], manifest.fit) for image, _ in batch])
        masks = session.run({spec.name: frames})["mask"]
        for (image, label), mask in zip(batch, masks, strict=True):
            yield image, label, pixels.unfit_mask(mask, label.shape, manifest.fit)


def open_fitting(manifest: Manifest, data: str, split: str, limit: int | None = None) -> Dataset:
    """Opens a split that the bundle can be scored on; see `evaluate`.

    Raises:
        DataError: the bundle makes no masks, or the data does not fit it.
    """
    if manifest.task != "segment":
        raise DataError(f"bundle '{manifest.name}'", got=f"task {manifest.task}", expected="task segment",
                        do="eval scores masks against labels")
    size_hw = manifest.inputs[0].size_hw
    dataset = open_dataset(data, split, size_wh=size_hw and size_hw[::-1], count=limit)
    _check_classes(manifest, dataset, data)
    return dataset


def _check_classes(manifest: Manifest, dataset: Dataset, data: str) -> None:
    """Raises DataError where bundle and data do not speak of the same classes in the same order."""
    ours, theirs = manifest.classes, dataset.names
    what = f"classes of bundle '{manifest.name}' and data '{data}' differ"
    do = "score it on the data it was trained for, or put the names in the bundle's order"
    if len(ours) != len(theirs):
        raise DataError(what, got=f"{len(theirs)} in the data ({_listed(theirs)})",
                        expected=f"{len(ours)} ({_listed(ours)})", do=do)
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a != b:
            raise DataError(what, got=f"'{b}' as class {i} of the data", expected=f"'{a}'", do=do)


def _batch_size(session: Session) -> int:
    """A CPU answers one frame at a time as fast as many; other devices gain by more."""
    free = session.inputs[0].shape[0] is None and session.inputs[0].size_hw is not None
    return BATCH if free and session.device != "cpu" else 1


def _batches(dataset: Dataset, size: int) -> Iterator[list[Pair]]:
    """Pairs in order, read ahead in threads while the session computes."""
    with ThreadPoolExecutor(READERS) as pool:
        waiting = deque(pool.submit(dataset.__getitem__, i) for i in range(min(READERS + size, len(dataset))))
        following, batch = len(waiting), []
        while waiting:
            batch.append(waiting.popleft().result())
            if following < len(dataset):
                waiting.append(pool.submit(dataset.__getitem__, following))
                following += 1
            if len(batch) == size or not waiting:
                yield batch
                batch = []


def render(scores: Scores) -> str:
    """A small table: IoU by class, then the means."""
    lines = [f"{name:<16} {_percent(x)}" for name, x in scores.iou.items()]
    lines += ["", f"{'mIoU':<16} {_percent(scores.miou)}", f"{'pixel accuracy':<16} {_percent(scores.pixel_accuracy)}",
              f"{scores.images} images, {scores.variant} on {scores.backend}:{scores.device}"]
    return "\n".join(lines)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")


def _number(x: float) -> float | None:
    return None if math.isnan(x) else x


def _percent(x: float) -> str:
    return "not seen" if math.isnan(x) else f"{x:.4f}"
