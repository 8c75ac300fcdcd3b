"""Who a device says it is, before any of it is believed, kept or shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from aioesphomeapi.model import DeviceInfo

from proxyconn.radio import Proxy
from proxyconn_esphome.wire.problems import Problem, other_device, other_name

MOST_TEXT = 64
"""Characters kept of a name or a version; ESPHome's longest node name has 31."""

_MAC = re.compile(r"[0-9a-f]{12}")

SHARED_PROJECT = "proxyconn.serve"
"""Project name of a proxy that lends a whole fleet, to several programs at once."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as it says itself before it has proven anything.

    Attributes:
        name: node name; may be empty.
        mac: 12 lower-case hex digits.
        host: IP address that it calls from.
    """

    name: str
    mac: str
    host: str


def plain_text(text: str) -> str:
    """Return a text of reasonable length in which nothing can steer a terminal or break a line."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:MOST_TEXT]
    )


def mac_digits(text: str) -> str | None:
    """Return the 12 lower-case hex digits of a MAC address; None if it is none."""
    digits = text[:MOST_TEXT].replace(":", "").lower()
    return digits if _MAC.fullmatch(digits) else None


def tidy(info: DeviceInfo) -> DeviceInfo | None:
    """Return what a device says of itself, fit to be kept; None if it leaves out who it is."""
    mac, name = mac_digits(info.mac_address), plain_text(info.name)
    if mac is None or not name:
        return None
    return replace(  # type: ignore[type-var]  # a dataclass, by a decorator that hides it
        info,
        name=name,
        mac_address=":".join(mac[i : i + 2] for i in range(0, 12, 2)).upper(),
        esphome_version=plain_text(info.esphome_version),
    )


def stranger(info: DeviceInfo, proxy: Proxy, mac: str | None) -> Problem | None:
    """Return what is wrong if the device that answers is not the one that is meant.

    Args:
        info: what it says of itself.
        proxy: the one that is meant, by its name if that is given.
        mac: 12 lower-case hex digits that it must have, whatever it is called by now; None if they
            are not known yet.
    """
    if mac:
        found = mac_digits(info.mac_address)
        return None if found == mac else other_device(mac, found or "")
    # aioesphomeapi compares the name in the first messages, where old firmware leaves it out.
    if proxy.name is not None and info.name != proxy.name:
        return other_name(proxy.name, info.name)
    return None
