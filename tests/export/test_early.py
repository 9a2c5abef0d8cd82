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
    """Bytes to bytes of twice the size, with values far outside of what bytes hold."""

    def __init__(self, top: float = 255.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.top, self.layer = top, nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.layer(frame.float().permute(0, 3, 1, 2)) * 2.0 + 100.5
        y = F.pixel_shuffle(y, 2).clamp(0.0, self.top).permute(0, 2, 3, 1)
        return torch.round(y).to(torch.uint8), y


def graph(top: float = 255.0, outputs: int = 1) -> Any:
    model = to_onnx(Enlarging(top).eval(), [torch.zeros(1, 10, 12, 3, dtype=torch.uint8)], ["frame"],
                    ["image", "levels"])
    del model.graph.output[outputs:]
    return model


def run(model: Any, frame: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"frame": frame})


def test_the_picture_is_the_same_in_every_byte() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 3), np.uint8)
    before, model = run(graph(), frame), graph()
    assert early_bytes(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node][-3:] == ["QuantizeLinear", "DepthToSpace", "Transpose"]
    after = run(model, frame)
    np.testing.assert_array_equal(after[0], before[0])
    assert (after[0].min(), after[0].max()) == (0, 255)
    assert len(np.unique(after[0])) > 10


@pytest.mark.parametrize("told", [{"top": 200.0}, {"outputs": 2}], ids=["another clip", "values that are wanted"])
def test_other_tails_are_left_alone(told: dict[str, Any]) -> None:
    model = graph(**told)
    before = model.SerializeToString()
    assert not early_bytes(model)
    assert model.SerializeToString() == before
