"""Passes what radios hear on to subscribers: raw, in a proxy's batches, serialized once for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from bleak.backends.scanner import AdvertisementData

from proxyconn.radio import Report
from proxyconn_native_api.advertising_payload import advertising_payload
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_proto.ids import ID_BY_CLASS

FLUSH_SIZE: Final = 16
"""Advertisements in a full batch (ESPHome bluetooth_proxy.cpp FLUSH_BATCH_SIZE)."""

FLUSH_AFTER: Final = 0.1
"""Seconds until a batch goes out that is not full (bluetooth_proxy.cpp)."""

BATCH_ID: Final = ID_BY_CLASS[pb.BluetoothLERawAdvertisementsResponse]


class Subscriber(Protocol):
    """Somebody who wants to hear."""

    def send_encoded(self, number: int, payload: bytes) -> None:
        """Take a message that is serialized already."""


class Broadcast:
    """Batches of what one served proxy hears.

    Args:
        subscribers: says who wants to hear now.
    """

    def __init__(self, subscribers: Callable[[], Iterable[Subscriber]]) -> None:
        self._subscribers = subscribers
        self._batch = pb.BluetoothLERawAdvertisementsResponse()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def add(self, reports: Iterable[Report[Any]]) -> None:
        """Take what was heard."""
        advertisements = self._batch.advertisements
        for report in reports:
            data = report.data
            if isinstance(data, AdvertisementData):
                data = advertising_payload(
                    data.local_name,
                    data.manufacturer_data,
                    data.service_data,
                    data.service_uuids,
                    data.tx_power,
                )
            advertisements.add(
                address=report.address,
                rssi=report.rssi,
                address_type=report.address_type,
                data=data,
            )
            if len(advertisements) >= FLUSH_SIZE:
                self.flush()
                advertisements = self._batch.advertisements
        if self._timer is None and advertisements:
            self._timer = self._loop.call_later(FLUSH_AFTER, self.flush)

    def flush(self) -> None:
        """Send what there is."""
        self.close()
        if self._batch.advertisements:
            payload = self._batch.SerializeToString()
            self._batch.Clear()
            for subscriber in self._subscribers():
                subscriber.send_encoded(BATCH_ID, payload)

    def close(self) -> None:
        """Stop the clock; idempotent."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
