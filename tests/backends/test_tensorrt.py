"""The TensorRT backends: what they say where they cannot run, and, where there is a GPU, that they run."""

from pathlib import Path

import numpy as np
import pytest
from epee.runtime import cuda
from epee.runtime.backends import SessionOptions, load, open_session, trt_choice, trt_session
from epee.runtime.bundle import Bundle, save, writing
from epee.runtime.engines import EngineError, EngineManifest, EngineSettings, add_engines, build_for_device
from epee.runtime.errors import BackendError
from epee.runtime.manifest import TensorSpec
from epee.runtime.scores import equal_share
from epee.runtime.verify import verify

NAMES = ("tensorrt-rtx", "tensorrt")
WHY_NOT = {name: load(name).probe().reason for name in NAMES}


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle with engines for two GPUs."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed; pip install 'epee[tensorrt-rtx]'")
    tiny, path = Bundle.open(tiny_bundle), tmp_path_factory.mktemp("engines") / "tiny.epee"
    with writing(path) as folder:
        (folder / "fp32.onnx").write_bytes((tiny_bundle / "fp32.onnx").read_bytes())
        variants = (*tiny.manifest.variants, *add_engines(folder, tiny.manifest.variants, "tensorrt-rtx:sm86,sm89"))
        save(folder, type(tiny.manifest)(**vars(tiny.manifest) | {"variants": variants}), tiny.goldens())
    return Bundle.open(path)


@pytest.mark.parametrize("name", NAMES)
def test_probe_says_what_is_missing_or_that_it_never_ran(name: str) -> None:
    found = load(name).probe()
    assert found.name == name
    assert trt_session.TRIED[name] in (found.version if found.available else found.reason)
    if not found.available:
        assert found.reason.startswith(("not installed (", "no NVIDIA GPU here", "module 'cuda.bindings'"))


@pytest.mark.parametrize("name", NAMES)
def test_onnx_without_library_or_gpu_says_which(bundle: Bundle, name: str) -> None:
    if not WHY_NOT[name]:
        pytest.skip(f"{name} works here")
    with pytest.raises(BackendError, match=r"is not installed; |no NVIDIA GPU here"):
        open_session(bundle, name, "fp32")


def test_an_engine_without_a_gpu_says_what_it_is_for_and_offers_the_onnx_variant(bundle: Bundle) -> None:
    if not WHY_NOT["tensorrt-rtx"]:
        pytest.skip("tensorrt-rtx works here")
    with pytest.raises(EngineError) as caught:
        open_session(bundle, "tensorrt-rtx", "fp32-rtx-sm89")
    text = str(caught.value)
    assert text.startswith("fp32-rtx-sm89, built by tensorrt-rtx 1.")
    assert " for sm89, does not open here: got no NVIDIA GPU here" in text
    assert text.endswith("--precision fp32 takes the ONNX variant, which other backends run too")


def test_an_engine_of_the_other_library_is_refused(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match=r"backend 'tensorrt': variant 'fp32-rtx-sm86': got an engine of tensorrt-rtx "
                                          r"1.* for sm86, expected an engine of tensorrt; --precision fp32 takes"):
        open_session(bundle, "tensorrt", "fp32-rtx-sm86")


def test_an_engine_that_says_nothing_of_itself_is_refused(bundle: Bundle) -> None:
    variant = bundle.manifest.variant("fp32-rtx-sm86")
    blank = type(variant)(**vars(variant) | {"built_with": {"epee": "0.1.0"}})
    with pytest.raises(EngineError, match=r"variant 'fp32-rtx-sm86': what built it: got epee, expected library, "):
        load("tensorrt-rtx").open_session(bundle, blank, SessionOptions())


def test_other_backends_pass_engines_over_and_verify_skips_them(bundle: Bundle) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(BackendError, match=r"variant 'fp32-rtx-sm86': got kind engine"):
        open_session(bundle, "onnxruntime", "fp32-rtx-sm86")
    verdict = verify(bundle, ["onnxruntime"])
    assert verdict.ok, verdict.problems
    assert [line.split("'")[1] for line in verdict.skipped] == ["fp32-rtx-sm86", "fp32-rtx-sm89"]


def test_engines_fit_their_gpu_or_all_newer_ones_where_made_for_that() -> None:
    def fits(engine: str, gpu: str, compatible: str = "no") -> bool:
        facts = EngineManifest("tensorrt", "10.3", engine, "", hardware_compatible=compatible)
        return trt_choice.fits(facts, cuda.Gpu(0, "a GPU", gpu))

    assert fits("sm86", "sm86")
    assert not fits("sm86", "sm89")
    assert fits("sm86", "sm120", "yes")
    assert not fits("sm86", "sm75", "yes")


def test_large_batches_are_split() -> None:
    specs = (TensorSpec("z", (None, 2), "float32", "NZ"), TensorSpec("scale", (1,), "float32", ""))
    feeds = {"z": np.arange(10, dtype=np.float32).reshape(5, 2), "scale": np.ones(1, np.float32)}
    parts = trt_session.split(specs, feeds, 2)
    assert [len(part["z"]) for part in parts] == [2, 2, 1]
    assert np.array_equal(np.concatenate([part["z"] for part in parts]), feeds["z"])
    assert all(part["scale"] is feeds["scale"] for part in parts)
    assert len(trt_session.split(specs[1:], {"scale": feeds["scale"]}, 2)) == 1


@pytest.fixture(params=NAMES)
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A TensorRT backend that works here, with a cache of its own."""
    if WHY_NOT[request.param]:
        pytest.skip(WHY_NOT[request.param])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return str(request.param)


def test_engines_are_built_into_the_cache_once(bundle: Bundle, here: str) -> None:
    before = sorted(bundle.path.iterdir())
    first = build_for_device(bundle, bundle.manifest.variants[0], here)
    again = build_for_device(bundle, bundle.manifest.variants[0], here)
    other = build_for_device(bundle, bundle.manifest.variants[0], here, settings=EngineSettings(workspace_mb=512))
    assert (first.fresh, again.fresh, other.fresh) == (True, False, True)
    assert first.path == again.path != other.path
    assert sorted(bundle.path.iterdir()) == before


def test_every_batch_answers_the_goldens_again_and_again(bundle: Bundle, here: str) -> None:
    goldens = bundle.goldens()
    with open_session(bundle, here, "fp32", depth=2) as session:
        for count in (1, 1, 1, 2, 2, 2, 7, 1, 1):  # graphs are captured at the second run of a size, 7 is split
            frames = np.take(goldens["frame"], range(count), axis=0, mode="wrap")
            want = np.take(goldens["mask"], range(count), axis=0, mode="wrap")
            assert equal_share(session.run({"frame": frames})["mask"], want) > 0.999


def test_a_bundles_own_engine_opens_where_it_fits(bundle: Bundle, here: str) -> None:
    capability = cuda.gpus()[0].capability
    name = f"fp32-rtx-{capability}"
    if here != "tensorrt-rtx" or name not in [v.name for v in bundle.manifest.variants]:
        pytest.skip(f"the bundle has no {here} engine for {capability}")
    verdict = verify(bundle, [here], [name])
    assert (verdict.problems, verdict.skipped) == ([], [])
