"""A TOML file of peripherals: TOML text in, peripherals out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from proxyconn.cli.config_file import Table, parse_toml
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.peripheral_files.toml_advertising import (
    advertisements,
    manufacturer_data,
    private_address,
    service_data,
)
from proxyconn_virtual.peripheral_files.toml_values import choice, hex_bytes, number, uuid, whole

EVERY_PROXY: Final = ""
"""Place of an rssi that is that of every proxy."""

FIRST_ADDRESS: Final = 0xC40000020000
"""Of peripherals that have none of their own, those after it in the order of the file."""

LEAST_INTERVAL: Final = 0.02
"""Seconds (Core Specification vol 6 B 4.4.2.2.1)."""

_MOST_SECONDS: Final = 86400.0
_ADDRESS_TYPES: Final = {"public": 0, "random": 1}
_PROPERTIES: Final = {
    "read": Properties.READ,
    "write": Properties.WRITE,
    "write-without-response": Properties.WRITE_WITHOUT_RESPONSE,
    "notify": Properties.NOTIFY,
    "indicate": Properties.INDICATE,
}
_FLAGS: Final = ("pairable", "name_in_response")
_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "interval": (LEAST_INTERVAL, _MOST_SECONDS),
    "latency": (0, _MOST_SECONDS),
    "att_latency": (0, _MOST_SECONDS),
    "loss": (0, 1),
}
_OTHERS: Final = (
    "address", "address_type", "name", "rssi", "mtu", "manufacturer_data", "service_data",
    "private_address", "advertisement", "service",
)  # fmt: skip


def parse_peripherals(text: str, source: str) -> list[Peripheral]:
    """Return the peripherals of a TOML file.

    Args:
        text: the file.
        source: its name, for errors.

    Raises:
        ConfigError: it is no TOML, or a value in it is unknown or wrong.
    """
    top = parse_toml(text, source)
    top.allow("peripheral")
    return [
        _peripheral(table, FIRST_ADDRESS + number)
        for number, table in enumerate(top.tables("peripheral"), start=1)
    ]


def _peripheral(table: Table, number_of_it: int) -> Peripheral:
    table.allow(*_OTHERS, *_FLAGS, *_RANGES)
    name = table.get("name", str, "a name in quotes")
    if not name:
        raise table.error("name", 'is missing; give it one, such as name = "Sensor"')
    given: dict[str, Any] = {
        **{key: table.get(key, bool, "true or false") for key in _FLAGS},
        **{key: number(table, key, *bounds) for key, bounds in _RANGES.items()},
        "mtu": whole(table, "mtu", 23, 517),
    }
    kind = table.get("address_type", str, "public or random") or "random"
    return Peripheral(
        address=table.address("address") or number_of_it.to_bytes(6, "big").hex(":").upper(),
        name=name,
        address_type=choice(table, "address_type", _ADDRESS_TYPES, kind),
        rssi=_rssi(table),
        services=tuple(map(_service, table.tables("service"))),
        manufacturer_data=manufacturer_data(table),
        service_data=service_data(table),
        advertising=advertisements(table),
        private_address=private_address(table),
        **{key: value for key, value in given.items() if value is not None},
    )


def _rssi(table: Table) -> dict[str, int]:
    """Return dBm by proxy; of every proxy, under the name EVERY_PROXY."""
    if isinstance(table.values.get("rssi"), dict):
        heard = table.table("rssi")
        if heard is not None:
            return {name: whole(heard, name, -127, 20) or 0 for name in heard.values}
    rssi = whole(table, "rssi", -127, 20)
    return {} if rssi is None else {EVERY_PROXY: rssi}


def _service(table: Table) -> ServiceSpec:
    table.allow("uuid", "characteristic")
    return ServiceSpec(
        uuid(table, "uuid", table.values.get("uuid")),
        tuple(map(_characteristic, table.tables("characteristic"))),
    )


def _characteristic(table: Table) -> CharacteristicSpec:
    table.allow(
        "uuid", "properties", "value", "text", "encrypted", "cccd", "description", "echo",
        "notify_every", "notify",
    )  # fmt: skip
    properties = Properties(0)
    for word in table.texts("properties", f"a list of {', '.join(_PROPERTIES)}") or ("read",):
        properties |= choice(table, "properties", _PROPERTIES, word)
    text = table.get("text", str, "a text in quotes")
    if text is not None and "value" in table.values:
        raise table.error("text", "is the value, in letters; leave it out, or value")
    value = (hex_bytes(table, "value") or b"") if text is None else text.encode()
    echoes = table.get("echo", bool, "true or false")
    given: dict[str, Any] = {
        "encrypted": table.get("encrypted", bool, "true or false"),
        "cccd": table.get("cccd", bool, "true or false"),
        "description": table.get("description", str, "a text in quotes"),
        "notify_every": number(table, "notify_every", 0.001, _MOST_SECONDS),
        "notify_value": _notify(table),
        "on_write": (lambda written: written) if echoes else None,
    }
    return CharacteristicSpec(
        uuid(table, "uuid", table.values.get("uuid")),
        properties,
        value,
        **{key: one for key, one in given.items() if one is not None},
    )


def _notify(table: Table) -> Callable[[int], bytes] | None:
    """Return what is notified, in turns; None if it does not say."""
    expected = 'a list of hex texts, such as ["01", "02"]'
    texts = table.texts("notify", expected)
    if not texts:
        return None
    if "notify_every" not in table.values:
        raise table.error("notify", "needs notify_every, the seconds between two of them")
    try:
        values = [bytes.fromhex(text) for text in texts]
    except ValueError:
        raise table.error("notify", f"must be {expected}") from None
    return lambda count: values[count % len(values)]
