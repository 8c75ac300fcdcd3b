"""A radio without Bluetooth: slots that are claimed, taken and freed by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bluetooth_data_tools import mac_to_int

from proxyconn import Allocations, RadioState
from proxyconn.fleet.radio_hub import Hub
from proxyconn.radio import SlotLedger


@dataclass(frozen=True, slots=True)
class FakeReport:
    """One advertisement."""

    address: int
    address_type: int
    rssi: int
    data: bytes


class FakeRadio:
    """One radio of a hub; the ledger is the real one."""

    def __init__(self, hub: Hub, name: str, slots: int = 3) -> None:
        self.name = name
        self.state = RadioState.READY
        self.problem: str | None = None
        self.connectable = True
        self.ledger = SlotLedger(name)
        self._hub = hub
        self._slots = slots
        hub.radio_added(self)
        self.report()

    def report(self, *holders: str) -> None:
        """Report who holds a slot."""
        events = self.ledger.update(self._slots - len(holders), self._slots, holders)
        self._hub.slots_changed(self, events)

    def become(self, state: RadioState) -> None:
        """Take another state."""
        self.state = state
        self._hub.state_changed(self)

    def hear(self, address: str, rssi: int) -> None:
        """Hear a device."""
        self._hub.heard(self, (FakeReport(mac_to_int(address), 1, rssi, b""),), _parse)

    def allocations(self) -> Allocations | None:
        """Return the last report."""
        return self.ledger.allocations()

    def free_slots(self) -> int | None:
        """Return the slots that are neither taken nor claimed."""
        return self.ledger.available

    @property
    def connecting(self) -> int:
        """Claims that no report has shown as taken."""
        return len(self.ledger.claims)

    def claim(self, address: str) -> bool:
        """Claim a slot."""
        return self.ledger.claim(address)

    def release(self, address: str) -> None:
        """Give up a claim."""
        if address in self.ledger.claims:
            self.ledger.drop_claim(address)
            self._hub.slots_changed(self, ())

    def create_client(self, device: BLEDevice, **kwargs: Any) -> BaseBleakClient:
        """Nobody connects here."""
        raise NotImplementedError

    def diagnostics(self) -> dict[str, Any]:
        """Nothing to tell."""
        return {}


def _parse(payload: bytes) -> AdvertisementData:
    return AdvertisementData(None, {}, {}, [], None, -127, ())
