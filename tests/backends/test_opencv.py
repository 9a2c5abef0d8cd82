"""What only OpenCV does: one pool of threads a process, log lines of its own, precisions told by its layers."""

from pathlib import Path

import numpy as np
import pytest
from epee.runtime.backends import open_session
from epee.runtime.bundle import Bundle, save, sha256, writing
from epee.runtime.errors import BackendError
from epee.runtime.manifest import Manifest, TensorSpec, Variant

cv2 = pytest.importorskip("cv2")
HW = (32, 48)


def bundle_of(folder: Path, operator: str) -> Bundle:
    """A bundle of one float operator between picture and picture."""
    onnx = pytest.importorskip("onnx")
    kinds = onnx.TensorProto
    shape = ["N", *HW, 3]
    nodes = [onnx.helper.make_node("Cast", ["frame"], ["x"], to=kinds.FLOAT),
             onnx.helper.make_node(operator, ["x"], ["y"], "the_node"),
             onnx.helper.make_node("Cast", ["y"], ["image"], to=kinds.UINT8)]
    graph = onnx.helper.make_graph(nodes, "test", [onnx.helper.make_tensor_value_info("frame", kinds.UINT8, shape)],
                                   [onnx.helper.make_tensor_value_info("image", kinds.UINT8, shape)])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    specs = [TensorSpec(name, (None, *HW, 3), "uint8", "NHWC", "bgr8") for name in ("frame", "image")]
    frames = np.random.default_rng(0).integers(0, 256, (2, *HW, 3), np.uint8)
    with writing(folder / "one.epee") as temporary:
        file = temporary / "fp32.onnx"
        onnx.save(model, file)
        variant = Variant("fp32", file.name, "onnx", "fp32", sha256(file), file.stat().st_size)
        save(temporary, Manifest("one", "enhance", (specs[0],), (specs[1],), (variant,)),
             {"frame": frames, "image": frames})
    return Bundle.open(folder / "one.epee")


def test_threads_are_given_back(tiny_bundle: Path) -> None:
    before = cv2.getNumThreads()
    with open_session(Bundle.open(tiny_bundle), "opencv", threads=1):
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before
    with open_session(Bundle.open(tiny_bundle), "opencv"):
        assert cv2.getNumThreads() == before


def test_pictures_come_out_as_bytes(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (3, *HW, 3), np.uint8)
    with open_session(bundle_of(tmp_path, "Abs"), "opencv") as session:
        image = session.run({"frame": frames})["image"]
    assert image.dtype == np.uint8
    assert np.array_equal(image, frames)


def test_what_it_cannot_compute_is_one_error_and_no_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    threads = cv2.getNumThreads()
    with pytest.raises(BackendError, match=r"backend 'opencv:cpu' does not open fp32.onnx: got .*Bernoulli"):
        open_session(bundle_of(tmp_path, "Bernoulli"), "opencv", threads=1)
    assert cv2.getNumThreads() == threads
    assert capfd.readouterr().err == ""
