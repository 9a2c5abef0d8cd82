"""What many tests need: a real bundle, small enough to build in a blink, and a real video."""

import os
import signal
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from epee.runtime.bundle import save, sha256, writing
from epee.runtime.manifest import Manifest, TensorSpec, Variant

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's: networks as small as these lose more by waiting for a second
os.environ["EPEE_AUTOTUNE"] = "0"  # seconds at each first opening; its own tests turn it on
os.environ.setdefault("MPLCONFIGDIR", str(Path.home() / ".cache" / "matplotlib"))  # its list of fonts takes seconds
_CACHE = tempfile.TemporaryDirectory(prefix="epee-cache-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name  # what was tuned on this machine changes no test
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a suite in the background; what it starts shall take Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
TINY_HW = (72, 96)
TINY_CLASSES = ("blue", "green", "red", "dark")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter for 96x72 frames that names the strongest colour of a pixel: blue, green, red, or dark below 40."""
    onnx = pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("bundles") / "tiny.epee"
    frames = np.random.default_rng(0).integers(0, 256, (2, *TINY_HW, 3), np.uint8)
    with writing(path) as folder:
        onnx.save(_tiny_graph(onnx), folder / "fp32.onnx")
        variant = Variant("fp32", "fp32.onnx", "onnx", "fp32", sha256(folder / "fp32.onnx"),
                          (folder / "fp32.onnx").stat().st_size, targets=("cpu",))
        manifest = Manifest(
            "tiny", "segment", (TensorSpec("frame", (None, *TINY_HW, 3), "uint8", "NHWC", "bgr8"),),
            (TensorSpec("mask", (None, *TINY_HW), "uint8", "NHW", "class_id"),), (variant,), classes=TINY_CLASSES,
            colours=((0, 0, 255), (0, 255, 0), (255, 0, 0), (90, 90, 90)), ignore=255)
        save(folder, manifest, {"frame": frames, "mask": _reference(onnx, folder / "fp32.onnx", frames)})
    return path


def _tiny_graph(onnx: object) -> object:
    """Cast, transpose, a convolution over 2x2 blocks, bilinear resize back, argmax, cast."""
    from onnx import TensorProto, helper, numpy_helper

    h, w = TINY_HW
    weight = np.zeros((4, 3, 2, 2), np.float32)
    for channel in range(3):
        weight[channel, channel] = 0.25
    constants = {"weight": weight, "bias": np.array([0, 0, 0, 40], np.float32),
                 "sizes": np.array([1, 1, 2, 2], np.float32)}
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weight", "bias"], ["small"], strides=[2, 2]),
        helper.make_node("Resize", ["small", "", "sizes"], ["logits"], mode="linear"),
        helper.make_node("ArgMax", ["logits"], ["ids"], axis=1, keepdims=0),
        helper.make_node("Cast", ["ids"], ["mask"], to=TensorProto.UINT8)]
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["N", h, w, 3])],
        [helper.make_tensor_value_info("mask", TensorProto.UINT8, ["N", h, w])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)  # type: ignore[attr-defined]
    return model


def _reference(onnx: object, file: Path, frames: np.ndarray) -> np.ndarray:
    from onnx.reference import ReferenceEvaluator

    return np.asarray(ReferenceEvaluator(str(file)).run(None, {"frame": frames})[0])


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An H.264 MP4 of 160x120, 30 frames at 30000/1001 a second; frame i is grey level 5 i + 40, index first."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        noise = np.random.default_rng(0).integers(-9, 9, (120, 160, 3))
        for i in range(30):
            image = (5 * i + 40 + np.roll(noise, i, 1)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset YAML of three drives, `a_`, `b_` and `c_`, of 4 synthetic street scenes of 96x72 each, and 3 of val."""
    cv2, yaml = pytest.importorskip("cv2"), pytest.importorskip("yaml")
    from epee.runtime.dataset import open_dataset

    root = tmp_path_factory.mktemp("drives")
    scenes = {"train": [f"{drive}_{i}" for drive in "abc" for i in range(4)], "val": [f"v_{i}" for i in range(3)]}
    for split, stems in scenes.items():
        data = open_dataset("synthetic:street", split, size_wh=(96, 72), count=len(stems))
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for stem, i in zip(stems, range(len(stems)), strict=True):
            cv2.imwrite(str(root / "images" / split / f"{stem}.png"), data[i][0])
            cv2.imwrite(str(root / "masks" / split / f"{stem}.png"), data[i][1])
    described = {"train": "images/train", "val": "images/val", "names": dict(enumerate(data.names))}
    (root / "drives.yaml").write_text(yaml.safe_dump(described))
    return root / "drives.yaml"
