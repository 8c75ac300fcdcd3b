"""The configuration as a text that keeps what was in it, and as a file that only its user reads."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import AoT, Table

from proxyconn.cli.config_file import DEFAULT_PORT, Config, ConfigError, parse_config, read_text
from proxyconn.cli.setup.found_proxies import FoundProxy
from proxyconn.radio_names import entry_for, hex_digits

HEADER = (
    "# Written by `proxyconn init`; what else may stand here: docs/reference/configuration.md\n"
)

HIDDEN = "…"
"""Stands for a key or a password that is not shown."""

_NODE_NAME = re.compile(r"[a-z0-9_-]+", re.IGNORECASE)


def configured(text: str, source: str, proxies: Iterable[FoundProxy]) -> str:
    """Return a configuration that opens the proxies as well; comments and order stay.

    Args:
        text: the configuration as it is; empty for none.
        source: name of the file, for errors.
        proxies: those that are to be in it, with what opens them.

    Raises:
        ConfigError: `text` is no configuration.
    """
    config = parse_config(text, source)
    document = tomlkit.parse(text or HEADER)
    for proxy in proxies:
        if (table := _own_table(document, proxy)) is not None:
            # What a proxy has refused, or could not be asked about, replaces nothing.
            if proxy.is_open:
                _open_by(table, proxy)
        elif proxy.by_mdns and config.discover and not proxy.password:
            _add_key(document, config, proxy)
        else:
            _add_table(document, proxy)
    made = tomlkit.dumps(document)
    parse_config(made, source)
    return made


def _own_table(document: tomlkit.TOMLDocument, proxy: FoundProxy) -> Table | None:
    for table in document.get("proxy", ()):
        if (table.get("host"), table.get("port", DEFAULT_PORT)) == (proxy.host, proxy.port):
            return table  # type: ignore[no-any-return]  # whatever a document holds is Any
    return None


def _open_by(table: Table, proxy: FoundProxy) -> None:
    for name, secret in (("key", proxy.key), ("password", proxy.password)):
        if secret and table.get(name) != secret:
            table[name] = secret


def _add_key(document: tomlkit.TOMLDocument, config: Config, proxy: FoundProxy) -> None:
    mac = hex_digits(proxy.mac) if proxy.mac else None
    known = entry_for(config.keys, proxy.name, mac) or config.key
    if proxy.key is None or proxy.key == known:
        return
    # Two boards of one YAML have one name; then the second is called by the end of its address.
    name = proxy.name if _NODE_NAME.fullmatch(proxy.name) else proxy.mac or proxy.name
    if "keys" not in document:
        if document:
            document.add(tomlkit.nl())
        document.add("keys", tomlkit.table())
    document["keys"][name] = proxy.key


def _add_table(document: tomlkit.TOMLDocument, proxy: FoundProxy) -> None:
    table = tomlkit.table()
    table["host"] = proxy.host
    if proxy.port != DEFAULT_PORT:
        table["port"] = proxy.port
    if proxy.is_open and _NODE_NAME.fullmatch(proxy.name):
        table["name"] = proxy.name
    _open_by(table, proxy)
    if "proxy" not in document:
        document.add("proxy", tomlkit.aot())
    tables = document["proxy"]
    assert isinstance(tables, AoT)
    tables.append(table)


def without_secrets(text: str) -> str:
    """Return a configuration as it may be shown: keys and passwords are not in it."""
    document = tomlkit.parse(text)
    hide(document)
    return tomlkit.dumps(document)


SECRET_NAMES = frozenset({"key", "password", "noise_psk", "token"})
"""Names of values that are secret, wherever they stand."""

SECRET_TABLES = frozenset({"keys"})
"""Names of tables whose every value is."""


def hide(values: Any, *, every: bool = False, shown: str = HIDDEN) -> None:
    """Replace the secrets in a table, and in all that is in it.

    Args:
        values: the table; changed in place.
        every: whether each of its values is secret.
        shown: what is there instead.
    """
    for name, value in list(values.items()):
        if hasattr(value, "items"):
            hide(value, every=every or name in SECRET_TABLES, shown=shown)
        elif isinstance(value, list):
            for item in value:
                if hasattr(item, "items"):
                    hide(item, every=every or name in SECRET_TABLES, shown=shown)
            if every or name in SECRET_NAMES:
                values[name] = shown
        elif every or name in SECRET_NAMES:
            values[name] = shown


def read(file: Path) -> str:
    """Return what is in a file; nothing if there is none. Raises ConfigError."""
    try:
        return read_text(file)
    except FileNotFoundError:
        return ""


def write(file: Path, text: str, *, instead_of: str) -> None:
    """Write a file that its user alone can read: the whole of it, or nothing.

    Args:
        file: where; its folder is made. What a symbolic link points to is replaced, not the link.
        text: what is to be in it.
        instead_of: what is in it now, as `read` has returned it.

    Raises:
        ConfigError: somebody else has changed it meanwhile.
        OSError: it cannot be written.
    """
    target = file.resolve()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(number, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if read(target) != instead_of:
            raise ConfigError(f"{file}: it was changed meanwhile; run `proxyconn init` again")
        beside.replace(target)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
