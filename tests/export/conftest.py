"""A real tiny network with batch norm that does something, its checkpoint, and its bundle, each made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NAMES = ("sky", "wall", "road", "car")
COLOURS = ((10, 20, 30), (40, 50, 60), (70, 80, 90), (100, 110, 120))
SIZE_WH = (96, 64)


@pytest.fixture(scope="session")
def network() -> Any:
    """A Segmenter in eval mode. Tests leave it as it is."""
    torch = pytest.importorskip("torch")
    from epee.train.networks.segmenter import Segmenter, SegmenterConfig

    torch.manual_seed(3)
    net = Segmenter(SegmenterConfig(classes=4, stem=8, quarter=8, eighth=16, sixteenth=16, dilations=(1, 2), fuse=16))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    with torch.no_grad():
        for _ in range(4):
            net(torch.rand(4, 3, 64, 96) * torch.rand(4, 3, 1, 1))
    return net.eval()


@pytest.fixture(scope="session")
def make_run(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Writes a run folder as a training leaves it; facts can be replaced."""
    pytest.importorskip("safetensors")
    from epee.train.checkpoint import BEST, pack, write

    def make(**facts: Any) -> Path:
        folder = tmp_path_factory.mktemp("run")
        write(folder / BEST, pack("ema", network.state_dict()), {
            "task": "segment", "network": network.config, "size_wh": SIZE_WH, "names": NAMES, "colours": COLOURS,
            "ignore": 255, "fit": {"mode": "letterbox", "interpolation": "area"}, "data": "synthetic:street",
            "provenance": {"preset": "tiny", "seed": 3}, **facts})
        return folder

    return make


@pytest.fixture(scope="session")
def run_folder(make_run: Any) -> Path:
    return make_run()


@pytest.fixture(scope="session")
def exported(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The ExportReport of the tiny network."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    from epee.export.exporting import export_bundle

    return export_bundle(run_folder, tmp_path_factory.mktemp("bundles") / "tiny.epee")


@pytest.fixture(scope="session")
def fp32(exported: Any) -> Any:
    """The exported graph, `onnx.ModelProto`. Tests that change it take a copy."""
    import onnx

    return onnx.load(exported.bundle / "fp32.onnx")


@pytest.fixture(scope="session")
def frames() -> Any:
    """Five stills, (5, 64, 96, 3) uint8 BGR."""
    import cv2
    import numpy as np
    from epee.runtime.street import StreetDataset

    split = StreetDataset("test", (192, 128), 5)
    return np.stack([cv2.resize(split[i][0], SIZE_WH, interpolation=cv2.INTER_AREA) for i in range(5)])
