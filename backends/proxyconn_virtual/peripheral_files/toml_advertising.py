"""What a peripheral of a TOML file says on the air."""

from __future__ import annotations

from typing import Any

from proxyconn.cli.config_file import Table
from proxyconn_virtual.advertising import Advertisement, PrivateAddress, payload
from proxyconn_virtual.peripheral_files.toml_values import (
    company,
    data_by,
    hex_bytes,
    number,
    uuid,
    whole,
)

PARTS = ("flags", "name", "services", "service_data", "manufacturer_data", "tx_power", "appearance")
"""Keys of what a payload is put together from; see `payload`."""

_USUAL_FLAGS = 0x06
_LONGEST = 1e6
"""Seconds, of a private address."""


def service_data(table: Table) -> dict[str | int, bytes]:
    """Return the service data of a table. Raises ConfigError."""
    return {**data_by(table, "service_data", uuid, '{ fcd2 = "40 01" }')}


def manufacturer_data(table: Table) -> dict[int, bytes]:
    """Return the manufacturer data of a table. Raises ConfigError."""
    return data_by(table, "manufacturer_data", company, '{ 0xffff = "01 02" }')


def advertisements(table: Table) -> tuple[Advertisement, ...] | None:
    """Return what is under [[peripheral.advertisement]]; None if nothing is. Raises ConfigError."""
    return tuple(map(_advertisement, table.tables("advertisement"))) or None


def _advertisement(table: Table) -> Advertisement:
    table.allow("data", "scan_response", "extended", *PARTS)
    data = hex_bytes(table, "data")
    if data is None:
        data = _put_together(table, flags=_USUAL_FLAGS)
    elif parts := [part for part in PARTS if part in table.values]:
        raise table.error("data", f"is all there is; leave it out, or {', '.join(parts)}")
    try:
        return Advertisement(
            data=data,
            scan_response=_scan_response(table),
            extended=table.get("extended", bool, "true or false") is True,
        )
    except ValueError as exc:
        raise table.error("data", f"cannot be said: {exc}") from None


def _scan_response(table: Table) -> bytes:
    if isinstance(table.values.get("scan_response"), dict):
        parts = table.table("scan_response")
        if parts is not None:
            parts.allow(*PARTS)
            return _put_together(parts, flags=None)
    return hex_bytes(table, "scan_response") or b""


def _put_together(table: Table, *, flags: int | None) -> bytes:
    services = table.texts("services", 'a list of UUIDs, such as ["180f"]')
    given: dict[str, Any] = {
        "flags": whole(table, "flags", 0, 0xFF),
        "name": table.get("name", str, "a name in quotes"),
        "services": [uuid(table, "services", one) for one in services],
        "service_data": service_data(table),
        "manufacturer_data": manufacturer_data(table),
        "tx_power": whole(table, "tx_power", -127, 127),
        "appearance": whole(table, "appearance", 0, 0xFFFF),
    }
    if given["flags"] is None:
        given["flags"] = flags
    try:
        return payload(**given)
    except ValueError as exc:
        raise table.error("data", f"cannot be put together: {exc}") from None


def private_address(table: Table) -> PrivateAddress | None:
    """Return what is under [peripheral.private_address]; None if nothing. Raises ConfigError."""
    private = table.table("private_address")
    if private is None:
        return None
    private.allow("irk", "every")
    every = number(private, "every", 0.1, _LONGEST)
    irk = hex_bytes(private, "irk")
    try:
        return PrivateAddress(irk) if every is None else PrivateAddress(irk, every)
    except ValueError:
        raise private.error("irk", "must be 32 hex digits in quotes; without it, none is") from None
