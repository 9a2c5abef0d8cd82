"""Animators go the whole way: noise and a state in, a frame and the next state out, and streams that close."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
for module in ("safetensors", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(module)

import epee  # noqa: E402
import onnx  # noqa: E402
from epee.export.budget import Budget  # noqa: E402
from epee.export.exam import Mark  # noqa: E402
from epee.export.exporting import export_bundle  # noqa: E402
from epee.export.picture_exam import flicker  # noqa: E402
from epee.export.report import ExportReport  # noqa: E402
from epee.runtime import backends  # noqa: E402
from epee.runtime.bundle import Bundle  # noqa: E402
from epee.runtime.cli import main  # noqa: E402
from epee.runtime.errors import ExportError  # noqa: E402
from epee.runtime.manifest import Fit  # noqa: E402
from epee.runtime.scores import psnr  # noqa: E402
from epee.runtime.verify import verify  # noqa: E402
from epee.runtime.walks import Noise  # noqa: E402
from epee.train.checkpoint import GENERATOR, pack, write  # noqa: E402
from epee.train.networks.animator import Animator, AnimatorConfig  # noqa: E402
from epee.train.networks.generator import GeneratorConfig  # noqa: E402

ORT = ("--backend", "onnxruntime", "--threads", "1")


def tiny() -> Animator:
    """An animator whose pictures are full of contrast."""
    torch.manual_seed(5)
    network = Animator(AnimatorConfig(GeneratorConfig(size=16, z=8, channels=(16, 16, 8), convolutions=(1, 1, 1)),
                                      memory=(3.0, 12.0), longest=20.0))
    with torch.no_grad():
        for block in network.generator.blocks:
            block.convolutions[-1].weight.normal_(0, 0.05)
        network.generator.last.weight.mul_(0.3)
    return network.eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves; its data is gone."""
    folder, network = tmp_path_factory.mktemp("run"), tiny()
    write(folder / GENERATOR, pack("ema", network.state_dict()), {
        "task": "animate", "network": network.config, "size_wh": (16, 16), "names": (), "colours": (), "ignore": 255,
        "fit": Fit(), "data": "/gone/clips", "provenance": {"preset": "tiny", "frames": 6}})
    return folder


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """In every precision."""
    return export_bundle(run, tmp_path_factory.mktemp("bundles") / "tiny.epee", precisions=("fp16", "int8-s8s8"),
                         budget=Budget(frames=32, seconds=20, min_psnr=30, max_flicker=0.02))


def torch_stream(count: int, seed: int) -> list[np.ndarray]:
    """Frames of a stream as torch makes them."""
    network, noise, frames = tiny(), Noise(seed, 16, 1), []
    state = torch.zeros(1, network.config.state)
    with torch.no_grad():
        for i in range(count):
            picture, state = network(torch.from_numpy(noise.latents(i)), state)
            frames.append(((picture + 1) * 127.5).round()[0].permute(1, 2, 0).numpy())
    return frames


def test_the_bundle_describes_itself_and_what_it_carries(exported: ExportReport) -> None:
    manifest = Bundle.open(exported.bundle).manifest
    assert [(s.name, s.shape, s.dtype) for s in manifest.inputs] == [
        ("z", (None, 16), "float32"), ("truncation", (None,), "float32"), ("state", (None, 17), "float32")]
    assert [(s.name, s.shape) for s in manifest.outputs] == [("image", (None, 16, 16, 3)), ("next_state", (None, 17))]
    assert list(manifest.carried) == ["next_state"]
    assert manifest.task == "animate"
    assert manifest.provenance["exam"] == "drawn latents, against the float pictures"


def test_every_variant_is_near_and_does_not_flicker(exported: ExportReport) -> None:
    rows = {row.variant: row for row in exported.rows}
    assert (rows["fp32"].status, rows["fp16"].status, rows["int8-s8s8"].status) == ("written", "written", "unmeasured")
    assert rows["fp32"].parity["equal"] >= 0.9995
    assert 0 < rows["int8-s8s8"].parity["flicker"] < 0.02
    available = [name for name in ("onnxruntime", "openvino") if backends.load(name).probe().available]
    assert verify(Bundle.open(exported.bundle), available).problems == []


def test_what_is_carried_stays_float_in_int8(exported: ExportReport) -> None:
    model = onnx.load(exported.bundle / "int8-s8s8.onnx")
    leads, seen = {"next_state"}, []
    for node in reversed(model.graph.node):
        if leads & set(node.output):
            leads |= set(node.input)
            seen.append(node.op_type)
    assert "QuantizeLinear" not in seen
    assert "Mul" in seen
    assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)


@pytest.mark.parametrize("variant", ["fp32", "fp16", "int8-s8s8"])
def test_a_long_stream_stays_with_torch(exported: ExportReport, variant: str) -> None:
    """Errors do not add up: frame 200 is as near as frame 1."""
    with epee.open(exported.bundle, "onnxruntime", variant, threads=1) as model:
        made = [result.picture for result in model.stream("latents:noise?seed=4", limit=200)]
    want = torch_stream(200, 4)
    first, last = (psnr(np.stack(made[part]), np.stack(want[part]).astype(np.uint8))
                   for part in (slice(0, 20), slice(180, 200)))
    assert min(first, last) > (28 if variant.startswith("int8") else 45)
    assert abs(np.diff(np.stack(made).astype(int), axis=0)).mean((1, 2, 3)).min() > 0.2  # it never stands still
    assert np.std(np.stack(made), 0).mean() > 10


def test_a_loop_closes_and_a_stream_goes_on(exported: ExportReport) -> None:
    with epee.open(exported.bundle, "onnxruntime", "fp32", threads=1) as model:
        turn = [r.picture.astype(int) for r in model.stream("latents:noise?loop=20&grid=2x1", limit=41)]
        free = [r.picture.astype(int) for r in model.stream("latents:noise?grid=2x1", limit=41)]
        alone = [r.picture.astype(int) for r in model.stream("latents:noise", limit=41)]
    assert max(abs(turn[20] - turn[0]).max(), abs(turn[40] - turn[0]).max()) <= 1
    steps = [abs(b - a).mean() for a, b in pairwise(turn)]
    assert steps[19] < 2 * max(steps[:19])
    assert abs(free[20] - free[0]).mean() > 2
    assert max(abs(f[:, :16] - a).max() for f, a in zip(free, alone, strict=True)) <= 1  # a grid's tiles are streams


def test_the_command_moves_it_by_noise(exported: ExportReport, tmp_path: Path,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    command = ["generate", str(exported.bundle), "--seed", "4", "--precision", "fp32", *ORT]
    assert main([*command, "--sink", f"png:{tmp_path / 'a'}", "--frames", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"] == "noise"
    for i, want in enumerate(torch_stream(5, 4)):
        assert abs(cv2.imread(str(tmp_path / "a" / f"{i:06d}.png")).astype(int) - want).max() <= 1
    assert main([*command, "--sink", f"png:{tmp_path / 'b'}", "--loop", "--frames", "12"]) == 0
    assert len(list((tmp_path / "b").iterdir())) == 12
    assert main([*command, "--sink", "null", "--walk", "slerp", "--frames", "3"]) == 0


def test_flicker_is_what_changes_from_frame_to_frame() -> None:
    rng = np.random.default_rng(0)
    want = list(rng.integers(40, 200, (8, 16, 16, 3), np.uint8))
    assert flicker([image + 9 for image in want], want, 4) == 0  # wrong in one way all the time
    noisy = [image + rng.integers(0, 9, image.shape, np.uint8) for image in want]
    assert flicker(noisy, want, 4) > 0.01
    jump = [image + np.uint8(20 * (i >= 4)) for i, image in enumerate(want)]
    assert (flicker(jump, want, 4), flicker(jump, want, 8) > 0.02) == (0, True)  # another stream begins there
    assert Budget().refuses(Mark(0.006, {"psnr": 45.0, "flicker": 0.02})) == "flicker 0.0200, more than 0.01"


def test_another_size_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="size of a network of task animate: got 64x64, expected 16x16"):
        export_bundle(run, tmp_path / "b.epee", size_wh=(64, 64))
