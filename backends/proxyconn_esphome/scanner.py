"""The bleak scanner backend for what one proxy hears."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from bleak.backends.scanner import AdvertisementDataCallback, BaseBleakScanner
from bluetooth_data_tools import int_to_bluetooth_address

from proxyconn.radio import ROUTE

from ._adverts import advertisement_data
from ._listener import SessionListener
from ._messages import BluetoothLERawAdvertisementsResponse
from ._route import SessionRoute
from ._session import ProxySession

MOST_SEEN = 20_000
"""Devices that a scan remembers; the one that was seen first is forgotten first."""


class ESPHomeScanner(BaseBleakScanner, SessionListener):
    """Hears through one proxy: `BleakScanner(backend=ESPHomeScanner, session=session)`.

    A proxy scans whenever it can and in the mode of its own configuration, so starting and stopping
    only begins and ends the listening.

    Args:
        detection_callback: as bleak documents it.
        service_uuids: as bleak documents it.
        scanning_mode: taken for bleak's sake; the proxy's configuration decides.
        session: the proxy.
    """

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: Literal["active", "passive"] = "active",
        *,
        session: ProxySession,
        **kwargs: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._session = session
        self._stop_listening: Callable[[], None] | None = None

    async def start(self) -> None:
        """Begin to listen; forgets what was seen before."""
        self.seen_devices = {}
        if self._stop_listening is None:
            self._stop_listening = self._session.add_listener(self)

    async def stop(self) -> None:
        """Stop listening; idempotent."""
        if self._stop_listening:
            self._stop_listening()
            self._stop_listening = None

    def session_heard(
        self, session: ProxySession, message: BluetoothLERawAdvertisementsResponse
    ) -> None:
        """Take a batch of advertisements."""
        for report in message.advertisements:
            data = advertisement_data(report.data, report.rssi)
            if not self.is_allowed_uuid(data.service_uuids):
                continue
            address = int_to_bluetooth_address(report.address)
            seen = self.seen_devices.get(address)
            if seen is None and len(self.seen_devices) >= MOST_SEEN:
                del self.seen_devices[next(iter(self.seen_devices))]
            device = self.create_or_update_device(
                address,
                address,
                data.local_name or (seen[0].name if seen else None),
                {
                    "source": session.name,
                    "address_type": report.address_type,
                    ROUTE: SessionRoute(session, report.rssi),
                },
                data,
            )
            self.call_detection_callbacks(device, data)
