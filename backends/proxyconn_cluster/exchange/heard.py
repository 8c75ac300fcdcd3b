"""Advertisements: batches as proxies send them, and what one of them says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bleak.backends.scanner import AdvertisementData
from bluetooth_data_tools import parse_advertisement_data_bytes
from google.protobuf.message import DecodeError

from proxyconn.advertised.fields import once_each, plain_name
from proxyconn.radio import NO_RSSI_VALUE, Report
from proxyconn_cluster.bus.subjects import token
from proxyconn_native_api.advertising_payload import advertising_payload
from proxyconn_proto import bluetooth_proxy_pb2 as pb


def radio_token(identity: str) -> str:
    """Return what a radio is for good as a part of a subject."""
    return token("".join(one if one.isalnum() else "-" for one in identity)[:64])


def batch(reports: Iterable[Report[Any]]) -> bytes:
    """Return what was heard as message 93 of the native API, which proxies send it in."""
    message = pb.BluetoothLERawAdvertisementsResponse()
    add = message.advertisements.add
    for report in reports:
        data = report.data
        add(
            address=report.address,
            rssi=report.rssi,
            address_type=report.address_type,
            data=data if isinstance(data, bytes) else payload(data),
        )
    return message.SerializeToString()


def reports(data: bytes) -> Sequence[Report[bytes]]:
    """Return what a batch says. Raises ValueError if it is none."""
    try:
        message = pb.BluetoothLERawAdvertisementsResponse.FromString(data)
    except DecodeError as exc:
        raise ValueError(f"no batch of advertisements: {exc}") from None
    return message.advertisements


def payload(said: AdvertisementData) -> bytes:
    """Return AD structures that say what was said."""
    return advertising_payload(
        said.local_name,
        said.manufacturer_data,
        said.service_data,
        said.service_uuids,
        said.tx_power,
    )


def said_by(data: bytes) -> AdvertisementData:
    """Return what AD structures say (Core Specification vol 3 C 11)."""
    name, uuids, service_data, manufacturer_data, tx_power = parse_advertisement_data_bytes(data)
    return AdvertisementData(
        plain_name(name) if name else name,
        manufacturer_data,
        service_data,
        once_each(uuids) if len(uuids) > 1 else uuids,
        tx_power,
        NO_RSSI_VALUE,
        (),
    )
