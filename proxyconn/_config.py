"""The configuration file: TOML text in, settings out."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

from proxyconn._errors import InvalidKeyError
from proxyconn.radio import Proxy, check_key

DEFAULT_PORT = 6053
"""TCP port of the native API (ESPHome's `api:` component)."""

MAX_PORT = 65535

ValueT = TypeVar("ValueT")


class ConfigError(ValueError):
    """The configuration file cannot be used; the text says where and what to do."""


@dataclass(frozen=True, slots=True)
class Config:
    """What a configuration file says.

    Attributes:
        discover: whether to look for proxies by mDNS.
        key: encryption key of every proxy that has none of its own; base64 of 32 bytes.
        keys: encryption keys by proxy name.
        proxies: proxies that are known; their own keys only.
    """

    discover: bool = True
    key: str | None = field(default=None, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxies: tuple[Proxy, ...] = ()

    @property
    def has_keys(self) -> bool:
        """Whether any encryption key stands in it."""
        proxies = any(proxy.noise_psk for proxy in self.proxies)
        return self.key is not None or bool(self.keys) or proxies


def parse_config(text: str, source: str) -> Config:
    """Return what a configuration file says.

    Args:
        text: the file, TOML.
        source: its name, for errors.

    Raises:
        ConfigError: it is no TOML, or a value in it is unknown or wrong.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{source}: not valid TOML: {exc}") from None
    top = _Table(source, "", document)
    top.allow("discover", "key", "keys", "proxy")
    keys = _Table(source, "keys", top.get("keys", dict, "a table of name = key") or {})
    return Config(
        discover=top.get("discover", bool, "true or false") is not False,
        key=top.key("key"),
        keys={name: key for name in keys.values if (key := keys.key(name))},
        proxies=tuple(
            _proxy(_Table(source, f"proxy {number}", value))
            for number, value in enumerate(top.tables("proxy"), start=1)
        ),
    )


def _proxy(table: _Table) -> Proxy:
    table.allow("host", "port", "key", "name")
    host = table.get("host", str, 'a host name or IP address, such as "10.0.0.7"')
    if not host:
        raise table.error("host", "is missing; every [[proxy]] needs one")
    port = table.get("port", int, f"a TCP port, 1 to {MAX_PORT}")
    if port is not None and not 1 <= port <= MAX_PORT:
        raise table.error("port", f"must be 1 to {MAX_PORT}, not {port}")
    return Proxy(
        host=host,
        port=DEFAULT_PORT if port is None else port,
        noise_psk=table.key("key"),
        name=table.get("name", str, "the proxy's node name"),
    )


@dataclass(frozen=True, slots=True)
class _Table:
    source: str
    path: str
    values: Mapping[str, Any]

    def error(self, name: str, what: str) -> ConfigError:
        return ConfigError(f"{self.source}: {self._label(name)} {what}")

    def _label(self, name: str) -> str:
        return f"{self.path}: {name}" if self.path else name

    def allow(self, *names: str) -> None:
        for name in self.values:
            if name not in names:
                raise self.error(name, f"is unknown; {_suggestion(name, names)}")

    def get(self, name: str, type_: type[ValueT], expected: str) -> ValueT | None:
        value = self.values.get(name)
        # TOML keeps booleans and integers apart, Python does not.
        if value is None or (isinstance(value, type_) and type(value) is type_):
            return value
        raise self.error(name, f"must be {expected}")

    def key(self, name: str) -> str | None:
        key = self.get(name, str, "an encryption key in quotes")
        try:
            check_key(key, self._label(name))
        except InvalidKeyError as exc:
            raise ConfigError(f"{self.source}: {exc}") from None
        return key

    def tables(self, name: str) -> list[Mapping[str, Any]]:
        tables = self.get(name, list, "a list of tables, each under [[proxy]]") or []
        if not all(isinstance(table, dict) for table in tables):
            raise self.error(name, "must be a list of tables, each under [[proxy]]")
        return tables


def _suggestion(name: str, names: Collection[str]) -> str:
    close = get_close_matches(name, names, 1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(names)}"
