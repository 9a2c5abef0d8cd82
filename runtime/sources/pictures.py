"""A folder of pictures, or one picture."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, SourceError, need
from ..frames import Frame
from ..picture_files import PICTURES
from ..pixels import Image
from ..timing import now_s
from . import Opened


class FolderSource(Opened):
    """The pictures of a folder (not of its subfolders), `frame2` before `frame10`.

    A picture that does not decode is left out; after the last good one the iteration ends in an error that names it.
    """

    def __init__(self, text: str, **_: object) -> None:
        folder = Path(text)
        try:
            files = [p for p in folder.iterdir() if p.suffix.lower() in PICTURES and p.is_file()]
        except OSError as error:
            raise SourceError(f"folder '{folder}'", got=error.strerror) from None
        if not files:
            raise SourceError(f"folder '{folder}'", got="no picture in it",
                              expected="files ending in " + ", ".join(PICTURES),
                              do="subfolders are not searched")
        self._start(folder, sorted(files, key=_natural))

    def _start(self, path: Path, files: list[Path]) -> None:
        super().__init__(path.stem or "pictures", path=str(path), count=len(files))
        stems = Counter(p.stem for p in files)
        self._files = [(p, p.stem if stems[p.stem] == 1 else p.name) for p in files]

    def __iter__(self) -> Iterator[Frame]:
        broken: list[str] = []
        for index, (path, name) in enumerate(self._files):
            start = time.perf_counter()
            try:
                image = self.bgr(read_picture(path))
            except DataError as error:
                broken.append(f"{path.name} ({error.got})")
                self._tally.bad()
                continue
            self._tally.frame()
            yield Frame(image, index, self.name, now_s(), name, decode_ms=1e3 * (time.perf_counter() - start))
        self._tally.ended()
        if broken:
            more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
            raise SourceError(f"source '{self.path}': {len(broken)} of {len(self._files)} pictures do not decode",
                              got=", ".join(broken[:5]) + more, do="remove or replace them; all others were processed")


class ImageSource(FolderSource):
    """One picture."""

    def __init__(self, text: str, **_: object) -> None:
        self._start(Path(text), [Path(text)])


def read_picture(path: Path) -> Image:
    """The picture as it is stored: 1, 3 or 4 channels, 8 or 16 bits, turned upright as its EXIF data says.

    Raises:
        DataError: it cannot be read or decoded; `got` says why.
    """
    cv2: Any = need("cv2")
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"picture '{path}'", got=error.strerror or str(error)) from None
    # IMREAD_UNCHANGED keeps alpha but ignores EXIF; JPEG has no alpha, and is what carries EXIF.
    jpeg = data[:2].tobytes() == b"\xff\xd8"
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH if jpeg else cv2.IMREAD_UNCHANGED
    try:
        image: Image | None = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        raise DataError(f"picture '{path}'", got="empty file" if not data.size else "not decodable",
                        expected="a whole picture")
    return image


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sorts runs of digits by value: frame2 before frame10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower())
            for part in re.split(r"(\d+)", path.name) if part]
