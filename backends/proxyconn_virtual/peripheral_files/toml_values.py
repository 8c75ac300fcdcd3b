"""Values of a TOML file of peripherals: hex, numbers in their range, one of some words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from proxyconn.cli.config_file import Table
from proxyconn_virtual.advertising import uuid128

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

HEX = 'hex digits in quotes, such as "02 01 06"'


def hex_bytes(table: Table, name: str) -> bytes | None:
    """Return bytes that are written in hex; None if there are none. Raises ConfigError."""
    text = table.get(name, str, HEX)
    return None if text is None else _bytes(table, name, text)


def _bytes(table: Table, name: str, text: object) -> bytes:
    try:
        return bytes.fromhex(text) if isinstance(text, str) else _refuse()
    except ValueError:
        raise table.error(name, f"must be {HEX}") from None


def _refuse() -> bytes:
    raise ValueError


def number(table: Table, name: str, least: float, most: float) -> float | None:
    """Return a number in a range, ends included; None if there is none. Raises ConfigError."""
    value = table.values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise table.error(name, f"must be a number, {least:g} to {most:g}")
    return float(value)


def whole(table: Table, name: str, least: int, most: int) -> int | None:
    """Return a whole number in a range, ends included; None if there is none.

    Raises ConfigError.
    """
    expected = f"a whole number, {least} to {most}"
    value = table.get(name, int, expected)
    if value is not None and not least <= value <= most:
        raise table.error(name, f"must be {expected}")
    return value


def choice(table: Table, name: str, choices: Mapping[str, ValueT], text: str) -> ValueT:
    """Return what a word stands for. Raises ConfigError for one that stands for nothing."""
    if text not in choices:
        raise table.error(name, f"is {text!r}, and can be: {', '.join(choices)}")
    return choices[text]


def uuid(table: Table, name: str, text: object) -> str:
    """Return a UUID in its long form. Raises ConfigError."""
    try:
        if isinstance(text, str):
            return uuid128(text.removeprefix("0x"))
    except ValueError:
        pass
    raise table.error(name, 'must be a UUID, such as "180f", or all 36 characters of it')


def company(table: Table, name: str, text: str) -> int:
    """Return a company identifier that is a key. Raises ConfigError."""
    try:
        identifier = int(text, 0)
    except ValueError:
        identifier = -1
    if not 0 <= identifier <= 0xFFFF:
        raise table.error(name, f"has the company {text!r}; write it as 0x004c, up to 0xffff")
    return identifier


def data_by(
    table: Table, name: str, key: Callable[[Table, str, str], KeyT], example: str
) -> dict[KeyT, bytes]:
    """Return a table of hex by some key; an empty one if there is none. Raises ConfigError."""
    values = table.get(name, dict, f"a table, such as {example}") or {}
    return {key(table, name, one): _bytes(table, name, data) for one, data in values.items()}
