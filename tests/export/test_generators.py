"""Generators go the whole way: latents in, bytes out, the same picture wherever it is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for module in ("safetensors", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(module)

from epee.export.budget import Budget  # noqa: E402
from epee.export.exporting import export_bundle  # noqa: E402
from epee.export.generator import FusedGenerator  # noqa: E402
from epee.export.latents import TRUNCATED, LatentSupply  # noqa: E402
from epee.export.report import ExportReport  # noqa: E402
from epee.runtime import backends  # noqa: E402
from epee.runtime.bundle import Bundle  # noqa: E402
from epee.runtime.cli import main  # noqa: E402
from epee.runtime.errors import ConfigError, ExportError  # noqa: E402
from epee.runtime.manifest import Fit  # noqa: E402
from epee.runtime.scores import equal_share  # noqa: E402
from epee.runtime.verify import verify  # noqa: E402
from epee.train.checkpoint import GENERATOR, pack, write  # noqa: E402
from epee.train.networks.generator import Generator, GeneratorConfig  # noqa: E402

NAMES = ("cat", "dog", "ship")
BUDGET = Budget(frames=12, seconds=20, min_psnr=30)


def tiny(classes: int, size: int = 16) -> Generator:
    """A generator whose every layer does something, so that its pictures are full of contrast."""
    torch.manual_seed(5)
    network = Generator(GeneratorConfig(size=size, z=8, classes=classes, label=4, channels=(16, 16, 8, 8),
                                        convolutions=(1, 1, 1, 1)))
    with torch.no_grad():
        for block in network.blocks:
            block.convolutions[-1].weight.normal_(0, 0.05)
        network.last.weight.mul_(0.3)
    return network.eval()


def run_of(folder: Path, network: Generator, names: tuple[str, ...]) -> Path:
    """What a training leaves; its data is gone."""
    size = network.config.size
    write(folder / GENERATOR, pack("ema", network.state_dict()), {
        "task": "generate", "network": network.config, "size_wh": (size, size), "names": names, "colours": (),
        "ignore": 255, "fit": Fit(), "data": "/gone/pictures.zip",
        "provenance": {"preset": "tiny", "half": "a", "loss": "relativistic"}})
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(tmp_path_factory.mktemp("labelled"), tiny(3), NAMES)


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """In every precision."""
    out = tmp_path_factory.mktemp("bundles") / "tiny.epee"
    return export_bundle(run, out, precisions=("fp16", "int8-s8s8"), budget=BUDGET)


def feeds(count: int, truncation: float = 1.0) -> dict[str, Any]:
    z = np.random.default_rng(9).standard_normal((count, 8)).astype(np.float32)
    return {"z": z, "label": np.arange(count) % 3, "truncation": np.full(count, truncation, np.float32)}


def made(bundle: Path, given: dict[str, Any], backend: str = "onnxruntime", variant: str = "fp32") -> np.ndarray:
    with backends.open_session(Bundle.open(bundle), backend, variant, threads=1) as session:
        return np.array(session.run(given)["image"])


def test_the_bundle_describes_itself(exported: ExportReport) -> None:
    manifest = Bundle.open(exported.bundle).manifest
    assert (manifest.task, manifest.classes, manifest.colours, manifest.ignore) == ("generate", NAMES, (), None)
    assert {(s.name, s.shape, s.dtype) for s in manifest.inputs} == {
        ("z", (None, 8), "float32"), ("label", (None,), "int64"), ("truncation", (None,), "float32")}
    assert [(s.name, s.shape, s.dtype, s.pixel) for s in manifest.outputs] == [
        ("image", (None, 16, 16, 3), "uint8", "bgr8")]
    facts = manifest.provenance
    assert (facts["half"], facts["loss"], facts["parity_frames"]) == ("a", "relativistic", "drawn latents")
    assert facts["macs"] > facts["parameters"]
    assert (facts["exam"], facts["calibration"]) == ("drawn latents, against the float pictures",
                                                     "12 frames of latents drawn by seed 4")
    assert len(manifest.extra["calibration"]["sha256"]) == 64


def test_every_row_says_how_near_its_pictures_are(exported: ExportReport) -> None:
    rows = {row.variant: row for row in exported.rows}
    assert (rows["fp32"].status, rows["fp16"].status, rows["int8-s8s8"].status) == ("written", "written", "unmeasured")
    assert rows["fp32"].parity["equal"] >= 0.9995
    assert rows["fp32"].parity["psnr"] >= rows["fp16"].parity["psnr"] >= rows["int8-s8s8"].parity["psnr"] >= 30
    assert rows["fp16"].bytes < 0.7 * rows["fp32"].bytes
    json.dumps(exported.to_json(), allow_nan=False)


def test_goldens_are_drawn_of_all_labels_and_some_are_truncated(exported: ExportReport) -> None:
    goldens = Bundle.open(exported.bundle).goldens()
    assert set(goldens["label"]) == {0, 1, 2}
    assert set(goldens["truncation"]) == {np.float32(1), np.float32(TRUNCATED)}
    assert len(np.unique(goldens["image"])) > 100


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_variant_answers_its_goldens(exported: ExportReport, backend: str) -> None:
    found = backends.load(backend).probe()
    if not found.available:
        pytest.skip(found.reason)
    bundle = Bundle.open(exported.bundle)
    verdict = verify(bundle, [backend], [v.name for v in bundle.manifest.variants])
    assert verdict.problems == []
    assert len(verdict.checked) == 3


def test_float_backends_give_the_same_pictures(exported: ExportReport) -> None:
    pytest.importorskip("openvino")
    given = feeds(32)
    here, there = (made(exported.bundle, given, backend) for backend in ("onnxruntime", "openvino"))
    assert equal_share(here, there, 1) >= 0.999
    assert here.std() > 20


def test_it_makes_what_torch_makes_one_by_one_or_together(exported: ExportReport) -> None:
    given = feeds(5, 0.7)
    together = made(exported.bundle, given)
    alone = np.concatenate([made(exported.bundle, {k: v[i:i + 1] for k, v in given.items()}) for i in range(5)])
    with torch.no_grad():
        want = FusedGenerator(tiny(3))(*(torch.from_numpy(given[name]) for name in ("z", "truncation", "label")))[0]
    assert together.shape == (5, 16, 16, 3)
    assert equal_share(together, alone, 1) >= 0.999
    assert equal_share(together, want.numpy(), 1) >= 0.999


def test_truncation_moves_pictures_towards_their_labels_mean(exported: ExportReport) -> None:
    """At 0 the latent no longer counts, the label does; between, pictures come nearer to each other."""
    same = {**feeds(12), "label": np.zeros(12, np.int64)}
    spreads = [made(exported.bundle, {**same, "truncation": np.full(12, t, np.float32)}).std(0).mean()
               for t in (0.0, 0.5, 1.0)]
    assert spreads[0] == 0 < spreads[1] < spreads[2]
    means = made(exported.bundle, {**feeds(3), "truncation": np.zeros(3, np.float32)})
    assert not np.array_equal(means[0], means[1])


def test_without_labels_there_is_no_label(tmp_path: Path) -> None:
    report = export_bundle(run_of(tmp_path, tiny(0, size=8), ()), tmp_path / "plain.epee")
    manifest = Bundle.open(report.bundle).manifest
    assert ([s.name for s in manifest.inputs], manifest.classes) == (["z", "truncation"], ())
    given = feeds(3)
    del given["label"]
    assert made(report.bundle, given).shape == (3, 8, 8, 3)
    assert verify(Bundle.open(report.bundle), ["onnxruntime"]).ok


def test_int8_that_is_too_far_from_the_float_pictures_is_refused(run: Path, tmp_path: Path) -> None:
    report = export_bundle(run, tmp_path / "b.epee", precisions=["fp16", "int8-s8s8"],
                           budget=Budget(frames=4, seconds=1e-6, min_psnr=99))
    rows = {row.variant: row for row in report.rows}
    assert rows["int8-s8s8"].status == "refused"
    assert rows["int8-s8s8"].search[0].decision.endswith("dB, less than 99")
    assert rows["fp16"].status == "refused"
    assert rows["fp16"].reason.endswith("dB, less than 99")
    assert set(Bundle.open(report.bundle).manifest.extra["refused"]) == {"fp16", "int8-s8s8"}


def test_the_table_says_the_psnr(exported: ExportReport) -> None:
    from epee.export.commands import render

    head, first, *_ = render(exported).splitlines()
    assert head.split()[3:6] == ["equal", "PSNR", "drop"]
    assert float(first.split()[5]) > 40


def test_pictures_and_sizes_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, line in ((["--calibration", "x.zip"], "--calibration of a generator: got 'x.zip', expected nothing"),
                          (["--data", "x.yaml"], "--data of a generator: got 'x.yaml', expected nothing"),
                          (["--size", "64x64"],
                           "size of a network of task generate: got 64x64, expected 16x16, as it was trained")):
        assert main(["export", str(run), "--out", str(tmp_path / "b.epee"), *options]) == 1
        assert line in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises((ConfigError, ExportError)):
        export_bundle(run, tmp_path / "b.epee", data="x.yaml")


def test_samples_come_from_seeds_and_never_meet() -> None:
    supply = LatentSupply(8, 3)
    drawn = [supply.goldens(), supply.parity(None)[0], supply.held_out(None)[0], list(supply.calibration("", 5, False)
                                                                                         .samples)]
    seen = [sample["z"].tobytes() for samples in drawn for sample in samples]
    assert len(seen) == len(set(seen))
    assert [s["z"].tobytes() for s in supply.goldens()] == [s["z"].tobytes() for s in drawn[0]]
    assert supply.calibration("", 5, False).sha256 == supply.calibration("", 5, False).sha256
    assert len(LatentSupply(8, 30).calibration("", 5, False).samples) == 30  # every class is among them
