"""A real tiny network with batch norm that does something, its checkpoint, and its bundle, each made once."""

from __future__ import annotations

import copy
import functools
import importlib.util
from pathlib import Path
from typing import Any

import pytest

NAMES = ("sky", "wall", "road", "car")
COLOURS = ((10, 20, 30), (40, 50, 60), (70, 80, 90), (100, 110, 120))
SIZE_WH = (96, 64)
TRAIN_STEPS = 40


@pytest.fixture(scope="session")
def network() -> Any:
    """A Segmenter in eval mode, trained for a second, so that its answers have margins. Tests leave it as it is."""
    torch = pytest.importorskip("torch")
    import numpy as np
    from epee.runtime.street import StreetDataset
    from epee.train.networks.segmenter import Segmenter, SegmenterConfig

    torch.manual_seed(3)
    net = Segmenter(SegmenterConfig(classes=4, stem=8, quarter=8, eighth=16, sixteenth=16, dilations=(1, 2),
                                    decode8=16, decode4=8))
    split = StreetDataset("train", (96, 72), 8)
    images, labels = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*(split[i] for i in range(8)), strict=True))
    x, y = images.permute(0, 3, 1, 2) / 255, labels[:, 2::4, 2::4].long() % 4
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(TRAIN_STEPS):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net.eval()


@pytest.fixture(scope="session")
def make_run(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Writes a run folder as a training leaves it; network and facts can be replaced."""
    pytest.importorskip("safetensors")
    from epee.train.checkpoint import BEST, pack, write

    def make(net: Any = network, **facts: Any) -> Path:
        folder = tmp_path_factory.mktemp("run")
        write(folder / BEST, pack("ema", net.state_dict()), {
            "task": "segment", "network": net.config, "size_wh": SIZE_WH, "names": NAMES, "colours": COLOURS,
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
def candidate(run_folder: Path) -> Any:
    """The tiny network, fused and traced."""
    pytest.importorskip("onnxscript")
    from epee.export.segmenter import from_trained
    from epee.train.checkpoint import load_trained

    return from_trained(load_trained(run_folder), "tiny")


@pytest.fixture(scope="session")
def hard_network(network: Any) -> Any:
    """The same answers in float, and one tensor whose channels lie a thousandfold apart."""
    torch = pytest.importorskip("torch")

    net = copy.deepcopy(network)
    norm, following = net.join4[1], net.head
    scale = torch.ones(len(norm.weight))
    scale[following.weight.abs().sum((0, 2, 3)).argsort()[:4]] = 1000  # the channels that say least shout
    with torch.no_grad():  # a ReLU lies between: it passes positive factors on
        norm.weight.mul_(scale)
        norm.bias.mul_(scale)
        following.weight.div_(scale[None, :, None, None])
    return net


@pytest.fixture(scope="session")
def hard(hard_network: Any, make_run: Any) -> Any:
    """The hard network as a candidate."""
    from epee.export.segmenter import from_trained
    from epee.train.checkpoint import load_trained

    return from_trained(load_trained(make_run(hard_network)), "hard")


@pytest.fixture(scope="session")
def labelled(candidate: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset YAML: street stills of 96x64, 12 to train and 12 to validate on, labelled with torch's own answers."""
    import cv2
    from epee.runtime.street import StreetDataset

    root = tmp_path_factory.mktemp("labelled")
    for split in ("train", "val"):
        stills = StreetDataset(split, (192, 128), 12)
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for i in range(12):
            frame = cv2.resize(stills[i][0], SIZE_WH, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(root / "images" / split / f"{i:02d}.png"), frame)
            mask = candidate.answer({"frame": frame[None]})["mask"][0]
            cv2.imwrite(str(root / "masks" / split / f"{i:02d}.png"), mask)
    file = root / "stills.yaml"
    file.write_text(f"train: images/train\nval: images/val\nnames: [{', '.join(NAMES)}]\n")
    return file


@pytest.fixture(scope="session")
def frames() -> Any:
    """Five stills, (5, 64, 96, 3) uint8 BGR."""
    import cv2
    import numpy as np
    from epee.runtime.street import StreetDataset

    split = StreetDataset("test", (192, 128), 5)
    return np.stack([cv2.resize(split[i][0], SIZE_WH, interpolation=cv2.INTER_AREA) for i in range(5)])


@pytest.fixture(scope="session")
def foreign_networks() -> Any:
    """The module of that name beside this file: networks as other people write them."""
    for module in ("torch", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    spec = importlib.util.spec_from_file_location("foreign_networks", Path(__file__).with_name("foreign_networks.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def foreign_file(foreign_networks: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gives (path of an ONNX file, what a user says of it as keywords) of `prelu`, `pyramid`, `style` or `hand`."""
    folder, mean, std, half = tmp_path_factory.mktemp("foreign"), (0.48, 0.45, 0.4), (0.23, 0.22, 0.225), (0.5,) * 3

    @functools.cache
    def make(name: str) -> tuple[Path, dict[str, Any]]:
        said: dict[str, Any] = {"task": "segment", "classes": NAMES}
        path, f = folder / f"{name}.onnx", foreign_networks
        if name == "hand":
            return f.write_by_hand(path), {**said, "scale": 1.0, "colour_order": "bgr"}
        if name == "prelu":
            network = f.trained(f.PReLUCoder(), mean, std)
            return f.write(network, path, sizes_free=True), {**said, "mean": mean, "std": std}
        if name == "pyramid":
            return f.write(f.trained(f.PyramidPool()), path, opset=17), said
        return f.write(f.trained(f.StyleNet(), half, half), path, free=False), {**said, "mean": half, "std": half}

    return make
