"""Settings from files: TOML into frozen dataclasses. An unknown key is an error that names the near ones."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from .errors import ConfigError, near

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

C = TypeVar("C")


def read_toml(path: Path, what: str = "configuration") -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: no such file, or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{what} '{path}'", got=(error.strerror or str(error)).lower()) from None
    except ValueError as error:
        raise ConfigError(f"{what} '{path}' is no TOML", got=str(error)) from None


def from_dict(cls: type[C], data: Mapping[str, Any], where: str = "configuration") -> C:
    """Builds a dataclass from plain values; nested tables become nested dataclasses, lists become tuples.

    Raises:
        ConfigError: an unknown key (the near ones are named), a missing one, or a value of another type.
    """
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    known = [f.name for f in fields]
    values = {}
    for key, value in data.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{key}'", do=near(key, known))
        values[key] = _convert(hints[key], value, f"{where}: '{key}'")
    for f in fields:
        if f.name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: '{f.name}'", got="nothing", expected=_named(hints[f.name]))
    return cls(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(where, got=repr(value), expected="a table")
        return from_dict(typing.cast(type[Any], hint), value, where)
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for option in options:
        origin, inner = typing.get_origin(option) or option, typing.get_args(option)
        if origin is tuple and isinstance(value, list | tuple):
            return tuple(_convert(inner[0], v, where) for v in value) if inner else tuple(value)
        if origin is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(origin, type) and isinstance(value, origin) and (origin is bool or not isinstance(value, bool)):
            return value
    raise ConfigError(where, got=repr(value), expected=_named(hint))


def _named(hint: Any) -> str:
    """A type as a person reads it: `number or nothing`, `list of text`."""
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): ""}
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    parts = []
    for option in options:
        if typing.get_origin(option) is tuple:
            parts.append(f"a list of {_named(typing.get_args(option)[0])}")
        else:
            parts.append(names.get(option, str(getattr(option, "__name__", option))))
    return " or ".join(part for part in parts if part)
