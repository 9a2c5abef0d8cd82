"""Configurations as frozen dataclasses, saved as TOML beside the checkpoint and read back without loss."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..runtime.errors import ConfigError, TrainingError, near

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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
    return from_dict(cls, load_toml(path), where=str(path))


def load_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file as plain values. Raises ConfigError where there is none or it is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"configuration '{path}'", got=error.strerror or str(error)) from None
    except ValueError as error:
        raise ConfigError(f"configuration '{path}' is no TOML", got=str(error)) from None


def from_dict(cls: type[C], data: Mapping[str, Any], where: str = "configuration") -> C:
    """Builds a dataclass from plain values; nested tables become nested dataclasses, lists become tuples.

    Raises:
        ConfigError: an unknown key (the near ones are named), or a value of another type.
    """
    hints = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    values = {}
    for key, value in data.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{key}'", do=near(key, known))
        values[key] = _convert(hints[key], value, f"{where}: '{key}'")
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigError(where, got=str(error)) from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(where, got=repr(value), expected="a table")
        return from_dict(typing.cast(type[Any], hint), value, where)
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for option in options:
        origin = typing.get_origin(option) or option
        if origin is tuple and isinstance(value, list | tuple):
            return tuple(tuple(v) if isinstance(v, list) else v for v in value)
        if origin is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(origin, type) and isinstance(value, origin) and (origin is bool or not isinstance(value, bool)):
            return value
    wanted = " or ".join(getattr(o, "__name__", str(o)) for o in options if o is not type(None))
    raise ConfigError(where, got=repr(value), expected=wanted)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_literal(v) for v in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return repr(value)
