"""Parity holds for what was exported, and notices what is broken."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from epee.export.parity import THRESHOLDS, Parity, Thresholds, measure  # noqa: E402
from epee.export.samples import framed  # noqa: E402

FP32 = THRESHOLDS["fp32"]


def changed(model: Any, name: str, change: Any) -> Any:
    """A copy of the model with one weight replaced by `change(weight)`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for weight in copy.graph.initializer:
        if weight.name == name:
            weight.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(weight)), name))
            return copy
    raise KeyError(name)


def test_the_exported_graph_holds(fp32, candidate, frames) -> None:
    parity = measure(fp32, candidate, framed(frames))
    assert parity.failure(FP32) == ""
    assert parity.frames == 5
    assert parity.logit_max_diff < 1e-5 * parity.logit_scale


def test_exchanged_classes_are_noticed(fp32, candidate, frames) -> None:
    broken = changed(fp32, "network.head.weight", lambda w: np.ascontiguousarray(np.roll(w, 1, axis=0)))
    assert "of the output's values equal the reference's" in measure(broken, candidate, framed(frames)).failure(FP32)


def test_a_slightly_wrong_weight_is_noticed(fp32, candidate, frames) -> None:
    broken = changed(fp32, "network.head.weight", lambda w: w * np.float32(1.01))
    assert measure(broken, candidate, framed(frames)).failure(FP32) != ""


def test_logits_that_are_no_numbers_fail(fp32, candidate, frames) -> None:
    broken = changed(fp32, "network.head.bias", lambda w: np.full_like(w, np.nan))
    parity = measure(broken, candidate, framed(frames))
    assert parity.failure(FP32) != ""
    assert parity.to_json()["logit_max_diff"] is None  # JSON knows no NaN


def test_a_network_that_is_broken_itself_fails() -> None:
    parity = Parity(equal=1.0, logit_max_diff=float("nan"), logit_scale=float("nan"), frames=1)
    assert "not finite" in parity.failure(FP32)


def test_thresholds_are_what_they_say() -> None:
    parity = Parity(equal=0.9996, logit_max_diff=0.002, logit_scale=10.0, frames=1)
    assert parity.failure(FP32) == ""
    assert "0.99960" in parity.failure(dataclasses.replace(FP32, min_equal=0.9997))
    assert "expected at most 0.001" in parity.failure(Thresholds(min_equal=0.999, max_logit_diff=1e-4))
