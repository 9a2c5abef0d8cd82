"""Networks that make pictures: parity within a grey level, INT8 by PSNR, SSIM and the distance of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")

from epee.export.budget import Budget  # noqa: E402
from epee.export.exam import Mark  # noqa: E402
from epee.export.exporting import answers_to  # noqa: E402
from epee.export.parity import THRESHOLDS, measure  # noqa: E402
from epee.export.picture_exam import MAX_PSNR, PictureExam, distance, picture_exams  # noqa: E402
from epee.export.quantize import Quantizer  # noqa: E402
from epee.export.samples import framed, stacked  # noqa: E402
from epee.export.schemes import SCHEMES  # noqa: E402
from epee.export.search import search  # noqa: E402
from epee.export.variants import Maker  # noqa: E402
from epee.runtime import bundle  # noqa: E402
from epee.runtime.bundle import Bundle  # noqa: E402
from epee.runtime.scores import psnr, ssim  # noqa: E402
from epee.runtime.verify import verify  # noqa: E402

from .picture_network import Residual, picture_candidate, without_inner  # noqa: E402

SIZE_HW = (64, 96)


@pytest.fixture(scope="module")
def maker_of_pictures() -> Any:
    return picture_candidate(SIZE_HW)


@pytest.fixture(scope="module")
def folder(frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stills as files, and mirrored, ten in all."""
    place = tmp_path_factory.mktemp("stills")
    for i, frame in enumerate([*frames, *(f[:, ::-1] for f in frames)]):
        cv2.imwrite(str(place / f"{i}.png"), np.ascontiguousarray(frame))
    return place


def features(image: np.ndarray) -> np.ndarray:
    """What the first layer of another network sees, averaged over cells of 8x8."""
    torch.manual_seed(7)
    with torch.no_grad():
        x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
        return torch.nn.functional.avg_pool2d(torch.relu(torch.nn.Conv2d(3, 8, 3)(x)), 8).numpy()


def test_parity_counts_grey_levels(maker_of_pictures, frames) -> None:
    candidate = maker_of_pictures
    parity = measure(candidate.model, candidate, framed(frames))
    assert parity.failure(THRESHOLDS["fp32"]) == ""
    assert 200 < parity.logit_scale <= 255
    bare = measure(candidate.model, without_inner(candidate), framed(frames))
    assert (bare.equal, bare.logit_max_diff, bare.logit_scale) == (parity.equal, None, None)
    assert bare.failure(THRESHOLDS["fp32"]) == ""
    assert bare.to_json()["logit_scale"] is None
    other = picture_candidate(SIZE_HW)
    wrong = measure(_shifted(other.model), candidate, framed(frames))
    assert "of the output's values equal the reference's" in wrong.failure(THRESHOLDS["fp32"])


def _shifted(model: Any) -> Any:
    """The model with another bias at its end: every picture is 3 levels brighter."""
    import onnx

    for weight in model.graph.initializer:
        if weight.name == "last.bias":
            weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + np.float32(3 / 255),
                                                         weight.name))
    return model


def test_every_precision_of_a_network_that_makes_pictures(maker_of_pictures, frames, folder: Path,
                                                          tmp_path: Path) -> None:
    candidate = maker_of_pictures
    samples = framed(frames)
    answers = answers_to(candidate, samples[:2])
    path = tmp_path / "residual.epee"
    with bundle.writing(path) as place:
        maker = Maker(place, candidate, samples, samples[:2], answers, Budget(frames=4), lambda line: None,
                      calibration=str(folder), features=features)
        made = [maker.full(), maker.half(), maker.int8(SCHEMES["int8-s8s8"])]
        bundle.save(place, candidate.manifest([m.variant for m in made if m.variant], maker.facts()),
                    {**stacked(samples[:2]), **answers})
    assert [(m.name, m.status) for m in made] == [("fp32", "written"), ("fp16", "written"), ("int8-s8s8", "unmeasured")]
    assert made[2].parity["psnr"] > 40
    assert made[2].parity["ssim"] > 0.98
    assert 0 < made[2].parity["features"] < 0.05
    opened = Bundle.open(path)
    assert [(t.name, t.shape, t.pixel) for t in opened.manifest.outputs] == [("image", (None, 64, 96, 3), "bgr8")]
    assert opened.manifest.provenance["exam"] == f"{folder.name}, against the float pictures"
    plan = opened.manifest.variant("int8-s8s8").extra["plan"]
    assert plan["psnr"] == made[2].parity["psnr"]
    assert verify(opened, ["onnxruntime"]).problems == []


def test_a_hard_network_breaks_the_budget_and_the_search_brings_it_back(frames) -> None:
    hard, plain = picture_candidate(SIZE_HW, shout=1000.0), picture_candidate(SIZE_HW)
    want, same = (answers_to(c, framed(frames))["image"].astype(int) for c in (plain, hard))
    assert np.abs(want - same).max() <= 1
    exams = picture_exams(hard, framed(frames), "stills", features)
    found = search(SCHEMES["int8-s8s8"], Quantizer(hard.model, framed(frames)), exams, Budget())
    assert found.steps[0].decision.startswith("PSNR ")
    assert found.reason == ""
    assert found.mark.numbers["psnr"] >= 40
    assert 0 < len(found.left_out) < 3


def test_an_exam_of_equal_pictures(maker_of_pictures, frames) -> None:
    exams = picture_exams(maker_of_pictures, framed(frames), "stills", features)
    assert exams.search.mark(maker_of_pictures.model) == Mark(0.0, {"psnr": MAX_PSNR, "ssim": 1.0, "features": 0.0})
    assert isinstance(exams.gate, PictureExam)
    assert (len(exams.search.samples), len(exams.gate.samples), exams.labelled) == (3, 2, False)


def test_each_limit_refuses_alone() -> None:
    budget = Budget()
    good = {"psnr": 45.0, "ssim": 0.99, "features": 0.01}
    assert budget.refuses(Mark(0.006, good)) == ""
    assert budget.refuses(Mark(0.018, {**good, "psnr": 35.0})) == "PSNR 35.0 dB, less than 40"
    assert budget.refuses(Mark(0.006, {**good, "ssim": 0.9})) == "SSIM 0.9000, less than 0.98"
    assert budget.refuses(Mark(0.006, {**good, "features": 0.2})) == "features differ by 0.2000, more than 0.05"
    assert budget.refuses(Mark(0.006)) == "more than 0.005"
    assert budget.excess(Mark(0.01, {**good, "psnr": 40.0})) == pytest.approx(1.0)


def test_ssim_and_features_tell_pictures_apart(frames) -> None:
    image = frames[0]
    noise = np.random.default_rng(0).integers(-40, 41, image.shape)
    noisy = np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)
    brighter = np.clip(image.astype(int) + 2, 0, 255).astype(np.uint8)
    assert ssim(image, image) == pytest.approx(1)
    assert ssim(image, noisy) < 0.7 < 0.95 < ssim(image, brighter)
    assert psnr(image, noisy) < psnr(image, brighter)
    assert ssim(image[..., 0], noisy[..., 0]) < 0.8
    assert distance(features(noisy), features(image)) > distance(features(brighter), features(image)) > 0
    assert distance(np.zeros(3), np.zeros(3)) == 0


def test_the_network_itself_is_from_bytes_to_bytes(frames) -> None:
    image, levels = Residual().eval()(torch.from_numpy(frames))
    assert (image.dtype, image.shape, levels.dtype) == (torch.uint8, (5, 64, 96, 3), torch.float32)
