"""What an owner serves, to whom and where: the `[serve]` and `[[client]]` tables, and options."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from proxyconn.cli.config_file import DEFAULT_PORT, ConfigError, Table
from proxyconn.ports import MAX_PORT
from proxyconn.routing.fair_shares import Share
from proxyconn_native_api.mdns import EVERY_ADDRESS

DEFAULT_NAME: Final = "proxyconn"
LOOPBACK: Final = "127.0.0.1"

_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/?")
_USUAL_PORTS: Final = frozenset({("http", 80), ("https", 443)})


@dataclass(frozen=True, slots=True)
class Listen:
    """Where clients are welcome.

    Attributes:
        host: IP address; `0.0.0.0` for every IPv4 address, `::` for every IPv6 address.
        port: TCP port of the first proxy; 0 for any, mirrored ones then have any port, too.
    """

    host: str = EVERY_ADDRESS
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return place(self.host, self.port)


@dataclass(frozen=True, slots=True)
class ClientRule:
    """What one client may count on.

    Attributes:
        name: what it calls itself in its Hello, or the address it calls from.
        share: its slots.
    """

    name: str
    share: Share


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What to serve.

    Attributes:
        api: where clients are welcome.
        one: whether to serve the fleet as one proxy.
        mirrored: whether to serve one proxy for each radio.
        radios: names of the only radios to mirror; none for all.
        name: name of the one proxy, and beginning of the mirrored ones'.
        announce: whether to announce them by mDNS.
        noise_psk: the key of them all; None for the one made on the first start.
        idle_timeout: seconds after which a link that carries nothing is asked back; None for never.
        clients: what single clients may count on.
        web: where the web page and its API are; None for nowhere but on the Unix socket.
        web_token_file: where the tokens for it are; None for a file in the state folder.
        web_origin: what browsers call the server that stands before it; None for none.
    """

    api: Listen = Listen()
    one: bool = True
    mirrored: bool = False
    radios: tuple[str, ...] = ()
    name: str = DEFAULT_NAME
    announce: bool = True
    noise_psk: str | None = field(default=None, repr=False)
    idle_timeout: float | None = None
    clients: tuple[ClientRule, ...] = ()
    web: Listen | None = None
    web_token_file: Path | None = None
    web_origin: str | None = None

    def party_of(self, name: str, host: str, port: int) -> str:
        """Return whom a client belongs to that calls itself `name` and calls from there.

        All clients that one rule is about are one party; any other is one by itself.
        """
        for rule in self.clients:
            if rule.name in (name, host):
                return rule.name
        return f"{name or 'a client'} at {place(host, port)}"

    def shares(self) -> Mapping[str, Share]:
        """Return the share of each client that has one."""
        return {rule.name: rule.share for rule in self.clients}


def place(host: str, port: int) -> str:
    """Return where something listens as people write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_listen(text: str, default_host: str = EVERY_ADDRESS) -> Listen:
    """Return where to listen, of `[HOST:]PORT`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or default_host
    if not (port.isascii() and port.isdecimal() and int(port) <= MAX_PORT):
        raise ValueError(f"{text!r} is not PORT or HOST:PORT; a port is 0 to {MAX_PORT}")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{host!r} is not an IP address of this machine") from None
    return Listen(str(address), int(port))


def parse_origin(text: str) -> str:
    """Return an origin as browsers send it. Raises ValueError."""
    found = _ORIGIN.fullmatch(text.lower())
    wrong = f"{text!r} is not like https://proxies.example, without a path"
    if not found:
        raise ValueError(wrong)
    scheme, host, _ = found.groups()
    try:
        port = urlsplit(found[0]).port
    except ValueError:
        raise ValueError(wrong) from None
    if port == 0:
        raise ValueError(wrong)
    usual = port is None or (scheme, port) in _USUAL_PORTS
    return f"{scheme}://{host}" + ("" if usual else f":{port}")


def parse_serve(table: Table | None, clients: Iterable[Table]) -> ServeSettings:
    """Return what the configuration says about serving.

    Raises:
        ConfigError: a value is unknown or wrong.
    """
    rules = tuple(_client(client) for client in clients)
    if table is None:
        return ServeSettings(clients=rules)
    table.allow(
        "api",
        "one",
        "mirrored",
        "radios",
        "name",
        "announce",
        "noise_psk",
        "idle_timeout",
        "web",
        "web_token_file",
        "web_origin",
    )
    mirrored = table.get("mirrored", bool, "true or false") is True
    one = table.get("one", bool, "true or false")
    file = table.get("web_token_file", str, "the path of a file")
    return ServeSettings(
        api=_listen(table, "api") or Listen(),
        one=not mirrored if one is None else one,
        mirrored=mirrored,
        radios=table.texts("radios", 'a list of names of radios, such as ["kitchen"]'),
        name=table.get("name", str, "a node name") or DEFAULT_NAME,
        announce=table.get("announce", bool, "true or false") is not False,
        noise_psk=table.key("noise_psk"),
        idle_timeout=_seconds(table, "idle_timeout"),
        clients=rules,
        web=_listen(table, "web", LOOPBACK),
        web_token_file=Path(file).expanduser() if file else None,
        web_origin=_origin(table, "web_origin"),
    )


def _listen(table: Table, name: str, default_host: str = EVERY_ADDRESS) -> Listen | None:
    value = table.values.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError("neither a port nor a text")
        return parse_listen(str(value), default_host)
    except ValueError:
        raise table.error(name, f"must be a port, 0 to {MAX_PORT}, or HOST:PORT") from None


def _origin(table: Table, name: str) -> str | None:
    value = table.get(name, str, "an origin such as https://proxies.example")
    try:
        return parse_origin(value) if value else None
    except ValueError:
        raise table.error(name, "must be like https://proxies.example, without a path") from None


def _seconds(table: Table, name: str) -> float | None:
    value = table.values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise table.error(name, "must be seconds, more than 0")
    return float(value)


def _client(table: Table) -> ClientRule:
    table.allow("name", "slots", "max_slots")
    name = table.get("name", str, "a client's name or address")
    if not name:
        raise table.error("name", "is missing; every [[client]] needs one")
    slots = table.get("slots", int, "a number of slots")
    most = table.get("max_slots", int, "a number of slots")
    try:
        return ClientRule(name, Share(slots or 0, most))
    except ValueError as exc:
        raise table.error("slots", f"and max_slots do not go together: {exc}") from None


__all__ = [
    "ClientRule",
    "ConfigError",
    "Listen",
    "ServeSettings",
    "parse_listen",
    "parse_origin",
    "parse_serve",
    "place",
]
