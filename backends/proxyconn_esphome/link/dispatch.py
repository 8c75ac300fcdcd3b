"""Which link a proxy's message belongs to: one look-up by address, one comparison of handle."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from proxyconn.radio import ErrorKind, LinkError, RadioError, SlotLedger
from proxyconn_esphome.codes import ConnectionReason
from proxyconn_esphome.link.link import Link
from proxyconn_esphome.link.link_ends import SecondNotices, connection_error
from proxyconn_esphome.link.states import LinkState
from proxyconn_esphome.wire.messages import (
    BluetoothDeviceClearCacheResponse,
    BluetoothDeviceConnectionResponse,
    BluetoothDevicePairingResponse,
    BluetoothDeviceUnpairingResponse,
    BluetoothGATTErrorResponse,
    BluetoothGATTGetServicesDoneResponse,
    BluetoothGATTGetServicesResponse,
    BluetoothGATTNotifyDataResponse,
    BluetoothGATTNotifyResponse,
    BluetoothGATTReadResponse,
    BluetoothGATTWriteResponse,
    BluetoothSetConnectionParamsResponse,
)

_LOGGER = logging.getLogger(__name__)


class Dispatcher:
    """The links of one proxy.

    Args:
        on_orphan: called with the address of a link that came up and that nobody wants.
        on_notice: called with the address of every connected=false, after its link has ended.

    Attributes:
        links: by device address as a number, as messages have it.
        by_address: the same by address as text, as slots have it.
        loose: what stands in for links where none is needed, by number.
        second_notices: failures that may be told once more.
    """

    def __init__(self, on_orphan: Callable[[int], None], on_notice: Callable[[int], None]) -> None:
        self.links: dict[int, Link] = {}
        self.by_address: dict[str, Link] = {}
        self.loose: dict[int, Link] = {}
        self._unlisted: dict[str, Link] = {}
        self._on_orphan = on_orphan
        self._on_notice = on_notice
        self.second_notices = SecondNotices()

    def handlers(self) -> dict[type[Any], Callable[[Any], None]]:
        """Return what to call for each type of message."""
        return {
            BluetoothDeviceConnectionResponse: self._on_connection,
            BluetoothGATTReadResponse: self._on_read,
            BluetoothGATTWriteResponse: self._on_write,
            BluetoothGATTNotifyResponse: self._on_notify,
            BluetoothGATTNotifyDataResponse: self._on_notify_data,
            BluetoothGATTErrorResponse: self._on_gatt_error,
            BluetoothGATTGetServicesResponse: self._on_services,
            BluetoothGATTGetServicesDoneResponse: self._on_services_done,
            BluetoothDevicePairingResponse: self._on_pairing,
            BluetoothDeviceUnpairingResponse: self._on_unpairing,
            BluetoothDeviceClearCacheResponse: self._on_clear_cache,
            BluetoothSetConnectionParamsResponse: self._on_params,
        }

    @property
    def awaits_report(self) -> bool:
        """Whether a link has not been seen in the proxy's list."""
        return bool(self._unlisted)

    def add(self, link: Link) -> None:
        """Give `link` the messages of its address."""
        self.links[link.number] = self.by_address[link.address] = link
        self._unlisted[link.address] = link

    def remove(self, link: Link) -> None:
        """Take the messages of its address away from `link`; harmless if it has none."""
        if self.links.get(link.number) is link:
            del self.links[link.number], self.by_address[link.address]
            self._unlisted.pop(link.address, None)

    def remove_loose(self, link: Link) -> None:
        """Forget what stood in for a link; harmless for a real one."""
        if self.loose.get(link.number) is link:
            del self.loose[link.number]

    def end(self, link: Link, error: RadioError) -> None:
        """Take a link out and end it with `error`."""
        self.remove(link)
        self.remove_loose(link)
        link.down(error)

    def end_all(self, make_error: Callable[[Link], RadioError]) -> None:
        """End every link: the session with the proxy is over."""
        self.second_notices.clear()
        for link in [*self.links.values(), *self.loose.values()]:
            self.end(link, make_error(link))

    def reconcile(self, ledger: SlotLedger) -> None:
        """End the links whose address has left the proxy's own list."""
        for address in self._unlisted.keys() & ledger.holders:
            self._unlisted.pop(address).listed = True
        if not ledger.complete or self.by_address.keys() <= ledger.holders:
            return
        gone = set(self.by_address).difference(ledger.holders)
        for link in [self.by_address[address] for address in gone]:
            if (
                link.is_up
                or link.state is LinkState.CLOSING
                or (link.state is LinkState.OPENING and link.listed)
            ):
                text = f"{link.label}: Disconnected: it has left the proxy's list of links"
                self.end(link, LinkError(text, kind=ErrorKind.DISCONNECTED, source=ledger.name))

    # Messages

    def _on_connection(self, message: BluetoothDeviceConnectionResponse) -> None:
        if not message.connected:
            self._on_down(message)
            self._on_notice(message.address)
            return
        link = self.links.get(message.address)
        if link is None or link.state is LinkState.IDLE:
            self._on_orphan(message.address)
        else:
            link.on_up(message.mtu)

    def _on_down(self, message: BluetoothDeviceConnectionResponse) -> None:
        link = self.links.get(message.address)
        second = self.second_notices.is_second(link, message.address, message.error)
        if link is None or link.state is LinkState.IDLE:
            return
        if second:
            _LOGGER.debug("%s: second notice of the last failure, not of this try", link.label)
            return
        self.second_notices.expect(message.address, message.error)
        self.end(link, connection_error(link, ConnectionReason(message.error)))

    def _on_read(self, message: BluetoothGATTReadResponse) -> None:
        if link := self.links.get(message.address):
            link.on_reply(message, BluetoothGATTReadResponse, message.handle)

    def _on_write(self, message: BluetoothGATTWriteResponse) -> None:
        if link := self.links.get(message.address):
            link.on_reply(message, BluetoothGATTWriteResponse, message.handle)

    def _on_notify(self, message: BluetoothGATTNotifyResponse) -> None:
        if link := self.links.get(message.address):
            link.on_reply(message, BluetoothGATTNotifyResponse, message.handle)

    def _on_notify_data(self, message: BluetoothGATTNotifyDataResponse) -> None:
        if (link := self.links.get(message.address)) and (
            callback := link.subscriptions.get(message.handle)
        ):
            callback(bytearray(message.data))

    def _on_gatt_error(self, message: BluetoothGATTErrorResponse) -> None:
        if link := self.links.get(message.address):
            link.on_gatt_error(message)

    def _on_services(self, message: BluetoothGATTGetServicesResponse) -> None:
        if link := self.links.get(message.address):
            link.on_part(message)

    def _on_services_done(self, message: BluetoothGATTGetServicesDoneResponse) -> None:
        if link := self.links.get(message.address):
            link.on_reply(message, BluetoothGATTGetServicesDoneResponse, 0)

    def _on_pairing(self, message: BluetoothDevicePairingResponse) -> None:
        # Up to 2026.7 the firmware answers an unpair request with a pairing response.
        if not self._answer(message, BluetoothDevicePairingResponse):
            self._answer(message, BluetoothDeviceUnpairingResponse)

    def _on_unpairing(self, message: BluetoothDeviceUnpairingResponse) -> None:
        self._answer(message, BluetoothDeviceUnpairingResponse)

    def _on_clear_cache(self, message: BluetoothDeviceClearCacheResponse) -> None:
        self._answer(message, BluetoothDeviceClearCacheResponse)

    def _answer(self, message: Any, kind: type[Any]) -> bool:
        """Give a reply that needs no link to whoever asked; return whether anybody had."""
        links = (self.links.get(message.address), self.loose.get(message.address))
        return any(link.on_reply(message, kind, 0) for link in links if link)

    def _on_params(self, message: BluetoothSetConnectionParamsResponse) -> None:
        if link := self.links.get(message.address):
            link.on_reply(message, BluetoothSetConnectionParamsResponse, 0)
