"""Bytes made early: the same picture, in fewer passes."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from epee.export.early import early_bytes  # noqa: E402
from epee.export.to_onnx import to_onnx  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


class Enlarging(nn.Module):
    """Bytes to bytes of twice the size, with values far outside of what bytes hold; without `top` tanh bounds them."""

    def __init__(self, top: float | None = 255.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.top, self.layer = top, nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.layer(frame.float().permute(0, 3, 1, 2)) * 2.0 + 100.5
        y = (torch.tanh(y) + 1.0) * 127.5 if self.top is None else y.clamp(0.0, self.top)
        y = F.pixel_shuffle(y, 2).permute(0, 2, 3, 1)
        return torch.round(y).to(torch.uint8), y


def graph(top: float | None = 255.0, outputs: int = 1) -> Any:
    model = to_onnx(Enlarging(top).eval(), [torch.zeros(1, 10, 12, 3, dtype=torch.uint8)], ["frame"],
                    ["image", "levels"])
    del model.graph.output[outputs:]
    return model


def run(model: Any, frame: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"frame": frame})


@pytest.mark.parametrize(("told", "passes"), [
    ({}, ["QuantizeLinear", "DepthToSpace", "Transpose"]),
    ({"top": None}, ["QuantizeLinear", "DepthToSpace", "Transpose"]),
    ({"top": 200.0}, ["Clip", "QuantizeLinear", "DepthToSpace", "Transpose"]),
    ({"outputs": 2}, ["DepthToSpace", "Transpose", "QuantizeLinear"])],
    ids=["clipped", "bounded by a tanh", "another clip", "values that are wanted too"])
def test_the_picture_is_the_same_in_every_byte(told: dict[str, Any], passes: list[str]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 3), np.uint8)
    before, model = run(graph(**told), frame), graph(**told)
    assert early_bytes(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node][-len(passes):] == passes
    after = run(model, frame)
    for got, want in zip(after, before, strict=True):
        np.testing.assert_array_equal(got, want)
    assert len(np.unique(after[0])) > 10


def test_a_cast_that_cuts_off_is_left_alone() -> None:
    model = graph()
    rounding = next(node for node in model.graph.node if node.op_type == "Round")
    rounding.op_type = "Floor"
    before = model.SerializeToString()
    assert not early_bytes(model)
    assert model.SerializeToString() == before
