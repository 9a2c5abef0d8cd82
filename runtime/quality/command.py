"""`epee eval` for generated pictures: a generator's bundle, or a folder or zip of what it made."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle import MANIFEST, Bundle
from ..errors import ConfigError, DataError, SinkError, need
from ..manifest import Manifest
from ..picture_sets import open_pictures
from . import SHIPPED
from .extractor import open_extractor
from .generated import generated
from .neighbours import NEAREST, SHOWN, Memory, memory, nearest, picture
from .options import TEST, TRAIN
from .scoring import Judge, Look, Scores

INCEPTION = "epee.train.inception"
"""Opens the papers' Inception network, with torch; imported where its weights are named."""
Progress = Callable[[int, int], None]


def is_pictures(source: str) -> bool:
    """Whether a source is a folder or a zip of pictures, and no bundle."""
    path = Path(source)
    return path.suffix.lower() == ".zip" or (path.is_dir() and not (path / MANIFEST).is_file())


def score(args: argparse.Namespace, progress: Progress) -> Scores:
    """Scores what the command names.

    Args:
        args: with `bundle` (or a folder or zip), `data`, `split`, and what `options.arguments` added.
        progress: told how many samples were looked at, and of how many.

    Raises:
        EpeeError: something does not open or does not fit.
    """
    if args.samples < 8:
        raise ConfigError("--samples", got=args.samples, expected="8 or more")
    if is_pictures(args.bundle) and args.inception is not None and args.size is None:
        raise ConfigError("--size of files for --inception", got="nothing", expected="the pictures' own",
                          do="FID enlarges pictures itself, in its own way")
    need("cv2")
    with _opened(args) as look:
        half = None
        if is_pictures(args.bundle):
            size = args.size or look.size_hw[0]
            files = open_pictures(args.bundle, size).images
            samples: Any = files[np.random.default_rng(args.seed).permutation(len(files))[:args.samples]]
            count = len(samples)
        else:
            bundle = Bundle.open(args.bundle)
            size, count = args.size or size_of(bundle.manifest), args.samples
            half = bundle.manifest.provenance.get("half")
            samples = generated(bundle, count, args.seed, backend=args.backend, precision=args.precision,
                                threads=args.threads)
        judge = Judge(look, open_pictures(args.data, size, subset=args.split or TEST).images, args.seed)
        kept: list[NDArray[Any]] = []
        fake = look(_watched(samples, count, progress, kept))
        near = None
        if args.neighbours is not None:
            train = open_pictures(args.data, kept[0].shape[0], subset=TRAIN, half=half).images
            near = remembered(look, judge, np.stack(kept), fake, train, args.neighbours)
        return judge.score(fake, near)


def size_of(manifest: Manifest) -> int:
    """Height of a generator's pictures. Raises DataError where it makes none."""
    for spec in manifest.outputs:
        if spec.name == "image" and spec.size_hw is not None:
            return spec.size_hw[0]
    raise DataError(f"bundle '{manifest.name}'", got="no output 'image' of a fixed size", expected="a generator",
                    do="name what it made as a folder or a zip of pictures")


def remembered(look: Look, judge: Judge, shown: NDArray[Any], fake: NDArray[Any], train: NDArray[Any],
               path: Path) -> Memory:
    """Compares samples with training pictures and draws the first few beside their nearest.

    Args:
        look: the features.
        judge: with the features of real pictures that nobody trained on.
        shown: (n, H, W, 3) uint8, BGR: the first samples.
        fake: (N, D) features of all samples.
        train: (T, H, W, 3) uint8, BGR.
        path: of the PNG.

    Raises:
        SinkError: the file cannot be written.
    """
    cv2: Any = need("cv2")
    features = look(train)
    drawn = picture(shown, train, nearest(fake[:len(shown)], features, NEAREST)[0])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", drawn)[1].tobytes())
    except OSError as error:
        raise SinkError(f"cannot write '{path}'", got=error.strerror or str(error)) from None
    return memory(fake, judge.real, features)


def _opened(args: argparse.Namespace) -> AbstractContextManager[Any]:
    """The features that are asked for: the papers' with their weights, else an extractor's by its own name."""
    if args.inception is None:
        return open_extractor(args.extractor or SHIPPED, threads=args.threads)
    if args.extractor is not None:
        raise ConfigError("--inception and --extractor", got="both", expected="one of the two")
    need("torch")
    opened: AbstractContextManager[Any] = importlib.import_module(INCEPTION).open_inception(args.inception)
    return opened


def _watched(samples: Iterable[NDArray[Any]], count: int, progress: Progress,
             kept: list[NDArray[Any]]) -> Iterable[NDArray[Any]]:
    """The samples as they pass; the first SHOWN of them are kept."""
    for done, sample in enumerate(samples, 1):
        if len(kept) < SHOWN:
            kept.append(sample)
        if done % 64 == 0 or done == count:
            progress(done, count)
        yield sample
