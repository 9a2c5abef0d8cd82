"""Who one is to a camera, and that nobody else reads it.

User and password come from the address itself (`rtsp://user:password@host/…`), from a TOML file with a table for each
host, or from EPEE_STREAM_USER and EPEE_STREAM_PASSWORD, in this order:

    ["camera1.lan"]
    user = "viewer"
    password = "…"

They go into `Address.url`, which only the reader of the stream sees. Everything that is shown goes through `redact`.
"""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from ..errors import ConfigError, SourceError

USER, PASSWORD = "EPEE_STREAM_USER", "EPEE_STREAM_PASSWORD"
HIDDEN = "***"
LEAST_SECRET = 4
"""Shorter passwords are not looked for in running text, where they would match by chance."""

_SECRET_NAME = r"[\w-]*(?:pass(?:w(?:or)?d)?|pwd?|token|secret|key|auth|sig(?:nature)?|session|user(?:name|-id)?)"
_PAIR = re.compile(rf"(?i)\b({_SECRET_NAME})=(\"[^\"]*\"|'[^']*'|[^&\s'\"/]+)")
_USERINFO = re.compile(r"([a-z][a-z0-9+.-]*:/{1,3})[^\s/'\"]*@", re.IGNORECASE)
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(?:([^/]*)@)?([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_secrets: set[str] = set()


@dataclass(frozen=True)
class Address:
    """Where a stream is and who may see it.

    Attributes:
        url: with user and password, percent-encoded; for the reader alone.
        bare: the same without user and password; still with the query, which may hold a key.
        shown: without anything secret, for messages.
        name: host and path, for file names and reports.
        user, password: as they are, or ''.
    """

    scheme: str
    host: str
    shown: str
    name: str
    url: str = field(repr=False)
    bare: str = field(repr=False)
    user: str = field(repr=False)
    password: str = field(repr=False)


def redact(text: str) -> str:
    """The text without users, passwords and keys: in addresses, in `name=value` pairs, and those that were used."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _USERINFO.sub(rf"\1{HIDDEN}@", text)
    return _PAIR.sub(rf"\1={HIDDEN}", text)


def locate(text: str, file: str | Path = "") -> Address:
    """Takes a stream's address apart and finds its user and password.

    Args:
        text: `scheme://[user[:password]@]host[:port]/path[?query]`. An `@`, `#` or `?` in the password is understood.
        file: a TOML file of credentials, or ''.

    Raises:
        SourceError: no host in it.
        ConfigError: the file is missing, broken, or can be read by everybody.
    """
    match = _URL.fullmatch(text.strip())
    if match is None or not match[3]:
        raise SourceError(f"stream '{redact(text)}'", got="no host in it", expected="scheme://host[:port]/path")
    scheme, userinfo, host, rest = match[1].lower(), match[2] or "", match[3], match[4]
    user, _, password = (unquote(part) for part in userinfo.partition(":"))
    if not userinfo:
        user, password = _from_file(Path(file), host) if file else ("", "")
    if not user and not password:
        user, password = os.environ.get(USER, ""), os.environ.get(PASSWORD, "")
    path, _, query = rest.partition("?")
    _remember(user, password, query)
    bare = f"{scheme}://{host}{rest}"
    url = f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{host}{rest}" if user or password else bare
    shown = redact(f"{scheme}://{host}{path}")
    name = redact(f"{_without_port(host)}{path}").strip("/")
    return Address(scheme, host, shown, name, url, bare, user, password)


def _remember(user: str, password: str, query: str) -> None:
    """Has `redact` hide what is secret here, in each spelling that a message may hold."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    keys = [value for name, value in parse_qsl(query) if _PAIR.match(f"{name}=x")]
    for secret in (password, quote(password, safe=""), quote(password), *keys, token if password else ""):
        if len(secret) >= LEAST_SECRET:
            _secrets.add(secret)


def _from_file(file: Path, host: str) -> tuple[str, str]:
    """User and password of a host, with its port or without, or two empty strings."""
    hosts = dict(_tables(_read(file)))
    table = hosts.get(host, hosts.get(_without_port(host), {}))
    return str(table.get("user", "")), str(table.get("password", ""))


def _without_port(host: str) -> str:
    """`camera` of `camera:554`; an IPv6 address keeps its brackets."""
    return re.sub(r":\d+$", "", host)


def _read(file: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        if os.name == "posix" and file.stat().st_mode & 0o007:
            raise ConfigError(f"credentials '{file}'", got="a file that everybody may read",
                              expected="one for its owner alone", do=f"type: chmod 600 {file}")
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"credentials '{file}'", got=(error.strerror or "no file").lower(),
                          expected="a TOML file with [\"HOST\"], user and password") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # The reader's own message may quote the line, and with it the password.
        raise ConfigError(f"credentials '{file}'", got="no valid TOML",
                          expected='["HOST"], then user = "…" and password = "…", a line each') from None


def _tables(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Host and table of each host; `[10.0.0.9]` without quotes means tables in tables, and is understood."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = f"{above}.{key}" if above else key
            yield name, value
            yield from _tables(value, name)
