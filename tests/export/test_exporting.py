"""From a checkpoint to a bundle that a runtime opens; whole or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

for module in ("torch", "safetensors", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(module)

from epee.export import generator, segmenter  # noqa: E402
from epee.export.budget import Budget  # noqa: E402
from epee.export.exporting import export_bundle  # noqa: E402
from epee.export.frames import SCENES, FrameSupply  # noqa: E402
from epee.export.report import ExportReport, ParityError  # noqa: E402
from epee.export.tasks import task_of  # noqa: E402
from epee.runtime import backends  # noqa: E402
from epee.runtime.bundle import Bundle  # noqa: E402
from epee.runtime.errors import BundleError, DataError, ExportError  # noqa: E402
from epee.runtime.manifest import Fit  # noqa: E402
from epee.train.checkpoint import load_trained  # noqa: E402


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

    original = segmenter.without_output
    monkeypatch.setattr(segmenter, "without_output", without_output)


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
    assert data["lacking"] == {}


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


def test_parity_uses_scenes_where_the_training_data_is_gone(candidate) -> None:
    samples, where = dataclasses.replace(candidate.supply, data="/gone/streets.yaml").parity(None)
    assert (len(samples), where) == (SCENES, "synthetic:street")
    with pytest.raises(DataError, match="streets"):
        FrameSupply((64, 96), Fit()).parity("/gone/streets.yaml")


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
    ({"precisions": ("fp32", "int4")}, "precision: got int4, expected fp32, fp16, int8, int8-u8s8, int8-s8s8, "
     "int8-u8s8-rr; did you mean 'int8'?"),
    ({"precisions": ()}, "precision: got nothing, expected fp32, fp16, int8, int8-u8s8, int8-s8s8, int8-u8s8-rr; "
     "name some"),
    ({"size_wh": (480, 16)}, "size: got 480x16, expected 32x32 or more"),
])
def test_options_that_do_not_fit(run_folder: Path, tmp_path: Path, options, line: str) -> None:
    with pytest.raises(ExportError) as caught:
        export_bundle(run_folder, tmp_path / "b.epee", **options)
    assert str(caught.value) == line
    assert list(tmp_path.iterdir()) == []


def test_another_task_is_refused(run_folder: Path) -> None:
    trained = load_trained(run_folder)
    with pytest.raises(ExportError, match="task of the checkpoint: got segment, expected generate"):
        generator.from_trained(trained, "b")
    with pytest.raises(ExportError, match="got portray, expected segment, translate, enhance, generate, animate"):
        task_of("portray")


def test_what_is_no_bundle_is_not_overwritten(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="something that is no bundle is there"):
        export_bundle(run_folder, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.fixture(scope="module")
def every(make_run, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """The report of an export in every precision. INT8 of a network this small need not be faster than float."""
    out = tmp_path_factory.mktemp("bundles") / "every.epee"
    return export_bundle(make_run(data=str(labelled)), out, precisions=("fp16", "int8"),
                         budget=Budget(max_drop=0.2, frames=8))


def test_every_precision_has_a_row(every: ExportReport) -> None:
    rows = {row.variant: row for row in every.rows}
    assert list(rows) == ["fp32", "fp16", "int8-u8s8", "int8-s8s8"]
    assert (rows["fp32"].status, rows["fp16"].status) == ("written", "written")
    assert rows["fp16"].bytes < 0.65 * rows["fp32"].bytes
    assert rows["fp16"].parity["equal"] >= 0.995
    assert rows["int8-s8s8"].status == "unmeasured"
    assert "`epee tune` decides on the device" in rows["int8-s8s8"].reason
    u8s8 = rows["int8-u8s8"]
    assert u8s8.status in ("written", "refused", "unmeasured")
    assert u8s8.reason != ""
    assert u8s8.parity["drop"] <= 0.2
    json.dumps(every.to_json(), allow_nan=False)


def test_the_manifest_holds_the_search_and_the_calibration(every: ExportReport) -> None:
    manifest = Bundle.open(every.bundle).manifest
    assert manifest.variants[0].name == "fp32"
    variant = manifest.variant("int8-s8s8")
    assert variant.targets == ("tensorrt", "arm")
    assert variant.extra["plan"]["calibrator"] in ("minmax", "percentile", "entropy")
    assert [step["step"] for step in variant.extra["search"]][-1] == "gate: the other half"
    record = manifest.extra["calibration"]
    assert record["source"] == "stills.yaml"
    assert len(record["frames"]) == 8
    assert len(record["sha256"]) == 64
    assert manifest.provenance["exam"] == "stills.yaml"


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_variant_answers_its_goldens(every: ExportReport, backend: str) -> None:
    from epee.runtime.verify import verify

    found = backends.load(backend).probe()
    if not found.available:
        pytest.skip(found.reason)
    verdict = verify(Bundle.open(every.bundle), [backend])
    assert verdict.problems == []
    assert {c.variant for c in verdict.checked} >= {v.name for v in Bundle.open(every.bundle).manifest.variants}


def test_int8_that_loses_too_much_is_refused_with_the_search(make_run, hard_network, labelled: Path,
                                                             tmp_path: Path) -> None:
    report = export_bundle(make_run(hard_network, data=str(labelled)), tmp_path / "b.epee", precisions=["int8-s8s8"],
                           budget=Budget(max_drop=0.1, seconds=1e-6, frames=4))
    row = report.rows[1]
    assert (row.status, row.file, row.bytes) == ("refused", "", 0)
    assert row.reason == "no plan within the budget was found in 1e-06 s"
    assert row.search[0].step == "minmax"
    manifest = Bundle.open(report.bundle).manifest
    assert [v.name for v in manifest.variants] == ["fp32"]
    assert manifest.extra["refused"]["int8-s8s8"]["reason"] == row.reason
    assert sorted(p.name for p in report.bundle.iterdir()) == ["fp32.onnx", "golden.npz", "manifest.json"]


def test_without_labels_the_float_masks_are_right(run_folder: Path, tmp_path: Path) -> None:
    """The training's classes are not the synthetic street's, so its labels cannot be used."""
    report = export_bundle(run_folder, tmp_path / "b.epee", precisions=["int8-s8s8"],
                           budget=Budget(max_drop=0.5, frames=4))
    assert report.rows[1].status == "unmeasured"
    assert Bundle.open(report.bundle).manifest.provenance["exam"] == "synthetic:street, without labels"


def test_no_calibration_data_is_an_error(make_run, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="calibration data: got none, expected a dataset YAML"):
        export_bundle(make_run(data="/gone/streets.yaml"), tmp_path / "b.epee", precisions=["int8"])
    assert list(tmp_path.iterdir()) == []


def test_an_export_interrupted_in_the_search_leaves_nothing(make_run, labelled: Path, tmp_path: Path) -> None:
    def interrupt(step: str) -> None:
        if step.startswith("int8-u8s8: minmax"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bundle(make_run(data=str(labelled)), tmp_path / "b.epee", precisions=["int8"],
                      budget=Budget(frames=4), say=interrupt)
    assert list(tmp_path.iterdir()) == []
