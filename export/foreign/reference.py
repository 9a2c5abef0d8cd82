"""The reference of somebody else's network: the very file in ONNX Runtime, and all around it by hand in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import ExportError, need
from ..candidate import Answer
from ..samples import Sample
from ..tensors import FRAME, LOGITS, MASK
from .described import Preprocessing
from .plain import ending_in
from .understanding import IDS, SCORES, Inlet, Outlet
from .wrapping import nearest


class Original:
    """The model as it came, opened.

    Args:
        model: from `read_model`.
        inlet: its input.
        output: of its tensors, the one to read.
        prepared: what it wants to see.
    """

    def __init__(self, model: Any, inlet: Inlet, output: str, prepared: Preprocessing) -> None:
        ort = need("onnxruntime")
        settings = ort.SessionOptions()
        settings.log_severity_level = 4
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(ending_in(model, output).SerializeToString(), settings,
                                                 providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ExportError("ONNX Runtime does not open the model", got=" ".join(str(error).split())[:300],
                              do="export it again with opset 18") from None
        self._inlet, self._output, self._prepared = inlet, output, prepared

    def __call__(self, frame: NDArray[Any]) -> NDArray[Any]:
        """What the network says of a frame, (H, W, 3) uint8 BGR; batch first, of one.

        Raises:
            ExportError: it does not run at this size.
        """
        picture = np.repeat(self._prepared(frame), self._inlet.batch or 1, axis=0)
        try:
            answer: NDArray[Any] = self._session.run([self._output], {self._inlet.name: picture})[0]
        except Exception as error:
            w, h = self._inlet.size_hw[::-1]
            raise ExportError(f"the model does not run at {w}x{h}", got=" ".join(str(error).split())[:300],
                              do="give another --size; many networks want multiples of 32") from None
        return answer[:1]


def answers_of(original: Original, outlet: Outlet, size_hw: tuple[int, int]) -> Answer:
    """Mask (1, H, W) uint8 of a sample, and the scores (float32) that decided, where there are any."""
    def answer(sample: Sample) -> Mapping[str, NDArray[Any]]:
        mask, scores = decide(original(sample[FRAME][0]), outlet, size_hw)
        return {MASK: mask} if scores is None else {MASK: mask, LOGITS: scores}

    return answer


def decide(answer: NDArray[Any], outlet: Outlet, size_hw: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Class ids of a network's answer, (1, H, W) uint8, and what decided, without a graph.

    Args:
        answer: of one picture, batch first.
        outlet: what it means.
        size_hw: height and width of the mask.
    """
    h, w = outlet.size_hw
    if outlet.kind == IDS:
        ids = answer.reshape(1, h, w)[:, nearest(h, size_hw[0])][:, :, nearest(w, size_hw[1])]
        return ids.astype(np.uint8), None
    pixels = answer.transpose(0, 2, 3, 1) if outlet.axis == 1 else answer.reshape(1, h, w, -1)
    scores = _linear(_linear(pixels, size_hw[0], 1), size_hw[1], 2)
    if outlet.kind == SCORES:
        return scores.argmax(-1).astype(np.uint8), scores
    return (scores[..., 0] > outlet.threshold).astype(np.uint8), scores[..., 0]


def _linear(values: NDArray[Any], count: int, axis: int) -> NDArray[Any]:
    """Linear interpolation along an axis by centres of pixels, held at the ends."""
    size = values.shape[axis]
    if size == count:
        return values
    at = np.clip((np.arange(count) + 0.5) * size / count - 0.5, 0, size - 1)
    lower = np.floor(at).astype(np.intp)
    share = (at - lower).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    below, above = values.take(lower, axis), values.take(np.minimum(lower + 1, size - 1), axis)
    return np.asarray(below * (1 - share) + above * share, np.float32)
