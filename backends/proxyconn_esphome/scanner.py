"""The bleak scanner backend for what one proxy hears."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback
from bluetooth_data_tools import int_to_bluetooth_address

from proxyconn.advertised.fields import measured
from proxyconn.advertised.scanner import FairScanner
from proxyconn.advertised.turns import Turns
from proxyconn.radio import NO_RSSI_VALUE, ROUTE, Report
from proxyconn_esphome.advertisement_data import advertisement_data, has_shortened_name
from proxyconn_esphome.client import ESPHomeClient
from proxyconn_esphome.session.listener import SessionListener, SessionView
from proxyconn_esphome.session.session import ProxySession
from proxyconn_esphome.session_route import SessionRoute

MOST_SEEN = 20_000
"""Devices that a scan remembers; the one that was seen first is forgotten first."""

SAID_LATELY = 60.0
"""Seconds for which a field counts as said by a device that goes on saying other ones."""


@dataclass(slots=True)
class _Seen:
    """What is known of one device.

    Attributes:
        name: what it is called.
        at: when it was heard last, in seconds.
        turns: what it says in turns.
        rssi: signal strength in dBm, the last that was measured.
    """

    name: str | None = None
    at: float = 0.0
    turns: Turns = field(default_factory=Turns)
    rssi: int = NO_RSSI_VALUE

    def take(self, payload: bytes, fresh: AdvertisementData, now: float) -> None:
        """Take an advertisement."""
        self.turns.take(fresh, self.at, lambda: has_shortened_name(payload))
        self.at = now
        if fresh.rssi != NO_RSSI_VALUE:
            self.rssi = fresh.rssi
        if self.turns.renames(self.name, now - SAID_LATELY):
            self.name = fresh.local_name

    def together(self) -> AdvertisementData:
        """Return all that it said lately."""
        return self.turns.together(self.at - SAID_LATELY, self.name, self.rssi)


class ESPHomeScanner(FairScanner, SessionListener):
    """Hears through one proxy: `BleakScanner(backend=ESPHomeScanner, session=session)`.

    A proxy scans whenever it can, so starting and stopping only begins and ends the listening, and
    the wish for a mode.

    Args:
        detection_callback: as bleak documents it.
        service_uuids: as bleak documents it.
        scanning_mode: how the proxy is to scan until this stops, if it can be told; it scans
            actively as long as anybody wants that, and in the end as before.
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
        self._active = scanning_mode == "active"
        self._stop_listening: Callable[[], None] | None = None
        self._seen: dict[str, _Seen] = {}

    async def start(self) -> None:
        """Begin to listen; forgets what was seen before."""
        self.seen_devices = {}
        self._seen = {}
        if self._stop_listening is None:
            self._stop_listening = self._session.add_listener(self)
            self._session.periodic_checks.scan.want(self, self._active)

    async def stop(self) -> None:
        """Stop listening; idempotent."""
        if self._stop_listening:
            self._stop_listening()
            self._stop_listening = None
            self._session.periodic_checks.scan.want(self, None)

    def session_heard(self, session: SessionView, reports: Sequence[Report[bytes]]) -> None:
        """Take a batch of advertisements."""
        now = asyncio.get_running_loop().time()
        for report in reports:
            data = advertisement_data(report.data, measured(report.rssi))
            if not self.is_allowed_uuid(data.service_uuids):
                continue
            address = int_to_bluetooth_address(report.address)
            seen = self._seen.get(address)
            if seen is None:
                if len(self._seen) >= MOST_SEEN:
                    first = next(iter(self._seen))
                    del self._seen[first]
                    self.seen_devices.pop(first, None)
                seen = self._seen[address] = _Seen()
            seen.take(report.data, data, now)
            device = self.create_or_update_device(
                address,
                address,
                seen.name,
                {
                    "source": session.name,
                    "address_type": report.address_type,
                    ROUTE: SessionRoute(self._session, seen.rssi, ESPHomeClient),
                },
                seen.together(),
            )
            self.call_detection_callbacks(device, data)
