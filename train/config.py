"""Configurations as frozen dataclasses, saved as TOML beside the checkpoint and read back without loss."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from ..runtime import settings
from ..runtime.errors import TrainingError

C = TypeVar("C")


def to_toml(config: Any) -> str:
    """Gives the TOML text of a dataclass: plain fields first, nested dataclasses as tables; None is left out."""
    lines, tables = [], []
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            tables.append(f"\n[{f.name}]\n{to_toml(value)}")
        elif value is not None:
            lines.append(f"{f.name} = {_literal(value)}\n")
    return "".join(lines) + "".join(tables)


def save_config(run: Path, config: Any) -> None:
    """Makes the run's folder and writes config.toml. Raises TrainingError where it cannot."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.toml").write_text(to_toml(config), encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"cannot write into '{run}'", got=error.strerror or str(error),
                            do="name another --out") from None


def read_toml(cls: type[C], path: Path) -> C:
    """Reads what `to_toml` wrote.

    Raises:
        ConfigError: no such file, no TOML, an unknown key, or a value of another type.
    """
    return settings.from_dict(cls, settings.read_toml(path), where=str(path))


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_literal(v) for v in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return repr(value)
