"""One client of a served proxy: its subscription, its links, its requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from bluetooth_data_tools import int_to_bluetooth_address
from google.protobuf.message import Message

from proxyconn.fleet.lending import LentSlots
from proxyconn.fleet.routed_client import RoutedClient
from proxyconn_native_api.session import Session
from proxyconn_owner.serving.chores import Chores
from proxyconn_owner.serving.failure_codes import BUSY, NOT_CONNECTED
from proxyconn_owner.serving.served_link import ServedLink
from proxyconn_proto import bluetooth_proxy_pb2 as pb

SHORT_UUIDS_SINCE: Final = 12
"""Minor of the API version from which clients understand short UUIDs."""

LAST_ADDRESS: Final = 0xFFFFFFFFFFFF
"""A device's address has 48 bits (Core Specification vol 6 B 1.3)."""

_TYPES = pb.BluetoothDeviceRequestType
CACHED: Final = _TYPES.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITH_CACHE

_LOGGER = logging.getLogger(__name__)


class Lender(Protocol):
    """The served proxy, as its clients need it."""

    @property
    def name(self) -> str:
        """Node name."""
        ...

    def new_client(self, party: str, address: str, address_type: int) -> RoutedClient:
        """Make a client for a device on behalf of a party."""
        ...

    def slots(self) -> LentSlots:
        """Return who holds which slot."""
        ...

    def has_room_for(self, wishes: int) -> bool:
        """Whether a client may wish for one more link than it does."""
        ...

    def holder(self, address: str) -> str | None:
        """Return who else is connected to a device, or connecting; None if nobody is."""
        ...

    def subscribers_changed(self) -> None:
        """A client wants to hear, or does not any more."""

    def report_scanner(self, client: ServedClient) -> None:
        """Tell a client about the scan."""

    def set_scan_mode(self, client: ServedClient, mode: int | None) -> None:
        """A client wishes for a scan mode, or listens without such a wish."""

    def operated(self, operation: str, seconds: float) -> None:
        """An operation on attributes of a device has come to its end."""


class ServedClient:
    """One client.

    Args:
        lender: the served proxy.
        session: speaks with the client.
        party: whom it belongs to.

    Attributes:
        subscribed: whether it wants to hear advertisements and slots.
        links: address as a number -> its link to that device.
    """

    def __init__(self, lender: Lender, session: Session, party: str) -> None:
        self.party = party
        self.subscribed = False
        self._has_scan_wish = False
        self.links: dict[int, ServedLink] = {}
        self._lender = lender
        self._session = session
        self._crowded: set[ServedLink] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._chores = Chores(self.send, self._client_for)
        types = _TYPES
        self._device_requests: Mapping[int, Callable[[pb.BluetoothDeviceRequest], None]] = {
            types.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT: self._connect_v1,
            types.BLUETOOTH_DEVICE_REQUEST_TYPE_DISCONNECT: self._disconnect,
            types.BLUETOOTH_DEVICE_REQUEST_TYPE_PAIR: self._pair,
            types.BLUETOOTH_DEVICE_REQUEST_TYPE_UNPAIR: self._chores.unpair,
            types.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITH_CACHE: self._connect,
            types.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE: self._connect,
            types.BLUETOOTH_DEVICE_REQUEST_TYPE_CLEAR_CACHE: self._chores.clear_cache,
        }
        self._handlers: Mapping[type[Message], Callable[[Any], None]] = {
            pb.SubscribeBluetoothLEAdvertisementsRequest: self._subscribe,
            pb.UnsubscribeBluetoothLEAdvertisementsRequest: self._unsubscribe,
            pb.SubscribeBluetoothConnectionsFreeRequest: lambda request: self.report_slots(),
            pb.BluetoothDeviceRequest: self._device_request,
            pb.BluetoothGATTGetServicesRequest: self._services,
            pb.BluetoothGATTReadRequest: self._read,
            pb.BluetoothGATTReadDescriptorRequest: self._read,
            pb.BluetoothGATTWriteRequest: self._write,
            pb.BluetoothGATTWriteDescriptorRequest: self._write_descriptor,
            pb.BluetoothGATTNotifyRequest: self._notify,
            pb.BluetoothSetConnectionParamsRequest: self._set_parameters,
            pb.BluetoothScannerSetModeRequest: self._set_mode,
        }

    def __repr__(self) -> str:
        return f"<ServedClient {self.label}>"

    @property
    def label(self) -> str:
        """What it is called in the log."""
        return self.party

    @property
    def name(self) -> str:
        """What it calls itself."""
        return self._session.client_info

    @property
    def peer(self) -> str:
        """IP address it calls from."""
        return self._session.peer

    @property
    def peer_port(self) -> int:
        """TCP port it calls from."""
        return self._session.peer_port

    @property
    def proxy(self) -> str:
        """Name of the served proxy."""
        return self._lender.name

    @property
    def short_uuids(self) -> bool:
        """Whether it understands UUIDs of 16 and 32 bits as such."""
        return self._session.client_minor >= SHORT_UUIDS_SINCE

    def send(self, message: Message) -> None:
        """Tell it something."""
        self._session.send(message)

    def send_encoded(self, number: int, payload: bytes) -> None:
        """Tell it something that is serialized already; lost if it does not read."""
        self._session.send_encoded(number, payload)

    def handle(self, message: Message) -> None:
        """Do what it asks for."""
        if handler := self._handlers.get(type(message)):
            handler(message)

    async def aclose(self) -> None:
        """Close every link: the client has gone. Idempotent."""
        self.subscribed = False
        links = list(self.links.values())
        for link in links:
            link.forget_requests()
        try:
            await asyncio.gather(*(link.close() for link in links))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, self._chores.aclose(), return_exceptions=True)

    # What it hears

    def _subscribe(self, request: pb.SubscribeBluetoothLEAdvertisementsRequest) -> None:
        self.subscribed = True
        self._lender.subscribers_changed()
        if self._has_scan_wish:
            self._lender.report_scanner(self)
        else:
            self._lender.set_scan_mode(self, None)

    def _unsubscribe(self, request: pb.UnsubscribeBluetoothLEAdvertisementsRequest) -> None:
        self.subscribed = False
        self._lender.subscribers_changed()

    def _set_mode(self, request: pb.BluetoothScannerSetModeRequest) -> None:
        self._has_scan_wish = True
        self._lender.set_scan_mode(self, request.mode)

    def report_slots(self) -> None:
        """Tell it who holds which slot."""
        slots = self._lender.slots()
        self.send(
            pb.BluetoothConnectionsFreeResponse(
                free=slots.free,
                limit=slots.limit,
                allocated=[int(address.replace(":", ""), 16) for address in slots.allocated],
            )
        )

    # Devices

    def _device_request(self, request: pb.BluetoothDeviceRequest) -> None:
        handler = self._device_requests.get(request.request_type)
        if handler and request.address <= LAST_ADDRESS:
            handler(request)

    def _refuse(self, number: int, error: int) -> None:
        self.send(
            pb.BluetoothDeviceConnectionResponse(address=number, connected=False, error=error)
        )

    def _connect_v1(self, request: pb.BluetoothDeviceRequest) -> None:
        self._refuse(request.address, 0)

    def _connect(self, request: pb.BluetoothDeviceRequest) -> None:
        number = request.address
        if link := self.links.get(number):
            link.connect_again()
            return
        address = int_to_bluetooth_address(number)
        if not request.has_address_type:
            _LOGGER.info("%s: %s: a connect without an address type", self.label, address)
            self._refuse(number, 0)
            return
        if holder := self._lender.holder(address):
            _LOGGER.info("%s: %s: busy: %s has it", self.label, address, holder)
            self._refuse(number, BUSY)
            return
        # Links that are closed take a while: they count, too.
        if not self._lender.has_room_for(max(len(self.links), len(self._tasks))):
            _LOGGER.info("%s: %s: busy: it wishes for too many links", self.label, address)
            self._refuse(number, BUSY)
            return
        client = self._lender.new_client(self.party, address, request.address_type)
        link = self.links[number] = ServedLink(self, number, client)
        self.keep(link.open(cached=request.request_type == CACHED))

    def _disconnect(self, request: pb.BluetoothDeviceRequest) -> None:
        if link := self.links.get(request.address):
            link.begin_closing()
        else:
            self._refuse(request.address, 0)
            self.report_slots()

    def link_over(self, link: ServedLink) -> None:
        """A link is down, or was never up."""
        if self.links.get(link.number) is link:
            del self.links[link.number]
        self.link_clear(link)

    def operated(self, operation: str, seconds: float) -> None:
        """Pass on how long an operation has taken."""
        self._lender.operated(operation, seconds)

    def link_crowded(self, link: ServedLink) -> None:
        """Many commands wait for a device: read no more from the client."""
        self._crowded.add(link)
        self._session.hold()

    def link_clear(self, link: ServedLink) -> None:
        """They have become few, or the link is over."""
        self._crowded.discard(link)
        if not self._crowded:
            self._session.release()

    def _pair(self, request: pb.BluetoothDeviceRequest) -> None:
        if link := self._up(request.address):
            link.pair()
        else:
            self.send(
                pb.BluetoothDevicePairingResponse(
                    address=request.address, paired=False, error=NOT_CONNECTED
                )
            )

    def _client_for(self, request: pb.BluetoothDeviceRequest) -> RoutedClient:
        if link := self.links.get(request.address):
            return link.client
        address = int_to_bluetooth_address(request.address)
        return self._lender.new_client(self.party, address, request.address_type)

    # GATT

    def _up(self, number: int) -> ServedLink | None:
        link = self.links.get(number)
        return link if link and link.is_up else None

    def _asked(self, request: Any) -> ServedLink | None:
        """Return the link that a GATT request is for, or say that there is none."""
        link = self._up(request.address)
        if link is None:
            self.send(
                pb.BluetoothGATTErrorResponse(
                    address=request.address,
                    handle=getattr(request, "handle", 0),
                    error=NOT_CONNECTED,
                )
            )
        return link

    def _services(self, request: pb.BluetoothGATTGetServicesRequest) -> None:
        if link := self._asked(request):
            link.services()

    def _read(
        self, request: pb.BluetoothGATTReadRequest | pb.BluetoothGATTReadDescriptorRequest
    ) -> None:
        if link := self._asked(request):
            link.read(request.handle)

    def _write(self, request: pb.BluetoothGATTWriteRequest) -> None:
        if link := self._asked(request):
            link.write(request.handle, request.data, response=request.response)

    def _write_descriptor(self, request: pb.BluetoothGATTWriteDescriptorRequest) -> None:
        if link := self._asked(request):
            link.write(request.handle, request.data, response=True)

    def _notify(self, request: pb.BluetoothGATTNotifyRequest) -> None:
        if link := self._asked(request):
            link.notify(request.handle, enable=request.enable)

    def _set_parameters(self, request: pb.BluetoothSetConnectionParamsRequest) -> None:
        if link := self._up(request.address):
            link.set_parameters(request)
        else:
            self.send(
                pb.BluetoothSetConnectionParamsResponse(
                    address=request.address, error=NOT_CONNECTED
                )
            )

    # Tasks

    def keep(self, task: asyncio.Task[None]) -> None:
        """Own a task until it is done; what still runs when the client has gone is cancelled."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
