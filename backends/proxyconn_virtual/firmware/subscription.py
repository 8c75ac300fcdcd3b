"""The one subscriber of a virtual proxy: whoever gets all that it has to tell about Bluetooth."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from google.protobuf.message import Message

from proxyconn_native_api.owed_replies import OwedReplies
from proxyconn_virtual import events
from proxyconn_virtual.firmware.bluetooth import Bluetooth
from proxyconn_virtual.firmware.gatt_requests import Gatt
from proxyconn_virtual.firmware.profiles import FirmwareProfile
from proxyconn_virtual.firmware.timings import Timings

_SHORT_UUIDS_SINCE: Final = 12
"""Minor of the API version since which a client understands short UUIDs."""


class Subscriber(Protocol):
    """Who may subscribe."""

    client_info: str
    client_minor: int

    def send(self, message: Message) -> bool:
        """Send a message; False if the socket is full."""
        ...


@dataclass(eq=False)
class Ghost:
    """A subscriber that is not there, or that is none of ours: what it is sent is gone."""

    client_info: str
    client_minor: int = _SHORT_UUIDS_SINCE

    def send(self, message: Message) -> bool:
        """Lose a message."""
        return True


class SubscriptionHost(Protocol):
    """What the subscription needs of its proxy."""

    name: str
    profile: FirmwareProfile
    timings: Timings

    def emit(self, event: events.ProxyEvent) -> None:
        """Tell the observers."""


class Subscription:
    """Who is subscribed, from boot to reboot.

    Attributes:
        holder: the subscriber; None without one.
    """

    def __init__(self, host: SubscriptionHost, bluetooth: Bluetooth, gatt: Gatt) -> None:
        self._host = host
        self._bluetooth = bluetooth
        self._gatt = gatt
        self._orphan_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.holder: Subscriber | None = None
        self._owed = OwedReplies(self._try, host.timings.retry_refused)

    def send(self, message: Message) -> bool:
        """Send a message to the subscriber, if there is one; False if it was refused."""
        return self._owed.offer(message) if self._host.profile.backend else self._try(message)

    def _try(self, message: Message) -> bool:
        return self.holder is None or self.holder.send(message)

    def ask(self, subscriber: Subscriber) -> None:
        """Take a subscriber: the first one wins, or the newest, as the firmware has it."""
        if self.holder is None or self._host.profile.newest_subscriber_wins:
            self.take(subscriber)

    def take(self, subscriber: Subscriber) -> None:
        """Take a subscriber, whoever holds the subscription; that one is told nothing."""
        if subscriber is not self.holder:
            if self.holder is not None:
                self._host.emit(events.Unsubscribed(self._host.name, self.holder.client_info))
            self._host.emit(events.Subscribed(self._host.name, subscriber.client_info))
            self._settle()
        self.holder = subscriber
        self._gatt.short_uuids = (
            min(subscriber.client_minor, self._host.profile.api_minor) >= _SHORT_UUIDS_SINCE
        )
        self._bluetooth.scanner.listening = True
        self._bluetooth.scanner.report()

    def leave(self, subscriber: Subscriber | None) -> None:
        """End the subscription if it is this one's; its links are closed soon after."""
        if subscriber is None or subscriber is not self.holder:
            return
        self._host.emit(events.Unsubscribed(self._host.name, subscriber.client_info))
        self.holder = None
        self._settle()
        self._bluetooth.scanner.listening = False
        self._stop_timer()
        if not self._closed:
            loop = asyncio.get_running_loop()
            self._orphan_timer = loop.call_later(self._host.timings.orphan, self._orphaned)

    def _settle(self) -> None:
        """Owe nothing to a subscriber that is none any more, nor the rest of a list."""
        self._owed.forget()
        self._gatt.park()

    def close(self) -> None:
        """Close no more links: the proxy stops."""
        self._closed = True
        self._settle()
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._orphan_timer is not None:
            self._orphan_timer.cancel()

    def _orphaned(self) -> None:
        if self.holder is None:
            self._bluetooth.disconnect_all()
