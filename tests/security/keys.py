"""How a key would look if it were shown."""

from __future__ import annotations

from base64 import b64decode, b64encode


def shapes(key: str) -> tuple[str, ...]:
    """Return everything that gives a key away: in base64, as hex, and as Python shows bytes."""
    raw = b64decode(key)
    return (key, key[:20], raw.hex(), repr(raw)[2:-1], b64encode(raw[:24]).decode())


def shown(text: str, *keys: str) -> list[str]:
    """Return what of the keys stands in a text."""
    return [shape for key in keys for shape in shapes(key) if shape in text]
