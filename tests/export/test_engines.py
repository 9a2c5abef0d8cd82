"""A trained segmenter becomes engines for GPUs that are not here, in every precision that export makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed; pip install 'epee[tensorrt-rtx]'")

from epee.export.half import to_half  # noqa: E402
from epee.export.quantize import Quantizer  # noqa: E402
from epee.export.samples import framed  # noqa: E402
from epee.export.schemes import SCHEMES  # noqa: E402
from epee.runtime.bundle import sha256  # noqa: E402
from epee.runtime.engines import EngineError, add_engines  # noqa: E402
from epee.runtime.manifest import Variant  # noqa: E402


@pytest.fixture(scope="module")
def models(candidate: Any, frames: Any) -> dict[str, Any]:
    """Variant -> graph."""
    quantizer = Quantizer(candidate.model, framed(frames))
    return {"fp32": candidate.model, "fp16": to_half(candidate.model),
            **{name: quantizer.quantize(SCHEMES[name]) for name in ("int8-u8s8", "int8-s8s8")}}


def written(folder: Path, models: dict[str, Any], targets: dict[str, tuple[str, ...]]) -> list[Variant]:
    """Writes the graphs as a bundle's variants."""
    for name, model in models.items():
        onnx.save(model, folder / f"{name}.onnx")
    return [Variant(name, f"{name}.onnx", "onnx", name.split("-")[0], sha256(folder / f"{name}.onnx"), 1,
                    targets=targets.get(name, ())) for name in models]


def test_a_segmenter_becomes_engines_in_every_precision(models: dict[str, Any], tmp_path: Path) -> None:
    variants = written(tmp_path, models, {name: SCHEMES[name].targets for name in ("int8-u8s8", "int8-s8s8")})
    added = add_engines(tmp_path, variants, "tensorrt-rtx:sm86,sm89")
    assert [v.name for v in added] == [f"{name}-rtx-{sm}" for name in ("fp32", "fp16", "int8-s8s8")
                                       for sm in ("sm86", "sm89")]
    assert all((tmp_path / v.file).stat().st_size == v.bytes > 10_000 for v in added)


def test_int8_for_cpus_would_be_refused(models: dict[str, Any], tmp_path: Path) -> None:
    variants = written(tmp_path, {"int8-u8s8": models["int8-u8s8"]}, {"int8-u8s8": ("tensorrt",)})
    with pytest.raises(EngineError, match=r"tensorrt-rtx refuses int8-u8s8.onnx: got node '.*' \(.*Linear\)"):
        add_engines(tmp_path, variants, "tensorrt-rtx:sm86")
