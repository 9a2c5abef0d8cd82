"""From a checkpoint to a bundle that a runtime opens; whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

for module in ("torch", "safetensors", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(module)

from epee.export import exporting  # noqa: E402
from epee.export.exporting import ExportReport, ParityError, export_bundle  # noqa: E402
from epee.runtime import backends  # noqa: E402
from epee.runtime.bundle import Bundle  # noqa: E402
from epee.runtime.errors import BundleError, DataError, ExportError  # noqa: E402
from epee.runtime.manifest import Fit  # noqa: E402


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports with weights that were exchanged on the way."""
    import onnx

    def without_output(model, name):
        model = original(model, name)
        for weight in model.graph.initializer:
            if weight.name == "network.head.weight":
                values = np.ascontiguousarray(onnx.numpy_helper.to_array(weight)[::-1])
                weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return model

    original = exporting.without_output
    monkeypatch.setattr(exporting, "without_output", without_output)


def test_the_bundle_describes_itself(exported: ExportReport) -> None:
    manifest = Bundle.open(exported.bundle).manifest
    assert (manifest.name, manifest.task, manifest.ignore) == ("tiny", "segment", 255)
    assert manifest.classes == ("sky", "wall", "road", "car")
    assert manifest.colours[1] == (40, 50, 60)
    assert manifest.fit == Fit("letterbox", "area")
    assert manifest.inputs[0].shape == (None, 64, 96, 3)
    assert (manifest.inputs[0].pixel, manifest.outputs[0].pixel) == ("bgr8", "class_id")
    facts = manifest.provenance
    assert (facts["preset"], facts["seed"], facts["parity_frames"]) == ("tiny", 3, "synthetic:street")
    assert facts["macs"] > facts["parameters"] > 1000


def test_the_variant_says_what_was_measured(exported: ExportReport) -> None:
    bundle = Bundle.open(exported.bundle)
    (variant,) = bundle.manifest.variants
    assert (variant.name, variant.file, variant.kind, variant.precision) == ("fp32", "fp32.onnx", "onnx", "fp32")
    assert variant.parity["equal"] >= 0.9995
    assert variant.parity["logit_max_diff"] <= 1e-3 * variant.parity["logit_scale"]
    assert {"epee", "torch", "onnx", "onnxruntime", "opset"} <= set(variant.built_with)
    assert bundle.file(variant).stat().st_size == variant.bytes


@pytest.mark.parametrize("backend", list(backends.BACKENDS))
def test_every_backend_answers_the_goldens(exported: ExportReport, backend: str) -> None:
    found = backends.load(backend).probe()
    if not found.available:
        pytest.skip(found.reason)
    bundle = Bundle.open(exported.bundle)
    goldens = bundle.goldens()
    assert goldens["frame"].shape == (4, 64, 96, 3)
    with backends.open_session(bundle, backend, threads=1) as session:
        mask = session.run({"frame": goldens["frame"]})["mask"]
    assert mask.dtype == np.uint8
    assert (mask == goldens["mask"]).mean() >= bundle.manifest.variants[0].tolerance.min_equal


def test_the_report(exported: ExportReport) -> None:
    data = exported.to_json()
    assert data["bundle"] == str(exported.bundle)
    (row,) = data["variants"]
    assert row["status"] == "written"
    assert row["bytes"] == (exported.bundle / row["file"]).stat().st_size
    assert set(row["parity"]) == {"equal", "logit_max_diff", "logit_scale", "frames"}


def test_another_size_and_pictures_of_a_data_set(run_folder: Path, tmp_path: Path) -> None:
    import cv2

    for i in range(3):
        for kind, shape in (("images", (50, 70, 3)), ("masks", (50, 70))):
            (tmp_path / kind / "val").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / kind / "val" / f"{i}.png"), np.full(shape, i, np.uint8))
    data = tmp_path / "streets.yaml"
    data.write_text("val: images/val\nnames: [sky, wall, road, car]\n")
    report = export_bundle(run_folder, tmp_path / "odd.epee", size_wh=(75, 50), data=str(data))
    manifest = Bundle.open(report.bundle).manifest
    assert manifest.inputs[0].size_hw == (50, 75)
    assert manifest.provenance["parity_frames"] == "streets.yaml"
    assert report.rows[0].parity["frames"] == 3


def test_a_named_data_set_must_be_there(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.yaml"):
        export_bundle(run_folder, tmp_path / "b.epee", data="nowhere.yaml")
    assert list(tmp_path.iterdir()) == []


def test_parity_uses_scenes_where_the_training_data_is_gone(make_run) -> None:
    from epee.train.checkpoint import load_trained

    trained = load_trained(make_run(data="/gone/streets.yaml"))
    assert exporting.parity_frames(trained, None, (64, 96)) is None


def test_parity_that_fails_writes_nothing(run_folder: Path, tmp_path: Path, breaking: None) -> None:
    with pytest.raises(ParityError, match=r"parity of variant 'fp32' does not hold: got 0\.") as caught:
        export_bundle(run_folder, tmp_path / "b.epee")
    assert list(tmp_path.iterdir()) == []
    report = caught.value.report
    assert report.bundle is None
    assert report.rows[0].status == "failed"
    assert "expected at least 0.9995" in report.rows[0].reason


def test_the_old_bundle_stays_when_an_export_is_interrupted(exported: ExportReport, run_folder: Path) -> None:
    def interrupt(step: str) -> None:
        if step == "parity":
            raise KeyboardInterrupt

    digest = Bundle.open(exported.bundle).digest()
    with pytest.raises(KeyboardInterrupt):
        export_bundle(run_folder, exported.bundle, say=interrupt)
    assert Bundle.open(exported.bundle).digest() == digest
    assert [p.name for p in exported.bundle.parent.iterdir()] == ["tiny.epee"]


@pytest.mark.parametrize(("options", "line"), [
    ({"precisions": ("fp32", "int8")}, "precision: got int8, expected fp32; this version of epee writes no other"),
    ({"precisions": ()}, "precision: got nothing, expected fp32; this version of epee writes no other"),
    ({"size_wh": (480, 16)}, "size: got 480x16, expected 32x32 or more"),
])
def test_options_that_do_not_fit(run_folder: Path, tmp_path: Path, options, line: str) -> None:
    with pytest.raises(ExportError) as caught:
        export_bundle(run_folder, tmp_path / "b.epee", **options)
    assert str(caught.value) == line
    assert list(tmp_path.iterdir()) == []


def test_another_task_is_refused(make_run, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="task of the checkpoint: got generate, expected segment"):
        export_bundle(make_run(task="generate"), tmp_path / "b.epee")


def test_what_is_no_bundle_is_not_overwritten(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="something that is no bundle is there"):
        export_bundle(run_folder, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
