"""Where the page is: its address, its options, and the token that an address beyond this machine needs."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from ...errors import SinkError, near

LOOPBACK = "127.0.0.1"
EXPECTED = "web:[HOST:]PORT[?fps=15&quality=80&width=960]"
OPTIONS = {"fps": (1, 60), "quality": (1, 100), "width": (16, 7680)}
"""Option -> least and most."""


@dataclass(frozen=True)
class Address:
    """Where the page is and what it sends.

    Attributes:
        host: a name or address of this machine; `127.0.0.1` shows the page to this machine alone.
        port: 0 takes a free one.
        fps: at most so many frames a second are encoded for viewers.
        quality: of their JPEGs, 1 to 100.
        width: wider frames are made so wide for viewers.
    """

    host: str
    port: int
    fps: int = 15
    quality: int = 80
    width: int = 960

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        return is_local(self.host)


def parse_address(target: str) -> Address:
    """`[HOST:]PORT[?fps=N&quality=N&width=N]` -> Address; an IPv6 host stands in brackets.

    Raises:
        SinkError: no port, an unknown option, or a value out of its range.
    """
    what = f"sink 'web:{target}'"
    place, _, query = target.partition("?")
    host, _, port = place.rpartition(":")
    if not port.isdecimal() or int(port) > 65535 or (":" in host and not (host[0], host[-1]) == ("[", "]")):
        raise SinkError(what, got=repr(place), expected=EXPECTED)
    options = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in OPTIONS:
            raise SinkError(f"{what}: option '{key}'", got="no such option", expected=", ".join(OPTIONS),
                            do=near(key, list(OPTIONS)))
        least, most = OPTIONS[key]
        if not value.isdecimal() or not least <= int(value) <= most:
            raise SinkError(f"{what}: option '{key}'", got=repr(value), expected=f"{least} to {most}")
        options[key] = int(value)
    return Address(host.strip("[]") or LOOPBACK, int(port), **options)


def read_token(address: Address) -> str:
    """The token that viewers must know, from EPEE_WEB_TOKEN or the file that EPEE_WEB_TOKEN_FILE names, or ''.

    There is no option for it: other users of a machine read a command's options.

    Raises:
        SinkError: there is none and the address is reached from elsewhere, or the file cannot be read.
    """
    token = os.environ.get("EPEE_WEB_TOKEN", "")
    if file := os.environ.get("EPEE_WEB_TOKEN_FILE"):
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SinkError("EPEE_WEB_TOKEN_FILE", got=(error.strerror or str(error)).lower(),
                            expected="a file that can be read") from None
    if not token and not address.local:
        raise SinkError(f"sink 'web:{address.host}:{address.port}'", got="an address that others reach, and no token",
                        expected="a token", do="set EPEE_WEB_TOKEN (or EPEE_WEB_TOKEN_FILE), or take web:PORT for "
                        "this machine alone")
    return token


def is_local(host: str) -> bool:
    """Whether a host's name or address is this machine's own loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
