"""What a proxy says of itself: its slots, its scan, what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from bluetooth_data_tools import int_to_bluetooth_address

from proxyconn.radio import AllocationChangeEvent, Report, SlotQueue
from proxyconn_esphome.occupancy.slot_use import NOTHING_ODD, slot_use
from proxyconn_esphome.session.periodic_checks import PeriodicChecks, WatchedProxy
from proxyconn_esphome.session.subscription.other_clients import OtherClients
from proxyconn_esphome.wire.messages import (
    BluetoothConnectionsFreeResponse,
    BluetoothLERawAdvertisementsResponse,
    BluetoothScannerStateResponse,
)

MOST_HOLDERS = 1024
"""Addresses taken from one slot report; ESPHome has at most 9 slots (esp32_ble max_connections), a
proxy that lends a whole fleet has that many for each radio."""


class ReportingProxy(WatchedProxy, Protocol):
    """The proxy that reports."""

    @property
    def queue(self) -> SlotQueue:
        """Who waits for a slot."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether it serves several programs at once."""
        ...

    @property
    def other_clients(self) -> OtherClients:
        """What is known of its other clients."""
        ...

    @property
    def periodic_checks(self) -> PeriodicChecks:
        """What is looked after every few seconds."""
        ...

    def tell_slots(self, events: Sequence[AllocationChangeEvent]) -> None:
        """Tell who listens that slots, or attempts to fill them, are other ones now."""

    def tell_heard(self, reports: Sequence[Report[bytes]]) -> None:
        """Tell who listens what the proxy has heard."""


class ProxyReports:
    """Hands each message to all whom it concerns, in an order that suits them."""

    def __init__(self, proxy: ReportingProxy) -> None:
        self._proxy = proxy
        self._time = asyncio.get_running_loop().time
        self._listed: list[int] = []
        self._is_settled = False
        self._held: list[str] = []

    def handlers(self) -> dict[type[Any], Callable[..., None]]:
        """Return what to call for each type of message; as `Connection.handle` takes them."""
        return {
            BluetoothConnectionsFreeResponse: self._on_slots,
            BluetoothLERawAdvertisementsResponse: self._on_heard,
            BluetoothScannerStateResponse: self._on_scanner_state,
        }

    def on_notice(self, number: int) -> None:
        """Take the address of a link that did not open, or is no more."""
        if not self._proxy.subscription.on_notice(number):
            self._proxy.attempts.on_notice(int_to_bluetooth_address(number))

    def _on_slots(self, message: BluetoothConnectionsFreeResponse) -> None:
        proxy = self._proxy
        if self._is_no_news(message):
            proxy.other_clients.on_slots()
            proxy.subscription.on_slots()
            proxy.queue.notify()
            return
        held = self._addresses(message.allocated[:MOST_HOLDERS])
        events = proxy.ledger.update(
            message.free, message.limit, held, self._of_others(held) if proxy.is_shared else ()
        )
        use = slot_use(proxy)
        self._is_settled = proxy.ledger.complete and use is NOTHING_ODD
        proxy.left.on_slots(use)
        proxy.other_clients.on_slots()
        proxy.subscription.on_slots()
        proxy.attempts.on_slots()
        proxy.dispatcher.reconcile(proxy.ledger)
        proxy.periodic_checks.on_slots(use)
        proxy.queue.notify()
        proxy.update()
        proxy.tell_slots(events)

    def _is_no_news(self, message: BluetoothConnectionsFreeResponse) -> bool:
        """Whether a report repeats the last one, and nothing was or is odd about the slots.

        Firmware reports its slots again whenever a link is up.
        """
        proxy, ledger = self._proxy, self._proxy.ledger
        return (
            self._is_settled
            and message.free == ledger.free
            and message.limit == ledger.limit
            and message.allocated == self._listed
            and not (
                proxy.is_shared
                or proxy.attempts.abandoned
                or proxy.left.awaits_report
                or proxy.dispatcher.awaits_report
            )
            and slot_use(proxy) is NOTHING_ODD
        )

    def _addresses(self, listed: list[int]) -> list[str]:
        """Return who holds slots, as text; most reports name whom the last one has named.

        There may be a hundred: nothing here takes a step of Python for each of them.
        """
        if listed != self._listed:
            self._listed = listed
            self._held = list(map(int_to_bluetooth_address, filter(None, listed)))
        return self._held

    def _of_others(self, held: Iterable[str]) -> set[str]:
        """Return the addresses that other programs have links to, through the same shared proxy."""
        links = self._proxy.dispatcher.links.values()
        return set(held) - {link.address for link in links if link.is_up}

    def _on_heard(self, reports: Sequence[Report[bytes]], now: float) -> None:
        proxy = self._proxy
        proxy.subscription.prove(now)
        proxy.attempts.on_heard()
        proxy.periodic_checks.on_heard(now)
        proxy.tell_heard(reports)

    def _on_scanner_state(self, message: BluetoothScannerStateResponse) -> None:
        self._proxy.subscription.prove(self._time())
        self._proxy.periodic_checks.scan.on_state(message)
