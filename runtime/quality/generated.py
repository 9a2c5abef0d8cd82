"""Pictures to score: what a generator's bundle makes of drawn latents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import open_session
from ..bundle import Bundle
from ..errors import DataError

BATCH = 64


def generated(bundle: Bundle, count: int, seed: int = 0, *, backend: str = "auto", precision: str = "auto",
              threads: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Gives `count` pictures of a generator, (H, W, 3) uint8, BGR, its classes in turn.

    Args:
        bundle: of task `generate`: `z` (N, Z) float32 and, where it has them, `label` (N,) and
            `truncation` (N,) in, the latter 1 throughout; `image` out.
        count: how many.
        seed: of the latents, standard normal: the same in every run and on every backend.
        backend, precision, threads: see `backends.open_session`; `auto` takes the bundle's first variant.

    Raises:
        DataError: a bundle of another task.
        BackendError: it does not open.
    """
    manifest = bundle.manifest
    if manifest.task != "generate":
        raise DataError(f"bundle '{manifest.name}'", got=f"task {manifest.task}", expected="task generate")
    variant = manifest.variants[0].name if precision == "auto" else precision
    specs = {spec.name: spec for spec in manifest.inputs}
    rng, classes = np.random.default_rng(seed), max(1, len(manifest.classes))
    with open_session(bundle, backend, variant, threads=threads) as session:
        for start in range(0, count, BATCH):
            feeds: dict[str, NDArray[Any]] = {
                "z": rng.standard_normal((BATCH, specs["z"].shape[1] or 1)).astype(np.float32)}
            if "label" in specs:
                feeds["label"] = ((start + np.arange(BATCH)) % classes).astype(specs["label"].dtype)
            if "truncation" in specs:
                feeds["truncation"] = np.ones(BATCH, specs["truncation"].dtype)
            yield from session.run(feeds)["image"][:count - start]
