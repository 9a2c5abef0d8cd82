"""Engines that need not be built: which one a session finds, with real engines of a GPU that is not here."""

import json
from pathlib import Path

import pytest
from epee.runtime import cuda
from epee.runtime.backends import trt_choice
from epee.runtime.bundle import Bundle, sha256
from epee.runtime.engines import build
from epee.runtime.engines.cached import _place, cached
from epee.runtime.engines.manifest import EngineSettings

RTX = "tensorrt-rtx"
GPU, OTHER = cuda.Gpu(0, "NVIDIA RTX A2000", "sm86"), cuda.Gpu(1, "NVIDIA L4", "sm89")


@pytest.fixture
def held(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine for GPU where `build_for_device` leaves it, which needs that GPU; gives its file."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed; pip install 'epee[tensorrt-rtx]'")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bundle = Bundle.open(tiny_bundle)
    (variant,) = bundle.manifest.variants
    path = _place(bundle, variant, RTX, GPU, EngineSettings())
    built = build(bundle.file(variant), RTX, "sm86", source=variant.name, precision=variant.precision)
    built.write(path)
    path.with_suffix(".json").write_text(json.dumps({**built.manifest.to_json(), "sha256": sha256(path)}))
    return path


def test_the_cached_engine_is_found_by_library_gpu_and_settings(tiny_bundle: Path, held: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    (variant,) = bundle.manifest.variants
    found = cached(bundle, variant, RTX, GPU)
    assert found is not None
    assert (found.path, found.manifest.compute_capability, found.fresh) == (held, "sm86", False)
    assert cached(bundle, variant, RTX, OTHER) is None
    assert cached(bundle, variant, RTX, GPU, EngineSettings(workspace_mb=64)) is None
    taken = trt_choice._held(RTX, bundle, variant, GPU)
    assert taken is not None
    assert taken[0] == held
    assert trt_choice._held(RTX, bundle, variant, OTHER) is None


def test_a_cut_engine_is_built_again(tiny_bundle: Path, held: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    held.write_bytes(held.read_bytes()[:-1])
    assert cached(bundle, bundle.manifest.variants[0], RTX, GPU) is None


def test_nothing_is_ready_without_a_gpu(tiny_bundle: Path, held: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    try:
        gpus = cuda.gpus()
    except Exception:
        gpus = ()
    if gpus:
        pytest.skip("there is a GPU here")
    assert not trt_choice.ready(RTX, bundle, bundle.manifest.variants[0])
