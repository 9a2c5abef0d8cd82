"""Engines: real ones, built for GPUs that are not here, from graphs in all three precisions."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from epee.runtime import cuda, machine
from epee.runtime.bundle import Bundle, save, sha256, writing
from epee.runtime.engines import (
    Batch,
    EngineError,
    EngineFile,
    EngineManifest,
    EngineSettings,
    add_engines,
    build,
    build_for_device,
    cache_folder,
    parse_engine,
    takes,
)
from epee.runtime.engines.cached import read
from epee.runtime.errors import BackendError, EpeeError
from epee.runtime.manifest import Variant

RTX = "tensorrt-rtx"


def gpu_here() -> bool:
    """Whether CUDA sees a GPU."""
    try:
        return bool(cuda.gpus())
    except BackendError:
        return False


@pytest.fixture(scope="module")
def graphs(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny graph by precision, and `int8-bias`, whose bias is int32 as ONNX Runtime quantises by default."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed; pip install 'epee[tensorrt-rtx]'")
    folder = tmp_path_factory.mktemp("graphs")
    fp32 = tiny_bundle / "fp32.onnx"
    return {"fp32": fp32, "fp16": halved(fp32, folder / "fp16.onnx"),
            "int8": quantised(fp32, folder / "int8.onnx", bias=False),
            "int8-bias": quantised(fp32, folder / "int8-bias.onnx", bias=True)}


def halved(source: Path, target: Path) -> Path:
    """The graph with all its floats in half precision."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(source)
    for weight in model.graph.initializer:
        if weight.name in ("weight", "bias"):
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name))
    model.graph.node[0].attribute[0].i = onnx.TensorProto.FLOAT16
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)
    return target


def quantised(source: Path, target: Path, *, bias: bool) -> Path:
    """The graph with symmetric INT8 around its convolution."""
    quantization = pytest.importorskip("onnxruntime.quantization")

    class Frames(quantization.CalibrationDataReader):  # type: ignore[name-defined, misc]
        """Two frames of noise."""

        def __init__(self) -> None:
            random = np.random.default_rng(1)
            self.frames = iter([{"frame": random.integers(0, 256, (1, 72, 96, 3), np.uint8)} for _ in range(2)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.frames, None)

    quantization.quantize_static(
        str(source), str(target), Frames(), op_types_to_quantize=["Conv"], per_channel=True,
        activation_type=quantization.QuantType.QInt8, weight_type=quantization.QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": bias})
    return target


@pytest.mark.parametrize("capability", ["sm86", "sm89"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_builds_without_a_gpu_in_every_precision(graphs: dict[str, Path], precision: str, capability: str) -> None:
    source = graphs[precision]
    built = build(source, RTX, capability, source="x", precision=precision)
    facts = built.manifest
    assert len(built.data) > 10_000
    assert (facts.library, facts.compute_capability, facts.precision, facts.source) == (RTX, capability, precision, "x")
    assert facts.library_version.split(".")[0] == "1"
    assert facts.source_sha256 == sha256(source)
    assert float(facts.seconds) > 0
    assert facts.batch == "1-1-4"
    assert EngineManifest.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_a_bias_in_int32_is_refused_in_the_parsers_words_with_the_node(graphs: dict[str, Path]) -> None:
    with pytest.raises(EngineError, match=r"tensorrt-rtx refuses int8-bias.onnx: got .*Int32") as caught:
        build(graphs["int8-bias"], RTX, "sm86")
    assert "node 'bias_DequantizeLinear' (DequantizeLinear)" in str(caught.value)


def test_a_fixed_batch_needs_no_profile_and_another_free_axis_is_refused(graphs: dict[str, Path],
                                                                         tmp_path: Path) -> None:
    import onnx

    for axis, size in ((0, 2), (1, "rows")):
        model = onnx.load(graphs["fp32"])
        for tensor in (*model.graph.input, *model.graph.output):
            dim = tensor.type.tensor_type.shape.dim[axis]
            dim.ClearField("value")
            setattr(dim, "dim_value" if isinstance(size, int) else "dim_param", size)
        onnx.save(model, tmp_path / f"{size}.onnx")
    assert build(tmp_path / "2.onnx", RTX, "sm86").manifest.batch == "2-2-2"
    with pytest.raises(EngineError, match=r"input 'frame': got \(\?, \?, 96, 3\), expected fixed sizes after the fi"):
        build(tmp_path / "rows.onnx", RTX, "sm86")


def test_batches_are_asked_for(graphs: dict[str, Path]) -> None:
    assert build(graphs["fp32"], RTX, "sm86", settings=EngineSettings(Batch(1, 2, 8))).manifest.batch == "1-2-8"
    with pytest.raises(EngineError, match="batch of an engine: got 2-1-4, expected 1 <= least <= best <= most"):
        Batch(2, 1, 4)


@pytest.mark.parametrize(("capability", "said"), [
    ("sm61", r"got sm61, expected sm75 or sm80 or sm86 or sm89 or sm120"),
    ("8.7", r"got sm87, .*a Jetson Orin: run `epee tune BUNDLE --engine tensorrt` on the device itself"),
    ("ada", r"compute capability: got 'ada', expected one like sm86")])
def test_an_unknown_gpu_names_the_known_ones(graphs: dict[str, Path], capability: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        build(graphs["fp32"], RTX, capability)


def test_what_the_builder_says_is_in_the_error(graphs: dict[str, Path]) -> None:
    with pytest.raises(EngineError, match=r"builds no engine of fp32.onnx for sm86: got .*workspace"):
        build(graphs["fp32"], RTX, "sm86", settings=EngineSettings(workspace_mb=1))


def test_no_onnx_and_no_file(graphs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "cut.onnx").write_bytes(graphs["fp32"].read_bytes()[:200])
    with pytest.raises(EngineError, match=r"refuses cut.onnx: got .*Failed to parse the ONNX model"):
        build(tmp_path / "cut.onnx", RTX, "sm86")
    with pytest.raises(EngineError, match=r"ONNX file: got nothing there, expected .*absent.onnx"):
        build(tmp_path / "absent.onnx", RTX, "sm86")


@pytest.mark.parametrize("option", [{"settings": EngineSettings(version_compatible=True)},
                                    {"settings": EngineSettings(hardware_compatible=True)},
                                    {"timing_cache": Path("x")}])
def test_what_only_tensorrt_has_is_refused(graphs: dict[str, Path], option: dict) -> None:
    with pytest.raises(EngineError, match="of an engine for tensorrt-rtx: got asked for, expected tensorrt, which al"):
        build(graphs["fp32"], RTX, "sm86", **option)


def test_progress_is_told_and_ends_the_build_where_it_raises(graphs: dict[str, Path]) -> None:
    seen: list[tuple[str, int, int]] = []
    build(graphs["fp32"], RTX, "sm86", progress=lambda *step: seen.append(step))
    assert len(seen) > 10
    assert all(1 <= done <= count for _, done, count in seen)

    def stop(phase: str, done: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(graphs["fp32"], RTX, "sm86", progress=stop)
    build(graphs["fp32"], RTX, "sm86")


def test_building_needs_neither_torch_nor_onnx(graphs: dict[str, Path]) -> None:
    code = ("import sys; from epee.runtime.engines import build; build(sys.argv[1], 'tensorrt-rtx', 'sm86');"
            "print(sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code, str(graphs["fp32"])], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_engines_join_a_bundle_that_is_being_written(graphs: dict[str, Path], tiny_bundle: Path,
                                                     tmp_path: Path) -> None:
    tiny, said = Bundle.open(tiny_bundle), []
    with writing(tmp_path / "with.epee") as folder:
        onnx = [variant_of(folder, "fp32", "fp32", graphs["fp32"]), variant_of(folder, "fp16", "fp16", graphs["fp16"]),
                variant_of(folder, "int8-u8s8", "int8", graphs["int8-bias"]),
                variant_of(folder, "int8-s8s8", "int8", graphs["int8"])]
        added = add_engines(folder, onnx, f"{RTX}:sm86,sm89", said.append)
        save(folder, type(tiny.manifest)(**vars(tiny.manifest) | {"variants": (*onnx, *added)}), tiny.goldens())
    names = [f"{source}-rtx-{sm}" for source in ("fp32", "fp16", "int8-s8s8") for sm in ("sm86", "sm89")]
    assert [variant.name for variant in added] == names
    assert said == [f"engine {name}" for name in names]
    bundle = Bundle.open(tmp_path / "with.epee")
    for name in names:
        variant = bundle.manifest.variant(name)
        assert bundle.file(variant).name == f"{name}.engine"
        facts = EngineManifest.from_json(variant.built_with)
        assert variant.kind == "engine"
        assert variant.targets == (f"{RTX}:{name[-4:]}",)
        assert facts.source_sha256 == bundle.manifest.variant(facts.source).sha256
        assert variant.precision == bundle.manifest.variant(facts.source).precision


def variant_of(folder: Path, name: str, precision: str, source: Path) -> Variant:
    """Copies a graph into a bundle's folder and describes it."""
    file = folder / f"{name}.onnx"
    file.write_bytes(source.read_bytes())
    return Variant(name, file.name, "onnx", precision, sha256(file), file.stat().st_size)


def test_a_refused_engine_is_raised_or_told(graphs: dict[str, Path], tmp_path: Path) -> None:
    variants = [variant_of(tmp_path, "int8-s8s8", "int8", graphs["int8-bias"]),
                variant_of(tmp_path, "fp32", "fp32", graphs["fp32"])]
    with pytest.raises(EngineError, match=r"refuses int8-s8s8\.onnx"):
        add_engines(tmp_path, variants, f"{RTX}:sm86")
    refused: list[tuple[str, EngineError]] = []
    added = add_engines(tmp_path, variants, f"{RTX}:sm86", refuse=lambda *pair: refused.append(pair))
    assert [variant.name for variant in added] == ["fp32-rtx-sm86"]
    assert [name for name, _ in refused] == ["int8-s8s8-rtx-sm86"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fp32-rtx-sm86.engine", "fp32.onnx", "int8-s8s8.onnx"]


def test_int8_for_cpus_is_passed_over() -> None:
    def taken(name: str, targets: tuple[str, ...] = (), kind: str = "onnx") -> bool:
        return takes(Variant(name, "x", kind, name.split("-")[0], "", 0, targets=targets))

    assert taken("fp32")
    assert taken("fp16", ("cpu",))
    assert taken("int8-s8s8")
    assert taken("int8-mixed", ("tensorrt", "arm"))
    assert not taken("int8-u8s8", ("cpu",))
    assert not taken("fp32-rtx-sm86", kind="engine")


@pytest.mark.parametrize(("text", "said"), [
    (RTX, "engine 'tensorrt-rtx': got no compute capability, expected LIBRARY:SM"),
    (f"{RTX}:,", "got no compute capability"),
    ("tensor-rtx:sm86", r"library 'tensor-rtx': got no such library, .*did you mean 'tensorrt-rtx'"),
    ("tensorrt:sm87", r"tensorrt builds only on the device itself; run `epee tune BUNDLE --engine tensorrt` there")])
def test_a_wrong_engine_option_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        parse_engine(text)


def test_an_engine_option_is_read() -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed; pip install 'epee[tensorrt-rtx]'")
    assert parse_engine(f"{RTX}:sm86,8.9,SM86") == (RTX, ("sm86", "sm89"))


@pytest.mark.skipif(gpu_here(), reason="there is a GPU here")
def test_on_a_machine_without_a_gpu_the_gpu_at_hand_is_an_error(graphs: dict[str, Path], tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(EpeeError, match=r"no NVIDIA GPU here|'cuda.bindings' is needed here"):
        build(graphs["fp32"], RTX)
    with pytest.raises(EpeeError, match=r"no NVIDIA GPU here|'cuda.bindings' is needed here"):
        build_for_device(bundle, bundle.manifest.variants[0], RTX)


def test_the_cache_lies_under_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "epee/engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == machine.cache_folder() / "engines"
    assert sys.platform != "linux" or cache_folder() == Path.home() / ".cache/epee/engines"


def test_a_cached_engine_is_taken_only_whole(tmp_path: Path) -> None:
    manifest = EngineManifest(RTX, "1.7", "sm86", "0" * 64)
    path = EngineFile(b"engine", manifest).write(tmp_path / "a" / "x.engine")
    assert read(path) is None
    facts = {**manifest.to_json(), "sha256": sha256(path)}
    path.with_suffix(".json").write_text(json.dumps(facts))
    held = read(path)
    assert held is not None
    assert (held.path, held.manifest, held.fresh) == (path, manifest, False)
    path.write_bytes(b"engi")
    assert read(path) is None
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.engine", "x.json"]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match=r"cannot write .*x.engine: got "):
        EngineFile(b"", EngineManifest(RTX, "1.7", "sm86", "")).write(tmp_path / "file" / "x.engine")
