"""Device addresses as text."""

from __future__ import annotations

import hashlib


def address_text(address: int) -> str:
    """Return a 48-bit address as six upper-case, colon-separated hex octets."""
    digits = f"{address:012X}"
    return ":".join(digits[index : index + 2] for index in range(0, 12, 2))


def mac_for(name: str) -> str:
    """Return a MAC address that depends on the name alone, locally administered and unicast."""
    octets = bytearray(hashlib.sha256(name.encode()).digest()[:6])
    octets[0] = octets[0] & 0xFC | 0x02
    return address_text(int.from_bytes(octets, "big"))


def bluetooth_mac(mac: str) -> str:
    """Return the Bluetooth address of an ESP32 with this base MAC: two higher."""
    return address_text((int(mac.replace(":", ""), 16) + 2) % (1 << 48))
