"""Errors a user can act on: what went wrong, what was there, what was expected, what to do."""

from __future__ import annotations

import importlib
from types import ModuleType


class EpeeError(Exception):
    """One clear line. The command prints it as `epee: …` and exits with status 1.

    Args:
        what: the thing that is wrong, e.g. `input 'frame'`.
        got: what was found there.
        expected: what should have been there.
        do: what the reader can do about it.
    """

    def __init__(self, what: str, *, got: object = None, expected: object = None, do: str = "") -> None:
        self.what, self.got, self.expected, self.do = what, got, expected, do
        parts = [f"got {got}"] if got is not None else []
        parts += [f"expected {expected}"] if expected is not None else []
        line = what + (": " + ", ".join(parts) if parts else "") + (f"; {do}" if do else "")
        super().__init__(line)


class BundleError(EpeeError):
    """A bundle that is missing, broken, or made for a newer reader."""


class BackendError(EpeeError):
    """A backend that is not installed, cannot take this model, or did not become active."""


class Unsupported(BackendError):  # noqa: N818 - it is no fault of anybody's
    """A backend that cannot compute this variant, which others can; the variant may well be whole."""


class SourceError(EpeeError):
    """A source that cannot be opened or read."""


class SinkError(EpeeError):
    """A sink that cannot be written."""


class DataError(EpeeError):
    """A data set, picture or mask that does not fit."""


class ConfigError(EpeeError):
    """A setting that does not exist or has a value that makes no sense."""


class TrainingError(EpeeError):
    """A training that cannot go on (NaN, a checkpoint of another configuration)."""


class ExportError(EpeeError):
    """A network that cannot be exported, or whose export answers differently."""


INSTALL = {
    "onnxruntime": "pip install 'epee[ort]' (or 'epee[ort-gpu]' on a machine with an NVIDIA GPU)",
    "cv2": "pip install 'epee[cv-headless]' (or 'epee[cv]' for windows on a screen)",
    "av": "pip install 'epee[video]'",
    "openvino": "pip install 'epee[openvino]'",
    "ncnn": "pip install 'epee[ncnn]'",
    "torch": "pip install 'epee[train]'",
    "safetensors": "pip install 'epee[train]'",
    "lightning_fabric": "pip install 'epee[distributed]'",
    "tensorboard": "pip install 'epee[train]'",
    "onnx": "pip install 'epee[export]'",
    "onnxscript": "pip install 'epee[export]'",
    "nncf": "pip install nncf",
    "modelopt": "pip install --no-deps nvidia-modelopt, and what docs/quantisation.md lists",
    "matplotlib": "pip install 'epee[bench]'",
    "rich": "pip install 'epee[bench]'",
    "sklearn": "pip install 'epee[dev]'",
    "starlette": "pip install 'epee[web]'",
    "uvicorn": "pip install 'epee[web]'",
    "websockets": "pip install 'epee[web]'",
    "prometheus_client": "pip install 'epee[web]'",
    "paho": "pip install 'epee[mqtt]'",
    "PIL": "pip install pillow",
}
"""The line to type for each optional module."""


class MissingExtra(EpeeError):  # noqa: N818 - it names what is missing
    """An optional module that is not installed; says which line installs it."""

    def __init__(self, module: str) -> None:
        super().__init__(f"module '{module}' is needed here", got="not installed", do=INSTALL[module])


def need(module: str) -> ModuleType:
    """Gives the optional module, e.g. `cv2 = need('cv2')`.

    Raises:
        MissingExtra: it is not installed.
    """
    top = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] == top:
            raise MissingExtra(top) from None
        raise
    except ImportError as error:
        if top == "cv2" and "libGL" in str(error):
            raise EpeeError("module 'cv2' does not load", got=str(error),
                            do="opencv-python needs a desktop's libGL; take epee[cv-headless]") from None
        raise


def near(word: str, known: list[str]) -> str:
    """Gives a hint such as `did you mean 'epochs'?` (or the whole list where nothing is near)."""
    import difflib

    close = difflib.get_close_matches(word, known, n=3)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "known: " + ", ".join(sorted(known))
