"""What a proxy says of itself: its slots, its scan, what it hears."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bluetooth_data_tools import int_to_bluetooth_address

from ._messages import (
    BluetoothConnectionsFreeResponse,
    BluetoothLERawAdvertisementsResponse,
    BluetoothScannerStateResponse,
)

if TYPE_CHECKING:
    from ._session import ProxySession

MOST_HOLDERS = 32
"""Addresses taken from one slot report; ESPHome has at most 9 slots (esp32_ble max_connections)."""


class Inbox:
    """Hands each message to all whom it concerns, in an order that suits them."""

    def __init__(self, session: ProxySession) -> None:
        self._session = session

    def handlers(self) -> dict[type[Any], Callable[[Any], None]]:
        """Return what to call for each type of message."""
        return {
            BluetoothConnectionsFreeResponse: self._on_slots,
            BluetoothLERawAdvertisementsResponse: self._on_heard,
            BluetoothScannerStateResponse: self._on_scanner_state,
        }

    def on_notice(self, number: int) -> None:
        """Take the address of a link that did not open, or is no more."""
        if not self._session.subscription.on_notice(number):
            self._session.attempts.on_notice(int_to_bluetooth_address(number))

    def _on_slots(self, message: BluetoothConnectionsFreeResponse) -> None:
        session = self._session
        listed = message.allocated[:MOST_HOLDERS]
        held = [int_to_bluetooth_address(number) for number in listed if number]
        events = session.ledger.update(message.free, message.limit, held)
        session.subscription.on_slots()
        session.attempts.on_slots()
        session.dispatcher.reconcile(session.ledger)
        session.queue.notify()
        session.update()
        session.tell_slots(events)

    def _on_heard(self, message: BluetoothLERawAdvertisementsResponse) -> None:
        session = self._session
        session.subscription.prove()
        session.attempts.on_heard()
        session.upkeep.on_heard()
        session.tell_heard(message)

    def _on_scanner_state(self, message: BluetoothScannerStateResponse) -> None:
        self._session.upkeep.scan.on_state(message)
        self._session.subscription.prove()
