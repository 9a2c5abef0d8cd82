"""PNG files, one a frame, named as the source names its frames: `masks:DIR` class ids, `png:DIR` what one looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import SinkError, need
from ..frames import Result
from ..pixels import Image
from . import Opened, SinkInfo


class _Folder(Opened):
    def __init__(self, target: str, info: SinkInfo) -> None:
        super().__init__(target)
        need("cv2")
        try:
            Path(target).mkdir(parents=True, exist_ok=True)
            probe = Path(target) / ".epee-probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise self.failed(error) from None

    def prepare(self, result: Result) -> None:
        self._png(result)

    def write(self, result: Result) -> None:
        path = Path(self.target) / f"{result.frame.name or f'{result.frame.index:06d}'}.png"
        try:
            path.write_bytes(self._png(result))
        except OSError as error:
            path.unlink(missing_ok=True)  # half a picture is of no use
            raise self.failed(error) from None

    def _png(self, result: Result) -> bytes:
        return result.once((self.kind, "png"), lambda: _encode(self._image(result)))

    def _image(self, result: Result) -> Image:
        raise NotImplementedError


class MasksSink(_Folder):
    """Class ids as grey levels, (H, W) at the source's size."""

    kind = "masks"

    def __init__(self, target: str, info: SinkInfo) -> None:
        if all(spec.name != "mask" for spec in info.manifest.outputs):
            raise SinkError(f"sink 'masks:{target}'", got=f"a '{info.manifest.task}' model, which makes no masks",
                            do=f"take png:{target}")
        super().__init__(target, info)

    def _image(self, result: Result) -> Image:
        return result.mask


class PngSink(_Folder):
    """The overlay of a mask, or the network's own picture."""

    kind = "png"

    def _image(self, result: Result) -> Image:
        return result.picture


def _encode(image: Image) -> bytes:
    cv2: Any = need("cv2")
    _, data = cv2.imencode(".png", image)
    return bytes(data)
