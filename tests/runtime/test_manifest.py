"""The manifest: written and read without loss; newer writers may add, never change."""

import dataclasses
import json
from typing import Any

import pytest
from epee.runtime.errors import BundleError
from epee.runtime.manifest import Fit, Manifest, TensorSpec, Tolerance, Variant

MANIFEST = Manifest(
    name="m", task="segment",
    inputs=(TensorSpec("frame", (None, 48, 64, 3), "uint8", "NHWC", "bgr8"),),
    outputs=(TensorSpec("mask", (None, 48, 64), "uint8", "NHW", "class_id"),),
    variants=(Variant("fp32", "fp32.onnx", "onnx", "fp32", "ab" * 32, 7, {"onnx": "1"}, {"equal": 1.0},
                      Tolerance(0.99, 1), ("cpu",)),),
    fit=Fit("letterbox", "area"), classes=("sky", "road"), colours=((1, 2, 3), (4, 5, 6)), ignore=255,
    provenance={"seed": 0})


def data(**changes: Any) -> dict[str, Any]:
    """What manifest.json holds, with changes at the top."""
    return json.loads(json.dumps(MANIFEST.to_json())) | changes


def test_round_trip_is_lossless() -> None:
    assert Manifest.from_json(data()) == MANIFEST


def test_unknown_fields_are_kept() -> None:
    raw = data(weather="rain")
    raw["variants"][0]["watts"] = 3
    manifest = Manifest.from_json(raw)
    assert manifest.extra == {"weather": "rain"}
    assert manifest.variants[0].extra == {"watts": 3}
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


@pytest.mark.parametrize("number", [2, 0, "1", None])
def test_another_format_is_refused(number: object) -> None:
    with pytest.raises(BundleError, match=r"manifest 'format': got .*, expected 1; .*upgrade epee"):
        Manifest.from_json(data(format=number))


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(BundleError, match="got 'list', expected 1"):
        Manifest.from_json([])  # type: ignore[arg-type]


def test_an_unknown_requirement_is_refused() -> None:
    with pytest.raises(BundleError, match=r"'requires': got tiles, expected .*upgrade epee"):
        Manifest.from_json(data(requires=["tiles"]))


@pytest.mark.parametrize("changes", [
    {"task": "guess"}, {"variants": []}, {"variants": [{"name": "x"}]}, {"variants": 3}, {"inputs": [{"name": "x"}]},
    {"colours": [[1, 2]]}, {"fit": 5}, {"outputs": None}, {"variants": [7]}, {"requires": 3},
    {"variants": [data()["variants"][0]] * 2}])
def test_misshapen_is_one_clear_line(changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="misshapen") as caught:
        Manifest.from_json(data(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fit", [{"mode": "zoom"}, {"interpolation": "magic"}])
def test_an_unknown_fit_is_refused(fit: dict[str, str]) -> None:
    with pytest.raises(BundleError, match=r"manifest 'fit\.(mode|interpolation)': got .*, expected "):
        Manifest.from_json(data(fit=fit))


def test_missing_field_names_it() -> None:
    raw = data()
    del raw["inputs"]
    with pytest.raises(BundleError, match="inputs"):
        Manifest.from_json(raw)


def test_variant_by_name() -> None:
    assert MANIFEST.variant("fp32").file == "fp32.onnx"
    with pytest.raises(BundleError, match="no variant 'int8': expected one of fp32"):
        MANIFEST.variant("int8")


@pytest.mark.parametrize(("layout", "shape", "size"), [
    ("NHWC", (None, 48, 64, 3), (48, 64)), ("NCHW", (1, 3, 48, 64), (48, 64)), ("NHW", (None, None, 64), None),
    ("NZ", (None, 64), None)])
def test_size_hw(layout: str, shape: tuple[int | None, ...], size: tuple[int, int] | None) -> None:
    assert TensorSpec("t", shape, "uint8", layout).size_hw == size


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MANIFEST.name = "other"  # type: ignore[misc]
