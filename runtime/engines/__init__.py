"""TensorRT engines from a bundle's ONNX: ahead of time for GPUs that are not here, and on the device for its own.

Building is tested with TensorRT-RTX, which does it on any machine. No engine has run yet, and
`tensorrt` has built none: see `backends.trt_session`.
"""

from .adding import add_engines, parse_engine, takes
from .building import build
from .cached import Engine, build_for_device, cache_folder
from .here import build_here
from .libraries import INSTALL, LIBRARIES, EngineError
from .manifest import Batch, EngineFile, EngineManifest, EngineSettings

__all__ = ["INSTALL", "LIBRARIES", "Batch", "Engine", "EngineError", "EngineFile", "EngineManifest", "EngineSettings",
           "add_engines", "build", "build_for_device", "build_here", "cache_folder", "parse_engine", "takes"]
