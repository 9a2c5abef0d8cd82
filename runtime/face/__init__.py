"""epee: small picture networks, from training to a live camera stream.

`epee.open(path)` gives a model to call on frames; the rooms are `epee.runtime`, `epee.train`, `epee.export` and
`epee.benchmarks`. Importing this module imports none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runtime.model import Model
    from .runtime.model import open_model as open

__all__ = ["Model", "__version__", "open"]


def __getattr__(name: str) -> Any:
    if name == "open":
        from .runtime.model import open_model

        return open_model
    if name == "Model":
        from .runtime.model import Model

        return Model
    if name == "__version__":
        from importlib.metadata import version

        return version("epee")
    raise AttributeError(f"module 'epee' has no attribute {name!r}")
