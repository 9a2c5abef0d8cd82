"""Translators and enhancers go the whole way: bytes in, bytes out, frames of any size in tiles without a seam."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
for module in ("safetensors", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(module)

import epee  # noqa: E402
from epee.export.budget import Budget  # noqa: E402
from epee.export.exporting import export_bundle  # noqa: E402
from epee.export.pictures import FusedPictures, PictureSupply  # noqa: E402
from epee.runtime import backends  # noqa: E402
from epee.runtime.bundle import Bundle  # noqa: E402
from epee.runtime.cli import main  # noqa: E402
from epee.runtime.errors import ConfigError, DataError, ExportError  # noqa: E402
from epee.runtime.manifest import Fit, Tiling  # noqa: E402
from epee.runtime.scores import equal_share  # noqa: E402
from epee.runtime.street import StreetDataset  # noqa: E402
from epee.runtime.tiles import Tiles  # noqa: E402
from epee.runtime.verify import verify  # noqa: E402
from epee.train.checkpoint import GENERATOR, pack, write  # noqa: E402
from epee.train.networks.translator import Translator, TranslatorConfig  # noqa: E402
from epee.train.networks.upscaler import Upscaler, UpscalerConfig  # noqa: E402

SIZE_WH, LARGE_WH = {"enhance": (64, 48), "translate": (96, 96)}, (192, 140)
"""Sizes of the bundles, and of a frame that is larger than both."""


def tiny(task: str) -> Any:
    """A network whose every layer does something and that keeps to the middle of the grey levels."""
    torch.manual_seed(5)
    network: Any = (Upscaler(UpscalerConfig(2, 8, 2, cell=2)) if task == "enhance" else
                    Translator(TranslatorConfig((8, 8, 16), 1)))
    with torch.no_grad():
        if task == "enhance":
            network.last.weight.normal_(0, 0.02)
        else:
            for block in (*network.middle, *network.up):
                block.convolutions[-1].weight.normal_(0, 0.1)
            network.last.weight.mul_(0.3)
    return network.eval()


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of a street, each beside its own negative: what a translator learns from."""
    folder = tmp_path_factory.mktemp("stills")
    split = StreetDataset("train", (192, 144), 12)
    for i in range(12):
        cv2.imwrite(str(folder / f"{i:02d}.png"), np.hstack([255 - split[i][0], split[i][0]]))
    return folder


@pytest.fixture(scope="module")
def run_of(stills: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder as a training of that task leaves it."""
    def make(task: str, data: str = str(stills)) -> Path:
        folder, network = tmp_path_factory.mktemp(task), tiny(task)
        halves = {"target": None, "input": "right"} if task == "translate" else {}
        write(folder / GENERATOR, pack("ema", network.state_dict()), {
            "task": task, "network": network.config, "size_wh": SIZE_WH[task], "names": (), "colours": (),
            "ignore": 255, "fit": Fit("crop", "area"), "data": data, "provenance": {"preset": "tiny", **halves}})
        return folder

    return make


@pytest.fixture(scope="module")
def exported(run_of: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The reports of both tasks in every precision, by task."""
    out = tmp_path_factory.mktemp("bundles")
    return {task: export_bundle(run_of(task), out / f"{task}.epee", precisions=("fp16", "int8-s8s8"),
                                budget=Budget(frames=6, seconds=20, min_psnr=35, min_ssim=0.9)) for task in SIZE_WH}


@pytest.fixture(scope="module")
def large() -> np.ndarray:
    """A frame that is larger than the bundles' own, (140, 192, 3) uint8 BGR."""
    return np.ascontiguousarray(StreetDataset("test", (192, 144), 1)[0][0][:LARGE_WH[1]])


def whole(task: str, frame: np.ndarray) -> np.ndarray:
    """What torch makes of the whole frame."""
    with torch.no_grad():
        return FusedPictures(tiny(task), folded=False)(torch.from_numpy(frame[None]))[0][0].numpy()


@pytest.mark.parametrize("task", SIZE_WH)
def test_the_bundle_describes_itself(exported: Any, task: str, stills: Path) -> None:
    manifest, ((w, h), scale) = Bundle.open(exported[task].bundle).manifest, (SIZE_WH[task], 2 - (task == "translate"))
    assert (manifest.task, manifest.classes, manifest.ignore) == (task, (), None)
    assert [(s.name, s.shape, s.dtype, s.pixel) for s in (*manifest.inputs, *manifest.outputs)] == [
        ("frame", (None, h, w, 3), "uint8", "bgr8"), ("image", (None, scale * h, scale * w, 3), "uint8", "bgr8")]
    network = tiny(task)
    assert manifest.tiling == Tiling(network.reach, 4 if task == "translate" else 2)
    assert manifest.fit.mode == ("tile" if task == "enhance" else "crop")
    facts = manifest.provenance
    assert (facts["scale"], facts["parity_frames"]) == (scale, stills.name)
    assert facts["exam"] == f"{stills.name}, against the float pictures"
    assert facts["macs"] > facts["parameters"] == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("task", SIZE_WH)
def test_every_variant_is_near_torch_and_answers_its_goldens(exported: Any, task: str) -> None:
    rows = {row.variant: row for row in exported[task].rows}
    assert (rows["fp32"].status, rows["fp16"].status, rows["int8-s8s8"].status) == ("written", "written", "unmeasured")
    assert rows["fp32"].parity["equal"] >= 0.9995
    assert rows["fp32"].parity["psnr"] >= rows["fp16"].parity["psnr"] >= rows["int8-s8s8"].parity["psnr"] >= 35
    assert rows["int8-s8s8"].parity["ssim"] > 0.9
    bundle = Bundle.open(exported[task].bundle)
    available = [name for name in ("onnxruntime", "openvino") if backends.load(name).probe().available]
    assert verify(bundle, available).problems == []


def test_the_fold_changes_nothing_but_rounding(large: np.ndarray) -> None:
    given = torch.from_numpy(large[None])
    with torch.no_grad():
        folded, plain = (FusedPictures(tiny("enhance"), folded=on)(given) for on in (True, False))
    assert float((folded[1] - plain[1]).abs().max()) < 0.01
    assert equal_share(folded[0].numpy(), plain[0].numpy(), 0) > 0.999
    assert plain[0].float().std() > 20


@pytest.mark.parametrize("task", SIZE_WH)
def test_the_network_sees_as_far_as_it_says(task: str) -> None:
    """The output's middle pixel depends on no input pixel beyond the reach, and on one not much nearer."""
    network = tiny(task).train()  # without the clip, which has no gradient outside
    x = torch.rand(1, 3, 160, 160, requires_grad=True)
    y = network(x)
    middle = y.shape[-1] // 2
    y[0, :, middle, middle].sum().backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0).nonzero()
    far = int((seen - 80).abs().max())
    assert network.reach - getattr(network, "step", 1) - 3 <= far <= network.reach


@pytest.mark.parametrize("task", SIZE_WH)
def test_tiles_give_what_the_whole_frame_would(exported: Any, large: np.ndarray, task: str) -> None:
    """Seam-free: within a grey level everywhere but where the frame was continued to fill the last tile."""
    with epee.open(exported[task].bundle, "onnxruntime", "fp32", threads=1) as model:
        reach = model.manifest.tiling.reach
        assert SIZE_WH[task][1] > 2 * reach + 1
        result = model(large, tiles=Tiles(2 * reach + 1))
        want = whole(task, large)
        assert result.picture.shape == want.shape
        border = 2 * reach
        inside = (slice(None, want.shape[0] - border), slice(None, want.shape[1] - border))
        assert equal_share(result.picture[inside], want[inside], 1) >= 0.9999
        assert want.std() > 10
        assert {"tile", "infer", "join"} <= set(result.times_ms)
        assert "fit" not in result.times_ms
        edges = model(large, tiles=Tiles(0)).picture  # without an overlap there are seams, so the test can fail
        assert equal_share(edges[inside], want[inside], 1) < 0.9999


def test_an_enhancer_takes_any_frame_and_gives_it_twice_as_large(exported: Any, large: np.ndarray) -> None:
    with epee.open(exported["enhance"].bundle, "onnxruntime", "fp32", threads=1) as model:
        result = model(large)
        assert (result.picture.shape, result.size_hw) == ((280, 384, 3), (280, 384))
        assert equal_share(result.picture, whole("enhance", large), 1) >= 0.9999  # its own overlap is enough
        small = model(large[:30, :50])
        assert small.picture.shape == (60, 100, 3)
        own = np.ascontiguousarray(large[:48, :64])
        np.testing.assert_array_equal(model(own).picture, model.session.run({"frame": own[None]})["image"][0])
        with pytest.raises(ConfigError, match="overlap of tiles: got 64, expected at most 46"):
            model(large, tiles=Tiles(64))


def test_a_translator_fits_frames_unless_tiles_are_asked_for(exported: Any, large: np.ndarray) -> None:
    with epee.open(exported["translate"].bundle, "onnxruntime", "fp32", threads=1) as model:
        assert model(large).picture.shape == (96, 96, 3)
        assert model(large, tiles=Tiles()).picture.shape == (140, 192, 3)


def test_the_command_streams_what_comes_out(exported: Any, large: np.ndarray, tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / "in" / f"{i}.png"), np.roll(large, 9 * i, 1))
    for task, words, size_wh in (("enhance", [], (384, 280)), ("translate", ["--overlap", "40"], LARGE_WH)):
        sinks = [f"png:{tmp_path / task}", str(tmp_path / f"{task}.mp4"), f"jsonl:{tmp_path / task}.jsonl"]
        assert main(["run", str(exported[task].bundle), "--source", str(tmp_path / "in"), "--json", "--backend",
                     "onnxruntime", "--precision", "fp32", *(w for s in sinks for w in ("--sink", s)), *words]) == 0
        stats = json.loads(capsys.readouterr().out)
        assert (stats["frames"], stats["failed"]) == (3, [])
        assert {"tile", "join"} <= set(stats["stages_ms"])
        pictures = [cv2.imread(str(tmp_path / task / f"{i}.png")) for i in range(3)]
        assert {(p.shape[1], p.shape[0]) for p in pictures} == {size_wh}
        assert equal_share(pictures[0], whole(task, large), 1) > 0.95
        video = cv2.VideoCapture(str(tmp_path / f"{task}.mp4"))
        assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == size_wh
        events = [json.loads(line) for line in (tmp_path / f"{task}.jsonl").read_text().splitlines()]
        assert [event["shares"] for event in events] == [{}, {}, {}]


def test_a_page_shows_the_picture_alone(exported: Any, large: np.ndarray) -> None:
    pytest.importorskip("starlette")
    from epee.runtime.sinks import SinkInfo
    from epee.runtime.sinks.web.feed import Feed
    from epee.runtime.sinks.web.packet import pack

    with epee.open(exported["enhance"].bundle, "onnxruntime", "fp32", threads=1) as model:
        result, feed = model(large), Feed("in", SinkInfo("in", model.manifest))
        feed.take(result)
        packet = pack(result, "in", 1920, 90)
        header = json.loads(packet[4:4 + int.from_bytes(packet[:4], "big")])
        jpeg = packet[4 + int.from_bytes(packet[:4], "big"):]
        assert (header["size"], header["shares"], header["jpeg"]) == ([384, 280], {}, len(jpeg))
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape == (280, 384, 3)
        assert (feed.facts()["classes"], feed.facts()["task"], feed.stats()["size"]) == ([], "enhance", [384, 280])


def test_the_half_that_goes_in_is_measured_and_calibrated_on(stills: Path) -> None:
    supply = PictureSupply((96, 96), Fit("crop", "area"), str(stills), "right")
    negatives = PictureSupply((96, 96), Fit("crop", "area"), str(stills), "left")
    right, left = (s.calibration(str(stills), 4, True) for s in (supply, negatives))
    for a, b in zip(right.samples, left.samples, strict=True):
        np.testing.assert_allclose(a["frame"].astype(int) + b["frame"], 255, atol=1)
    assert (len(right.samples), len(right.held_back), supply.parity(None)[1]) == (4, 4, stills.name)
    assert not {s["frame"].tobytes() for s in right.samples} & {s["frame"].tobytes() for s in right.held_back}
    gone = PictureSupply((96, 96), Fit("crop", "area"), "/gone", "right").parity(None)
    assert gone[1] == "synthetic:street"


def test_a_size_of_its_own_and_what_is_refused(run_of: Any, exported: Any, large: np.ndarray, tmp_path: Path) -> None:
    report = export_bundle(run_of("enhance"), tmp_path / "wide.epee", size_wh=(100, 40))
    assert Bundle.open(report.bundle).manifest.outputs[0].shape == (None, 80, 200, 3)
    with pytest.raises(ExportError, match="size: got 8x8, expected 16x16 or more"):
        export_bundle(run_of("enhance"), tmp_path / "b.epee", size_wh=(8, 8))
    with pytest.raises(ExportError, match="calibration data: got none"):
        export_bundle(run_of("enhance", "/gone"), tmp_path / "b.epee", precisions=["int8"])
    with pytest.raises(DataError, match="No such file"):
        export_bundle(run_of("enhance"), tmp_path / "b.epee", data=str(tmp_path / "none.yaml"))
    strict = export_bundle(run_of("enhance"), tmp_path / "strict.epee", precisions=["int8-s8s8"],
                           budget=Budget(frames=4, seconds=1e-6, min_psnr=99))
    assert [row.status for row in strict.rows] == ["written", "refused"]
    assert "PSNR" in strict.rows[1].search[0].decision
    with epee.open("street-nano", "onnxruntime", threads=1) as model, \
            pytest.raises(DataError, match="says nothing of them"):
        model(large, tiles=Tiles())
