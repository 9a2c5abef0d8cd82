"""Frame and Result: the two things that flow from sources through a session to sinks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import pixels
from .errors import DataError, need
from .manifest import Manifest, TensorSpec
from .timing import now_s, timed

T = TypeVar("T")
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Frame:
    """One picture of a source; `latents.Latents` is one that has yet to be made.

    Attributes:
        image: (H, W, 3) uint8, BGR. Nothing writes into it.
        index: 0, 1, 2 … in the order of the source; gaps are dropped frames.
        source: the source's name, without credentials.
        captured_s: `timing.now_s()` when the frame was captured (live) or decoded (files).
        name: what a picture made of it is called: the file's stem in a folder, else the index in six digits.
        position_s: seconds from the beginning of a file, or None.
        decode_ms: what reading and decoding it took.
    """

    image: NDArray[Any]
    index: int = 0
    source: str = ""
    captured_s: float = 0.0
    name: str = ""
    position_s: float | None = None
    decode_ms: float = 0.0

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.image.shape[0]), int(self.image.shape[1])

    @property
    def age_ms(self) -> float:
        """Milliseconds since it was captured."""
        return 1e3 * (now_s() - self.captured_s)

    @property
    def facts(self) -> dict[str, Any]:
        """What events say of it beside where it comes from."""
        return {}

    def feeds(self, manifest: Manifest, times_ms: dict[str, float]) -> Arrays:
        """What the network is given for it, by input's name, with a batch axis.

        Args:
            manifest: the model's description.
            times_ms: gets the stage `fit` where the frame's size is not the network's.

        Raises:
            DataError: the model takes no frames.
        """
        spec, fitted = frame_spec(manifest), self.image
        if spec.size_hw is not None and self.size_hw != spec.size_hw:
            with timed(times_ms, "fit"):
                fitted = pixels.fit(fitted, spec.size_hw, manifest.fit)
        return {spec.name: np.ascontiguousarray(fitted)[None]}

    def before(self) -> Iterator[Arrays]:
        """What a network that carries something has seen before a stream's first frame, over and over: nothing."""
        return iter(())

    def parts(self, feeds: Arrays) -> Iterable[Arrays]:
        """What goes through the network together: all of it."""
        return (feeds,)

    def own(self, outputs: Arrays, times_ms: dict[str, float]) -> Arrays:
        """The outputs for what `feeds` gave, as its Result has them: without the batch axis.

        Args:
            times_ms: gets the stages that this takes.
        """
        return {name: array[0] for name, array in outputs.items()}

    def look(self, image: NDArray[Any]) -> NDArray[Any]:
        """(H, W, 3) uint8 BGR: what one looks at, of the network's output `image` as `own` gives it."""
        return image


@dataclass
class Result:
    """A frame and what the network said of it. What is made from it is made once and shared by all sinks.

    Attributes:
        frame: what went in.
        outputs: the network's outputs by name for this one frame, at the network's size (no batch axis; of `Latents`,
            whose grid is a batch, with one).
        manifest: the model's description: classes, colours, fit.
        times_ms: milliseconds spent by stage: `decode`, `fit` or `tile` (where sizes differ), `infer`, `join` (of
            tiles), `overlay` (once drawn).
    """

    frame: Frame
    outputs: dict[str, NDArray[Any]]
    manifest: Manifest
    times_ms: dict[str, float] = field(default_factory=dict)
    _made: dict[Any, Any] = field(default_factory=dict, repr=False)
    _making: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of what one looks at: of the frame, or of the picture that the network made."""
        if "image" not in self.outputs:
            return self.frame.size_hw
        return int(self.picture.shape[0]), int(self.picture.shape[1])

    @property
    def mask(self) -> NDArray[Any]:
        """(H, W) uint8 class ids at the frame's size; 255 where the network saw nothing (outside a centre crop)."""
        return self.once("mask", lambda: pixels.unfit_mask(self._output("mask"), self.frame.size_hw,
                                                            self.manifest.fit))

    @property
    def picture(self) -> NDArray[Any]:
        """(H, W, 3) uint8 BGR: what one looks at, the overlay of a mask or the network's own picture or grid."""
        return self.once("picture", self._picture)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the frame's pixels by class name, 0 to 1; empty where there is no mask."""
        if "mask" not in self.outputs:
            return {}
        return self.once("shares", lambda: pixels.class_shares(
            pixels.seen(self.outputs["mask"], self.frame.size_hw, self.manifest.fit), self.manifest.classes))

    def overlay(self, strength: float = 0.5, legend: bool = False) -> NDArray[Any]:
        """The frame with the mask's colours over it.

        Args:
            strength: share of the colour, 0 (frame alone) to 1 (mask alone).
            legend: whether class names and shares are drawn in a corner.

        Returns:
            (H, W, 3) uint8, BGR; a new array.
        """
        return pixels.overlay(self.frame.image, self._output("mask"), self.manifest, strength=strength, legend=legend)

    def jpeg(self, quality: int = 85) -> bytes:
        """`picture` as a JPEG file's bytes; encoded once for each quality."""
        return self.once(("jpeg", quality), lambda: _encode_jpeg(self.picture, quality))

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gives, made at the first call with this key and kept; any thread may ask."""
        with self._making:
            if key not in self._made:
                self._made[key] = make()
            made: T = self._made[key]
            return made

    def _picture(self) -> NDArray[Any]:
        with timed(self.times_ms, "overlay"):
            return self.overlay(legend=True) if "mask" in self.outputs else self.frame.look(self._output("image"))

    def _output(self, name: str) -> NDArray[Any]:
        if name not in self.outputs:
            raise DataError(f"result of a '{self.manifest.task}' model: '{name}'", got="not among its outputs",
                            expected="one of " + ", ".join(self.outputs))
        return self.outputs[name]


def frame_spec(manifest: Manifest) -> TensorSpec:
    """The input that takes frames.

    Raises:
        DataError: the model takes none.
    """
    if manifest.frame_input is not None:
        return manifest.frame_input
    made = any(spec.name == "z" for spec in manifest.inputs)
    raise DataError(f"model '{manifest.name}' ({manifest.task})", got="no input that takes frames",
                    expected="inputs " + ", ".join(s.name for s in manifest.inputs),
                    do="`epee generate` shows what it makes, so does the source latents:walk" if made
                    else "use model.session.run({…})")


def _encode_jpeg(image: NDArray[Any], quality: int) -> bytes:
    cv2: Any = need("cv2")
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)
