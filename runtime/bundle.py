"""A bundle: the folder `NAME.epee/` with `manifest.json`, one file a variant, and `golden.npz`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import BundleError
from .machine import cache_folder
from .manifest import Manifest, Variant

SHIPPED = Path(__file__).parent / "bundles"
"""Bundles inside the package, found by name."""
WEIGHTS = Path(__file__).parent.parent / "weights"
"""Bundles beside the package in a source checkout, found by name (not in the wheel: their data has other terms)."""
OWN = "EPEE_WEIGHTS"
"""Environment variable: a folder of the user's own bundles, found by name."""
MANIFEST, GOLDEN = "manifest.json", "golden.npz"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its folder and what it says about itself. Nothing writes into it after `save`."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Opens a bundle by path, or by name (`street-nano`), see `shelves`.

        Raises:
            BundleError: nothing there, no manifest, or one that this version cannot read.
        """
        folder = find(path)
        try:
            data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except OSError as error:
            raise BundleError(f"bundle '{folder}': {MANIFEST} does not open",
                              got=error.strerror or str(error)) from None
        except ValueError as error:
            raise BundleError(f"bundle '{folder}': {MANIFEST} is no JSON", got=str(error),
                              do="copy the bundle again, or export it again") from None
        return cls(folder, Manifest.from_json(data))

    def file(self, variant: Variant) -> Path:
        """Gives the variant's file after checking its size and hash.

        Raises:
            BundleError: the file is missing, lies outside the bundle, or is not the one that was exported.
        """
        path = self.path / variant.file
        if Path(variant.file).name != variant.file:
            raise BundleError(f"bundle '{self.path}': variant '{variant.name}' points outside the bundle",
                              got=variant.file, do="do not use this bundle")
        if not path.is_file():
            raise BundleError(f"bundle '{self.path}': file of variant '{variant.name}'", got="missing",
                              expected=variant.file, do="copy the bundle again, or export it again")
        got = sha256(path)
        if got != variant.sha256:
            raise BundleError(f"bundle '{self.path}': hash of {variant.file}", got=f"{got[:12]}…",
                              expected=f"{variant.sha256[:12]}…", do="the file was changed or cut; copy it again")
        return path

    def goldens(self) -> dict[str, NDArray[np.generic]]:
        """Gives the reference inputs and outputs by tensor name, batch first.

        Raises:
            BundleError: `golden.npz` is missing or broken.
        """
        try:
            with np.load(self.path / GOLDEN, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise BundleError(f"bundle '{self.path}': {GOLDEN} does not open", got=str(error),
                              do="copy the bundle again, or export it again") from None

    def digest(self) -> str:
        """A short hash of the manifest, and through it of every variant: the key of caches and reports."""
        return sha256(self.path / MANIFEST)[:16]


def find(path: str | os.PathLike[str]) -> Path:
    """Gives the folder of a bundle named by path, or by the name under which it lies on one of the `shelves`.

    Raises:
        BundleError: there is no such bundle.
    """
    folder = Path(path)
    if (folder / MANIFEST).is_file():
        return folder
    if folder.exists():
        raise BundleError(f"bundle '{path}'", got="no manifest.json in it" if folder.is_dir() else "a file",
                          expected="a folder NAME.epee as `epee export` writes it")
    for shelf in shelves():
        named = shelf / f"{path}.epee"
        if "/" not in str(path) and (named / MANIFEST).is_file():
            return named
    raise BundleError(f"bundle '{path}'", got="nothing there", expected="a folder NAME.epee, or one of: "
                      + (", ".join(shipped_names()) or "(none is here)"), do=shelves_told())


def shelves() -> list[Path]:
    """Folders in which `NAME` is looked for as `NAME.epee`, the first that has it first.

    What ships with the package; `weights/` of a checkout; the folder that `EPEE_WEIGHTS` names; `weights/` in epee's
    cache folder of this user.
    """
    own = os.environ.get(OWN)
    return [SHIPPED, WEIGHTS, *([Path(own).expanduser()] if own else []), cache_folder() / "weights"]


def shelves_told() -> str:
    """What to do about a name that is on no shelf."""
    own = f"${OWN} ({os.environ[OWN]})" if os.environ.get(OWN) else f"a folder that ${OWN} names"
    return f"names are looked for as NAME.epee in {own} and in {cache_folder() / 'weights'}"


def shipped_names() -> list[str]:
    """Names of the bundles that can be opened by name."""
    return sorted({p.parent.stem for shelf in shelves() for p in shelf.glob(f"*.epee/{MANIFEST}")})


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives an empty folder to fill; it becomes `path` when the block ends well, and vanishes when it raises.

    A bundle therefore appears whole or not at all; one that was there before stays until the new one is ready.

    Raises:
        BundleError: the place cannot be written, or there is something there that is no bundle.
    """
    target = Path(path)
    if target.exists() and not (target / MANIFEST).is_file():
        raise BundleError(f"cannot write bundle '{target}'", got="something that is no bundle is there",
                          do="name another --out, or move it away")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{target.name}.tmp-", dir=target.parent))
    except OSError as error:
        raise BundleError(f"cannot write bundle '{target}'", got=error.strerror or str(error),
                          do="name another --out") from None
    try:
        yield folder
        folder.chmod(0o755)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f"{target.name}.tmp-", dir=target.parent))
            target.rename(old / "old")
            folder.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            folder.rename(target)
    except OSError as error:
        raise BundleError(f"cannot write bundle '{target}'", got=error.strerror or str(error),
                          do="free some space or name another --out") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def save(folder: Path, manifest: Manifest, goldens: Mapping[str, NDArray[np.generic]]) -> None:
    """Writes manifest and goldens into a folder from `writing` that already holds the variants' files."""
    np.savez_compressed(folder / GOLDEN, **dict(goldens))  # type: ignore[arg-type]
    text = json.dumps(manifest.to_json(), indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
