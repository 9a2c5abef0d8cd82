"""What configurations ask of what they are given: each question once, in the same words everywhere.

All raise ConfigError.
"""

from __future__ import annotations

from collections.abc import Collection

from ..runtime.errors import ConfigError, near


def check_budget(**given: float | None) -> None:
    """Exactly one of these is given, and it is more than 0."""
    told = {name: value for name, value in given.items() if value is not None}
    if len(told) != 1:
        raise ConfigError("training budget", got=", ".join(f"{name} {value:g}" for name, value in told.items()) or
                          "none", expected="exactly one of " + ", ".join(given))
    if (value := next(iter(told.values()))) <= 0:
        raise ConfigError("training budget", got=value, expected="more than 0")


def check_name(what: str, name: str, known: Collection[str]) -> None:
    """`name` is one of those that are known; `what` says of what kind, e.g. `loss`."""
    if name not in known:
        raise ConfigError(f"{what} '{name}'", got=f"no such {what.split()[-1]}", expected=", ".join(known),
                          do=near(name, list(known)))


def check_least(what: str, value: float | None, least: float, why: str = "") -> None:
    """`value` is at least so much; None stands for a value that is chosen later."""
    if value is not None and value < least:
        raise ConfigError(what, got=value, expected=f"{least:g} or more{why and ': ' + why}")


def check_share(what: str, value: float, *, below_one: bool = False) -> None:
    """`value` is a share, 0 to 1, or 0 to below 1."""
    if not 0.0 <= value <= 1.0 or (below_one and value == 1.0):
        raise ConfigError(what, got=value, expected="a share, 0 to below 1" if below_one else "a share, 0 to 1")


def check_multiple(what: str, value: int, of: int, least: int) -> None:
    """`value` is a multiple, and at least so much."""
    if value < least or value % of:
        raise ConfigError(what, got=value, expected=f"a multiple of {of} from {least} up")
