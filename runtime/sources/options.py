"""How live sources are opened: StreamOptions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, near

TRANSPORTS = ("tcp", "udp")


@dataclass(frozen=True)
class StreamOptions:
    """What a camera or a network stream may be told; other sources do not look at it.

    Attributes:
        transport: what RTSP sends pictures over: `tcp` or `udp`.
        open_timeout_s: how long a connection may take until it is given up and tried again.
        read_timeout_s: after so long without a frame the source is lost and is connected anew.
        give_up_s: a source that was lost for so long ends in an error; None tries for ever.
        wait: whether a source that does not open at first is waited for, instead of being an error at once.
        hardware: a decoder in hardware: '' (none), `auto`, or one that PyAV has, e.g. `cuda`, `vaapi`, `qsv`; with
            `:DEVICE` where there are several.
        credentials: a TOML file with `user` and `password` for each host, see `credentials`, or ''.

    Raises:
        ConfigError: a transport that does not exist, or a time that is not above 0.
    """

    transport: str = "tcp"
    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0
    give_up_s: float | None = None
    wait: bool = False
    hardware: str = ""
    credentials: str | Path = ""

    def __post_init__(self) -> None:
        if self.transport not in TRANSPORTS:
            raise ConfigError("--rtsp", got=repr(self.transport), expected=" or ".join(TRANSPORTS),
                              do=near(self.transport, list(TRANSPORTS)))
        for name in ("open_timeout_s", "read_timeout_s", "give_up_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"stream option '{name}'", got=value, expected="seconds above 0")
