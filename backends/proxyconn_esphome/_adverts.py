"""From a proxy's raw advertising reports to bleak's advertisement data."""

from __future__ import annotations

from bleak.backends.scanner import AdvertisementData
from bluetooth_data_tools import parse_advertisement_data_bytes

from proxyconn.radio import NO_RSSI_VALUE


def advertisement_data(data: bytes, rssi: int = NO_RSSI_VALUE) -> AdvertisementData:
    """Return what an advertisement and its scan response, back to back, say.

    Args:
        data: AD structures (Core Specification vol 3 C 11).
        rssi: dBm.
    """
    name, service_uuids, service_data, manufacturer_data, tx_power = parse_advertisement_data_bytes(
        data
    )
    # The constructor of a named tuple takes three times as long, for every advertisement.
    return tuple.__new__(
        AdvertisementData,
        (name, manufacturer_data, service_data, service_uuids, tx_power, rssi, ()),
    )
