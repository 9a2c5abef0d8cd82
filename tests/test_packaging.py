"""What is installed is what is here: the package list, the wheel, and the wheel alone in an empty environment."""

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
NO_INDEX = ("No matching distribution", "ConnectionError", "NewConnectionError", "timed out", "Name or service")
"""What pip says where it reaches no index and has no cache."""
ROOMS = ("benchmarks", "export", "runtime", "train")


def project() -> dict:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def listed_folders() -> dict[str, Path]:
    """Package -> its folder, as setuptools resolves `package-dir`."""
    settings = project()["tool"]["setuptools"]
    folders = {}
    for package in settings["packages"]:
        parts, rest = package.split("."), []
        while ".".join(parts) not in settings["package-dir"]:
            rest.insert(0, parts.pop())
        folders[package] = ROOT / settings["package-dir"][".".join(parts)] / Path(*rest)
    return folders


def shipped() -> list[str]:
    """Files of the bundles inside the package, by their path in the wheel."""
    return sorted(f"epee/{p.relative_to(ROOT)}" for p in (ROOT / "runtime/bundles").glob("*.epee/*"))


def test_packages_are_the_folders_with_an_init() -> None:
    there = {p.parent for room in ROOMS for p in (ROOT / room).rglob("__init__.py")}
    listed = listed_folders()
    assert set(listed.values()) == there
    assert len(set(listed.values())) == len(listed)


def test_no_module_lies_outside_a_package() -> None:
    folders = set(listed_folders().values())
    assert [str(p) for room in ROOMS for p in (ROOT / room).rglob("*.py") if p.parent not in folders] == []


def test_no_extra_but_the_four_pulls_a_member_of_a_pair() -> None:
    extras = project()["project"]["optional-dependencies"]
    members = {"ort": "onnxruntime", "ort-gpu": "onnxruntime-gpu", "cv": "opencv-python",
               "cv-headless": "opencv-python-headless"}
    for extra, lines in extras.items():
        pulled = {line.split(">")[0].split("[")[0].strip() for line in lines} & set(members.values())
        assert pulled == ({members[extra]} if extra in members else set()), extra


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built in a copy so that nothing is left here."""
    for module in ("build", "setuptools"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"package '{module}' is not installed; pip install 'epee[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    skip = shutil.ignore_patterns("__pycache__", "*.tmp-*", ".*")
    (folder / "source").mkdir()
    for name in (*ROOMS, "weights"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if not (ROOT / name).is_file():
            pytest.skip(f"{name} is not here")
        shutil.copy(ROOT / name, folder / "source")
    done = subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder),
                           str(folder / "source")], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(folder.glob("*.whl"))


def test_wheel_holds_every_module_and_the_shipped_bundles(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in listed_folders().items():
        assert {f"{package.replace('.', '/')}/{p.name}" for p in folder.glob("*.py")} <= held
    assert set(shipped()) <= held
    assert "epee/py.typed" in held


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    info = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" in name]
    others = [name for name in zipfile.ZipFile(wheel).namelist() if name not in info]
    assert all(name.startswith("epee/") for name in others)
    assert not [name for name in others if "weights" in name or "tests" in name]
    assert any(name.endswith("LICENSE") for name in info)
    assert "epee = epee.runtime.cli:main" in zipfile.ZipFile(wheel).read(
        next(name for name in info if name.endswith("entry_points.txt"))).decode()


@pytest.fixture(scope="session")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment with the wheel and its `cpu` extra and nothing else; gives its bin folder."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True, symlinks=True)
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--prefer-binary"]
    done = subprocess.run([*pip, f"{wheel}[cpu]"], capture_output=True, text=True, timeout=240, check=False,
                          env=clean())
    lines = done.stderr.strip().splitlines() or ["no reason given"]
    if done.returncode and any(sign in done.stderr for sign in NO_INDEX):
        pytest.skip(f"pip reaches no packages here: {lines[-1][:200]}")
    assert done.returncode == 0, "\n".join(lines[-10:])
    yield folder / "bin"
    shutil.rmtree(folder, ignore_errors=True)


def clean() -> dict[str, str]:
    """The environment without what would let this checkout shine through."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}


@pytest.mark.timeout(300)
def test_the_wheel_alone_has_only_what_the_runtime_needs(empty: Path, tmp_path: Path) -> None:
    code = "import importlib.util as u; print([m for m in ('torch', 'onnx', 'rich', 'matplotlib') if u.find_spec(m)])"
    done = subprocess.run([empty / "python", "-c", code], capture_output=True, text=True, timeout=60, check=True,
                          cwd=tmp_path, env=clean())
    assert done.stdout.strip() == "[]"
    done = subprocess.run([empty / "epee", "doctor"], capture_output=True, text=True, timeout=60, check=False,
                          cwd=tmp_path, env=clean())
    assert (done.returncode, done.stderr) == (0, "")
    assert "✓ onnxruntime" in done.stdout


@pytest.mark.timeout(300)
def test_the_wheel_alone_makes_an_mp4(empty: Path, tmp_path: Path) -> None:
    if not any("street-nano.epee" in name for name in shipped()):
        pytest.skip("the package ships no street-nano yet")
    done = subprocess.run([empty / "epee", "run", "street-nano", "--source", "synthetic:street", "--frames", "20",
                           "--sink", "out.mp4"], capture_output=True, text=True, timeout=90, check=False, cwd=tmp_path,
                          env=clean())
    assert done.returncode == 0, done.stderr
    code = "import av; c = av.open('out.mp4'); print(c.streams.video[0].codec.name, sum(1 for _ in c.decode(video=0)))"
    seen = subprocess.run([empty / "python", "-c", code], capture_output=True, text=True, timeout=60, check=True,
                          cwd=tmp_path, env=clean())
    assert seen.stdout.split() == ["h264", "20"]
