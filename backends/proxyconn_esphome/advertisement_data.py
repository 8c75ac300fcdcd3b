"""From a proxy's raw advertising reports to bleak's advertisement data."""

from __future__ import annotations

from inspect import unwrap
from typing import Final

from bleak.backends.scanner import AdvertisementData
from bluetooth_data_tools import parse_advertisement_data_bytes

from proxyconn.advertised.fields import PADDING, once_each, plain_name
from proxyconn.radio import NO_RSSI_VALUE, Fields

_parse: Final = unwrap(parse_advertisement_data_bytes)
# Without its cache: what is asked for here is new to us, and to it.

SHORTENED_NAME, COMPLETE_NAME = 0x08, 0x09
"""AD types of a local name (Assigned Numbers 2.3)."""


def said_by(data: bytes) -> Fields:
    """Return what an advertisement and its scan response, back to back, say.

    Args:
        data: AD structures (Core Specification vol 3 C 11).

    Returns:
        Its lists and dicts are shared with whatever else has parsed the same data: they are to be
        left alone, and copied for users.
    """
    name, service_uuids, service_data, manufacturer_data, tx_power = _parse(data)
    if name and name[-1] in PADDING:
        name = plain_name(name)
    if len(service_uuids) > 1:
        service_uuids = once_each(service_uuids)
    return (name, manufacturer_data, service_data, service_uuids, tx_power, NO_RSSI_VALUE, ())


def advertisement_data(data: bytes, rssi: int = NO_RSSI_VALUE) -> AdvertisementData:
    """Return the same as bleak has it, with an RSSI in dBm."""
    return AdvertisementData(*said_by(data)[:5], rssi, ())


def has_shortened_name(data: bytes) -> bool:
    """Whether the name in AD structures is a shortened one."""
    kinds = set()
    at = 0
    while at + 1 < len(data):
        length = data[at]
        if length > 1 and at + length < len(data):
            kinds.add(data[at + 1])
        at += 1 + length
    return SHORTENED_NAME in kinds and COMPLETE_NAME not in kinds
