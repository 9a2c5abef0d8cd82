"""Opens the bundle of a feature extractor, which turns pictures into what distances are measured in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import pixels
from ..backends import Session, open_session
from ..bundle import Bundle
from ..errors import DataError
from ..manifest import Manifest
from . import SHIPPED
from .distances import MOST_FEATURES

BATCH = 64


class Extractor:
    """An opened extractor. A context manager.

    Attributes:
        name: of the bundle; scores are called after it.
        manifest: what the bundle says of itself.
        size_hw: the size that it looks at.
        features: how many it gives.
        kid_name, fd_name: what distances in its features are called; they are no FID. A Fréchet distance is for
            MOST_FEATURES at most.
    """

    def __init__(self, session: Session, manifest: Manifest) -> None:
        size_hw = manifest.inputs[0].size_hw
        if size_hw is None:
            raise DataError(f"extractor '{manifest.name}'", got="an input of any size", expected="a fixed size")
        self.name, self.manifest, self.size_hw = manifest.name, manifest, size_hw
        self.features = int(manifest.outputs[0].shape[1] or 0)
        self.kid_name = f"kid-{self.name}"
        self.fd_name = f"fd-{self.name}" if self.features <= MOST_FEATURES else None
        self._session = session

    def __call__(self, images: Iterable[NDArray[Any]]) -> NDArray[np.float32]:
        """Gives (N, D) float32 features of pictures.

        Args:
            images: (H, W, 3) uint8, BGR, of any size: the centre square is taken and resized.

        Raises:
            DataError: no pictures, or something that is none.
        """
        return self.both(images)[0]

    def both(self, images: Iterable[NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gives features (N, D) and logits (N, classes), float32."""
        parts, batch = [], []
        for image in images:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise DataError("picture to score", got=f"{image.shape} {image.dtype}", expected="(H, W, 3) uint8")
            batch.append(image if image.shape[:2] == self.size_hw else
                         pixels.fit(image, self.size_hw, self.manifest.fit))
            if len(batch) == BATCH:
                parts.append(self._run(batch))
                batch = []
        if batch:
            parts.append(self._run(batch))
        if not parts:
            raise DataError("pictures to score", got="none", expected="one or more")
        features, logits = (np.concatenate([part[i] for part in parts]) for i in range(2))
        return features, logits

    def _run(self, batch: list[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """A batch of its own size each time, so that runtimes need not plan anew: short ones are filled up."""
        frames = np.zeros((BATCH, *self.size_hw, 3), np.uint8)
        frames[:len(batch)] = batch
        answers = self._session.run({self.manifest.inputs[0].name: frames})
        return answers["features"][:len(batch)], answers["logits"][:len(batch)]

    def __enter__(self) -> Extractor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._session.close()


def open_extractor(path: str | os.PathLike[str] = SHIPPED, backend: str = "auto", *, threads: int = 0) -> Extractor:
    """Opens an extractor, always in float32.

    Args:
        path: a bundle's folder, or the name of one that ships.
        backend: `NAME[:DEVICE]`, or `auto` for the first that works.
        threads: compute threads; 0 leaves it to the backend.

    Raises:
        BundleError: no such bundle.
        DataError: a bundle of another task.
        BackendError: it does not open.
    """
    bundle = Bundle.open(path)
    if bundle.manifest.task != "features":
        raise DataError(f"extractor '{path}'", got=f"task {bundle.manifest.task}", expected="task features",
                        do="train one with `epee train features` and export it")
    return Extractor(open_session(bundle, backend, "fp32", threads=threads), bundle.manifest)
