"""A proxy whose messages are written by hand, in any order: links without a session.

The virtual proxy says what firmware says; here is said what a moment needs, between two turns of
the loop. Ledger, queue, dispatcher and attempts are the real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aioesphomeapi.model import BluetoothProxyFeature
from bluetooth_data_tools import int_to_bluetooth_address

from proxyconn.radio import (
    AllocationChangeEvent,
    Allocations,
    HeldLinks,
    RadioError,
    RadioUnavailableError,
    SlotLedger,
    SlotQueue,
)
from proxyconn_esphome.link.dispatch import Dispatcher
from proxyconn_esphome.link.link import Link
from proxyconn_esphome.link.opening import open_link
from proxyconn_esphome.link.states import LinkEvent
from proxyconn_esphome.link.turn import Turn
from proxyconn_esphome.occupancy.left_links import LeftLinks
from proxyconn_esphome.occupancy.opening_attempts import Attempts
from proxyconn_esphome.wire import messages as wire

NUMBER, OTHER = 0xC40000000001, 0xC40000000002
ADDRESS, OTHER_ADDRESS = int_to_bluetooth_address(NUMBER), int_to_bluetooth_address(OTHER)
DISCONNECT = wire.BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_DISCONNECT


class HandSubscription:
    """Counts how often it is doubted."""

    def __init__(self) -> None:
        self.doubts = 0

    def doubt(self) -> None:
        """Take note of it."""
        self.doubts += 1


class HandProxy:
    """Takes what is sent, and says what it is told to."""

    name = "kitchen"
    features = BluetoothProxyFeature(0)
    is_usable = True
    is_shared = False
    mac = "aabbcc000001"
    keeps_links = False

    def __init__(self, slots: int = 3) -> None:
        self.sent: list[Any] = []
        self.outstanding = 0
        self.slots_asked = 0
        self.told: list[Sequence[AllocationChangeEvent]] = []
        self.updates = 0
        self.orphans: list[int] = []
        self.notices: list[int] = []
        self.gone = False
        self.problem: str | None = None
        self.ledger = SlotLedger(self.name)
        self.queue = SlotQueue(self.ledger)
        self.turn = Turn()
        self.dispatcher = Dispatcher(self.orphans.append, self._on_notice)
        self.attempts = Attempts(self)
        self.subscription = HandSubscription()
        self.left = LeftLinks(self, HeldLinks())
        self._slots = slots
        if slots:
            self.report()

    def _on_notice(self, number: int) -> None:
        self.notices.append(number)
        self.attempts.on_notice(int_to_bluetooth_address(number))

    # What it is asked

    def send(self, message: Any) -> None:
        """Take a message."""
        if self.gone:
            raise RadioUnavailableError("kitchen is gone", source=self.name)
        self.sent.append(message)

    def send_disconnect(self, number: int) -> None:
        """Take a request to drop a link."""
        self.send(wire.BluetoothDeviceRequest(address=number, request_type=DISCONNECT))

    def request_slots(self) -> None:
        """Take a request for a slot report."""
        self.slots_asked += 1

    def count_outstanding(self, change: int) -> None:
        """Take note of a reply that is waited for, or no more."""
        self.outstanding += change

    def require(self, feature: BluetoothProxyFeature, what: str, since: str) -> None:
        """Have every feature."""

    def require_connectable(self) -> None:
        """Refuse links once it is gone, or has a problem."""
        if self.gone or self.problem:
            raise RadioUnavailableError(f"kitchen is {self.problem or 'gone'}", source=self.name)

    def allocations(self) -> Allocations | None:
        """Return the last report."""
        return self.ledger.allocations()

    def tell_slots(self, events: Sequence[AllocationChangeEvent]) -> None:
        """Take note of what is told of slots and attempts."""
        self.told.append(events)

    def update(self) -> None:
        """Take note that the state is to be derived anew."""
        self.updates += 1

    # What it says

    def say(self, message: Any) -> None:
        """Say something about a link."""
        self.dispatcher.handlers()[type(message)](message)

    def say_up(self, number: int = NUMBER, mtu: int = 23) -> None:
        """Say that a link is up."""
        self.say(wire.BluetoothDeviceConnectionResponse(address=number, connected=True, mtu=mtu))

    def say_down(self, number: int = NUMBER, error: int = 0) -> None:
        """Say that a link did not open, or is no more."""
        self.say(wire.BluetoothDeviceConnectionResponse(address=number, error=error))

    def report(self, *holders: str, free: int | None = None) -> None:
        """Report the slots, as a session takes it; `free` makes the list incomplete."""
        left = self._slots - len(holders) if free is None else free
        self.ledger.update(left, self._slots, holders)
        self.attempts.on_slots()
        self.dispatcher.reconcile(self.ledger)
        self.queue.notify()

    # Links

    def link(self, number: int = NUMBER) -> OwnedLink:
        """Return a new link, which has not been asked for."""
        return OwnedLink(self, number)

    def open(self, number: int = NUMBER, *, ready: bool = True) -> OwnedLink:
        """Return a link that is up."""
        link = self.link(number)
        self.dispatcher.add(link)
        link.move(LinkEvent.CONNECT_SENT)
        self.say_up(number)
        if ready:
            link.move(LinkEvent.SET_UP)
        return link

    def asked_to_drop(self) -> list[int]:
        """Return the addresses whose links it was asked to drop."""
        return [
            message.address
            for message in self.sent
            if getattr(message, "request_type", None) == DISCONNECT
        ]


class OwnedLink(Link):
    """A link whose owner notes that it went down."""

    def __init__(self, proxy: HandProxy, number: int) -> None:
        self.downs: list[RadioError] = []
        super().__init__(proxy, int_to_bluetooth_address(number), number, self.downs.append)


def ask(link: Link, handle: int = 3, **kwargs: Any) -> asyncio.Task[Any]:
    """Begin to read."""
    message = wire.BluetoothGATTReadRequest(address=NUMBER, handle=handle)
    reply = wire.BluetoothGATTReadResponse
    return asyncio.create_task(link.request(message, reply, handle, **kwargs))


def answer(link: Link, handle: int = 3, data: bytes = b"") -> bool:
    """Say what was read."""
    reply = wire.BluetoothGATTReadResponse(handle=handle, data=data)
    return link.on_reply(reply, wire.BluetoothGATTReadResponse, handle)


def begin(
    proxy: HandProxy,
    link: Link | None = None,
    *,
    address_type: int = 1,
    with_cache: bool = False,
    timeout: float = 20.0,
) -> asyncio.Task[int]:
    """Begin to open a link."""
    return asyncio.create_task(
        open_link(proxy, link or proxy.link(), address_type, with_cache=with_cache, timeout=timeout)
    )


def is_over(proxy: HandProxy) -> None:
    """Check that nothing is left of an attempt."""
    assert not proxy.ledger.claims
    assert not proxy.attempts.opening
    assert not proxy.turn.locked()


def now() -> float:
    """Return the time."""
    return asyncio.get_running_loop().time()


async def turns() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)
