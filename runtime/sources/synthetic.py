"""`synthetic:street`: a drawn drive that needs no data and never ends.

Options stand behind a question mark: `synthetic:street?seed=7&size=640x360&frames=100&fps=25`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qsl

from ..errors import SourceError, near
from ..frames import Frame
from ..timing import now_s
from . import Opened

DEFAULT_WH = (480, 360)
OPTIONS = ("seed", "size", "frames", "fps")


class SyntheticSource(Opened):
    """Frames of `street.Street`, seeded: the same text and seed give the same frames."""

    def __init__(self, text: str, *, seed: int = 0, size_wh: tuple[int, int] | None = None,
                 **other: object) -> None:
        from ..street import Street

        scene, _, query = text.removeprefix("synthetic:").partition("?")
        if scene != "street":
            raise SourceError(f"source '{text}'", got=f"no scene '{scene}'", expected="synthetic:street")
        options = dict(parse_qsl(query, keep_blank_values=True))
        for key, value in options.items():
            if key not in OPTIONS:
                raise SourceError(f"source '{text}': option '{key}'", got="no such option",
                                  expected=", ".join(OPTIONS), do=near(key, list(OPTIONS)))
            if not re.fullmatch(r"[1-9]\d*x[1-9]\d*" if key == "size" else r"\d+(\.\d+)?" if key == "fps" else r"\d+",
                                value):
                raise SourceError(f"source '{text}': option '{key}'", got=repr(value),
                                  expected="WIDTHxHEIGHT" if key == "size" else "a number")
        width, _, height = options.get("size", "x".join(map(str, size_wh or DEFAULT_WH))).partition("x")
        super().__init__(scene, fps=float(options.get("fps", 25)) or 25.0,
                         count=int(options["frames"]) if "frames" in options else None,
                         size_wh=(int(width), int(height)))
        self._street = Street(int(options.get("seed", seed)), (int(width), int(height)))

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while self.count is None or index < self.count:
            start = time.perf_counter()
            image, _ = self._street.render(index)
            self._tally.frame()
            yield Frame(image, index, self.name, now_s(), f"{index:06d}", index / (self.fps or 25.0),
                        1e3 * (time.perf_counter() - start))
            index += 1
        self._tally.ended()
