"""The configuration file: TOML text in, settings out."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from proxyconn.device import colon_address, is_address
from proxyconn.errors import InvalidKeyError
from proxyconn.keys import check_key
from proxyconn.models import ScanMode, scan_mode
from proxyconn.ports import MAX_PORT, listen_port
from proxyconn.radio import Proxy

DEFAULT_PORT = 6053
"""TCP port of the native API (ESPHome's `api:` component)."""

AN_ADDRESS = 'an address, such as "C4:00:00:00:00:01"'
SCAN_MODES = '"active", "passive" or "auto"'

ValueT = TypeVar("ValueT")

Stamp = tuple[int, int]
"""What differs once a file was written: when that was, in nanoseconds, and its bytes."""


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
        listen: whether to take proxies that call by themselves, or the port to do so on.
        scan: how proxies scan; None as each does.
        prefer, avoid, require: device address -> names of radios.
        serve, clients: what is said about lending the fleet, for whoever does.
        cluster: what is said about the cluster that it is lent to.
        stamp: of the file, as it was before it was read; None if there is none.
    """

    discover: bool = True
    key: str | None = field(default=None, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxies: tuple[Proxy, ...] = ()
    adapters: bool | tuple[str, ...] = False
    listen: bool | int = False
    scan: ScanMode | None = None
    prefer: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    avoid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    require: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    serve: Table | None = None
    clients: tuple[Table, ...] = ()
    cluster: Table | None = None
    stamp: Stamp | None = None

    @property
    def has_keys(self) -> bool:
        """Whether any encryption key or password stands in it."""
        proxies = any(proxy.noise_psk or proxy.password for proxy in self.proxies)
        served = self.serve is not None and "noise_psk" in self.serve.values
        return self.key is not None or bool(self.keys) or proxies or served


def parse_config(text: str, source: str) -> Config:
    """Return what a configuration file says.

    Args:
        text: the file, TOML.
        source: its name, for errors.

    Raises:
        ConfigError: it is no TOML, or a value in it is unknown or wrong.
    """
    try:
        top = parse_toml(text, source)
    finally:
        # There are keys in it, and some tracebacks show local variables.
        del text
    top.allow(
        "discover",
        "key",
        "keys",
        "proxy",
        "adapters",
        "listen",
        "scan",
        "device",
        "serve",
        "client",
        "cluster",
    )
    keys = Table(source, "keys", top.get("keys", dict, "a table of name = key") or {})
    devices = [_Device(table) for table in top.tables("device")]
    return Config(
        adapters=_adapters(top),
        listen=_listen(top),
        scan=_scan(top),
        prefer={device.address: named for device in devices if (named := device.radios("prefer"))},
        avoid={device.address: named for device in devices if (named := device.radios("avoid"))},
        require={
            device.address: named for device in devices if (named := device.radios("require"))
        },
        discover=top.get("discover", bool, "true or false") is not False,
        key=top.key("key"),
        keys=keys.all_keys(),
        proxies=tuple(_proxy(table) for table in top.tables("proxy")),
        serve=top.table("serve"),
        clients=tuple(top.tables("client")),
        cluster=top.table("cluster"),
    )


def parse_toml(text: str, source: str) -> Table:
    """Return the top of a TOML text. Raises ConfigError if it is none."""
    try:
        return Table(source, "", tomllib.loads(text))
    except (ValueError, RecursionError) as exc:
        # Numbers of thousands of digits and brackets without end have errors of their own.
        raise ConfigError(f"{source}: not valid TOML: {exc}") from None
    finally:
        del text


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp of a file."""
    return status.st_mtime_ns, status.st_size


def read_text(file: Path) -> str:
    """Return what is in a file that is to be TOML.

    Raises:
        ConfigError: it cannot be read, or is no text.
        FileNotFoundError: there is none.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not valid TOML: it is not UTF-8") from None


def _adapters(top: Table) -> bool | tuple[str, ...]:
    if isinstance(top.values.get("adapters"), list):
        return top.texts("adapters", 'true, false or a list of names, such as ["hci0"]')
    return top.get("adapters", bool, 'true, false or a list of names, such as ["hci0"]') is True


def _listen(top: Table) -> bool | int:
    value = top.values.get("listen", False)
    if not isinstance(value, bool | int):
        raise top.error("listen", f"must be true, false or a TCP port, 1 to {MAX_PORT}")
    try:
        listen_port(value)
    except ValueError:
        raise top.error("listen", f"must be 1 to {MAX_PORT}, not {value}") from None
    return value


def _scan(table: Table) -> ScanMode | None:
    try:
        return scan_mode(table.get("scan", str, SCAN_MODES))
    except ConfigError:
        raise
    except ValueError:
        raise table.error("scan", f"must be {SCAN_MODES}") from None


class _Device:
    """What is said about the radios for one device."""

    def __init__(self, table: Table) -> None:
        self._table = table
        table.allow("address", "prefer", "avoid", "require")
        address = table.address("address")
        if address is None:
            raise table.error("address", f"is missing; it must be {AN_ADDRESS}")
        self.address = address

    def radios(self, name: str) -> tuple[str, ...]:
        return self._table.texts(name, 'a list of names of radios, such as ["kitchen"]')


def _proxy(table: Table) -> Proxy:
    table.allow("host", "port", "key", "password", "name", "scan")
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
        password=table.get("password", str, "a password in quotes"),
        scan=_scan(table),
    )


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a configuration file, whose every complaint says where it stands.

    Attributes:
        source: name of the file.
        path: where the table is in it; empty for the top.
        values: what it says.
    """

    source: str
    path: str
    values: Mapping[str, Any] = field(repr=False)

    def error(self, name: str, what: str) -> ConfigError:
        """Return the error for a value."""
        return ConfigError(f"{self.source}: {self._label(name)} {what}")

    def _label(self, name: str) -> str:
        return f"{self.path}: {name}" if self.path else name

    def allow(self, *names: str) -> None:
        """Raise ConfigError if there is anything but these."""
        for name in self.values:
            if name not in names:
                raise self.error(name, f"is unknown; {_suggestion(name, names)}")

    def get(self, name: str, type_: type[ValueT], expected: str) -> ValueT | None:
        """Return a value; None if there is none. Raises ConfigError if it is of another type."""
        value = self.values.get(name)
        # TOML keeps booleans and integers apart, Python does not.
        if value is None or (isinstance(value, type_) and type(value) is type_):
            return value
        del value
        raise self.error(name, f"must be {expected}")

    def address(self, name: str) -> str | None:
        """Return an address in its usual form; None if there is none. Raises ConfigError."""
        text = self.get(name, str, AN_ADDRESS)
        if text is not None and not is_address(text):
            raise self.error(name, f"must be {AN_ADDRESS}")
        return None if text is None else colon_address(text)

    def key(self, name: str) -> str | None:
        """Return an encryption key; None if there is none. Raises ConfigError."""
        key = self.get(name, str, "an encryption key in quotes")
        try:
            check_key(key, self._label(name))
        except InvalidKeyError as exc:
            del key
            raise ConfigError(f"{self.source}: {exc}") from None
        return key

    def all_keys(self) -> dict[str, str]:
        """Return every value as an encryption key. Raises ConfigError."""
        return {name: key for name in self.values if (key := self.key(name))}

    def texts(self, name: str, expected: str) -> tuple[str, ...]:
        """Return a list of texts; an empty one if there is none. Raises ConfigError."""
        texts = self.get(name, list, expected) or []
        if not all(isinstance(text, str) for text in texts):
            raise self.error(name, f"must be {expected}")
        return tuple(texts)

    def table(self, name: str) -> Table | None:
        """Return a table in this one; None if there is none. Raises ConfigError."""
        values = self.get(name, dict, f"a table, as under [{name}]")
        return None if values is None else Table(self.source, self._label(name), values)

    def tables(self, name: str) -> list[Table]:
        """Return a list of tables; an empty one if there is none. Raises ConfigError."""
        tables = self.get(name, list, f"a list of tables, each under [[{name}]]") or []
        if not all(isinstance(table, dict) for table in tables):
            del tables
            raise self.error(name, f"must be a list of tables, each under [[{name}]]")
        return [
            Table(self.source, self._label(f"{name} {number}"), values)
            for number, values in enumerate(tables, start=1)
        ]


def _suggestion(name: str, names: Collection[str]) -> str:
    close = get_close_matches(name, names, 1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(names)}"
