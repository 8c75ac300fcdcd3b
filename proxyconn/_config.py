"""The configuration file: TOML text in, settings out."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

from proxyconn._device import colon_address, is_address
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
        adapters: whether to use local adapters, or the names of those to use.
        prefer, avoid, require: device address -> names of radios.
    """

    discover: bool = True
    key: str | None = field(default=None, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxies: tuple[Proxy, ...] = ()
    adapters: bool | tuple[str, ...] = False
    prefer: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    avoid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    require: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

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
        top = _Table(source, "", tomllib.loads(text))
    except (ValueError, RecursionError) as exc:
        # Numbers of thousands of digits and brackets without end have errors of their own.
        raise ConfigError(f"{source}: not valid TOML: {exc}") from None
    finally:
        # There are keys in it, and some tracebacks show local variables.
        del text
    top.allow("discover", "key", "keys", "proxy", "adapters", "device")
    keys = _Table(source, "keys", top.get("keys", dict, "a table of name = key") or {})
    devices = [_Device(table) for table in top.tables("device")]
    return Config(
        adapters=_adapters(top),
        prefer={device.address: named for device in devices if (named := device.radios("prefer"))},
        avoid={device.address: named for device in devices if (named := device.radios("avoid"))},
        require={
            device.address: named for device in devices if (named := device.radios("require"))
        },
        discover=top.get("discover", bool, "true or false") is not False,
        key=top.key("key"),
        keys=keys.all_keys(),
        proxies=tuple(_proxy(table) for table in top.tables("proxy")),
    )


def _adapters(top: _Table) -> bool | tuple[str, ...]:
    if isinstance(top.values.get("adapters"), list):
        return top.texts("adapters", 'true, false or a list of names, such as ["hci0"]')
    return top.get("adapters", bool, 'true, false or a list of names, such as ["hci0"]') is True


class _Device:
    """What is said about the radios for one device."""

    def __init__(self, table: _Table) -> None:
        self._table = table
        table.allow("address", "prefer", "avoid", "require")
        address = table.get("address", str, 'an address, such as "C4:00:00:00:00:01"')
        if not address or not is_address(address):
            raise table.error("address", 'must be an address, such as "C4:00:00:00:00:01"')
        self.address = colon_address(address)

    def radios(self, name: str) -> tuple[str, ...]:
        return self._table.texts(name, 'a list of names of radios, such as ["kitchen"]')


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
    values: Mapping[str, Any] = field(repr=False)

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
        del value
        raise self.error(name, f"must be {expected}")

    def key(self, name: str) -> str | None:
        key = self.get(name, str, "an encryption key in quotes")
        try:
            check_key(key, self._label(name))
        except InvalidKeyError as exc:
            del key
            raise ConfigError(f"{self.source}: {exc}") from None
        return key

    def all_keys(self) -> dict[str, str]:
        return {name: key for name in self.values if (key := self.key(name))}

    def texts(self, name: str, expected: str) -> tuple[str, ...]:
        texts = self.get(name, list, expected) or []
        if not all(isinstance(text, str) for text in texts):
            raise self.error(name, f"must be {expected}")
        return tuple(texts)

    def tables(self, name: str) -> list[_Table]:
        tables = self.get(name, list, f"a list of tables, each under [[{name}]]") or []
        if not all(isinstance(table, dict) for table in tables):
            del tables
            raise self.error(name, f"must be a list of tables, each under [[{name}]]")
        return [
            _Table(self.source, f"{name} {number}", values)
            for number, values in enumerate(tables, start=1)
        ]


def _suggestion(name: str, names: Collection[str]) -> str:
    close = get_close_matches(name, names, 1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(names)}"
