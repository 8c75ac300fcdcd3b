"""The bleak backend that takes, at each connect, the best path of that moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from proxyconn.att import MIN_MTU
from proxyconn.connect.delegating_client import DelegatingClient
from proxyconn.connect.secured_links import SecuredLinks
from proxyconn.device import colon_address
from proxyconn.errors import AttemptTimeoutError, ErrorKind, LinkError
from proxyconn.fleet.radio_choice import NO_WAY, SHORTEST_ATTEMPT, TIDY_TIME, RadioChoice
from proxyconn.fleet.radio_hub import Hub
from proxyconn.linked_client import LinkedClient
from proxyconn.models import NO_RSSI_VALUE, Allocations
from proxyconn.radio import Radio, SharedRoute, route_of
from proxyconn.routing.dropped_links import end_told
from proxyconn.routing.fair_shares import Party

T = TypeVar("T")

CLOSED = "its link was closed"
"""How a link ended that its client did not want any more."""

CACHE_ARGUMENT = "dangerous_use_bleak_cache"
"""What retry loops pass to `connect()`, and programs do not."""

_LOGGER = logging.getLogger(__name__)


class DeviceRoute(SharedRoute):
    """Reaches a device through whichever radio of a fleet is best."""

    __slots__ = ("address", "hub")

    def __init__(self, hub: Hub, address: str) -> None:
        self.hub, self.address = hub, address

    @property
    def client_backend(self) -> type[BaseBleakClient]:
        """RoutedClient."""
        return RoutedClient

    def rssi(self) -> int:
        """Signal strength at the best radio in dBm."""
        sighting = self.hub.sightings.get(self.address)
        return sighting.rssi() if sighting else NO_RSSI_VALUE

    def allocations(self) -> Allocations | None:
        """The slots of the radio that the next attempt would take."""
        now = asyncio.get_running_loop().time()
        candidates = self.hub.routing.candidates(self.address, now)
        return candidates[0][1].allocations() if candidates else None

    async def wait_for_slot(self, timeout: float) -> bool:
        """Return True: the next attempt waits in the queue, where it keeps its place.

        The queue does not give it a radio that has refused it although it reports free slots.
        """
        return True


class RoutedClient(DelegatingClient):
    """A client that is connected through one radio at a time, chosen when it connects.

    Beyond what bleak passes, `hub` is the fleet's, `party` says on whose behalf it connects (None
    for the program itself), and `only` is the identity of the one radio to take.
    """

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None = None,
        timeout: float = 20.0,
        services: set[str] | None = None,
        hub: Hub | None = None,
        party: Party = None,
        only: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout
        )
        route = route_of(address_or_ble_device)
        if hub is None and isinstance(route, DeviceRoute):
            hub = route.hub
        if hub is None:
            raise BleakError(f"{self.address}: not a device of a fleet; find it with the fleet")
        self.address = colon_address(self.address)
        self._hub = hub
        self.party = party
        self._only = only
        self._device = None if isinstance(address_or_ble_device, str) else address_or_ble_device
        self._choice = RadioChoice(hub, self.address, self._device, only)
        self._security = SecuredLinks(hub.routing.bonds, self.address)
        self._wanted_services = services
        self._retries = bool(kwargs.get("_is_retry_client"))
        self._client: BaseBleakClient | None = None
        self._opening: BaseBleakClient | None = None
        self._radio: Radio | None = None
        self._connecting = self._waiting = self._given_up = self._leaving = False
        self._patience: asyncio.Future[None] | None = None
        self._asked_at, self._asked_by = 0.0, ""
        self._call_off_watch: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"<RoutedClient {self.address} via {self._source or 'no radio'}>"

    @property
    def _source(self) -> str | None:
        """Name of the radio that holds the link, or held the last one."""
        return self._radio.name if self._radio else None

    @property
    def name(self) -> str:
        """The device's name, or its address with dashes."""
        sighting = self._hub.sightings.get(self.address)
        return (sighting and sighting.device.name) or self.address.replace(":", "-")

    @property
    def source(self) -> str | None:
        """Name of the radio that holds the link; None without one."""
        return self._source if self.is_connected else None

    @property
    def mtu_size(self) -> int:
        """ATT MTU of the link in bytes."""
        return self._client.mtu_size if self._client else MIN_MTU

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        return self._client is not None and self._client.is_connected

    # What the queue asks of whoever has the device

    @property
    def has_ended(self) -> bool:
        """Whether the link is down, and none is being opened or closed."""
        return not (self._connecting or self._leaving or self.is_connected)

    @property
    def is_letting_go(self) -> bool:
        """Whether the link is being closed, or the attempt to open one was given up."""
        return self._leaving or (self._connecting and self._given_up)

    @property
    def whose(self) -> str:
        """Which task has asked for the link, and when."""
        seconds = asyncio.get_running_loop().time() - self._asked_at
        return f"the task {self._asked_by!r} has asked for it {seconds:.1f} s ago"

    def let_go(self) -> None:
        """Give the device back: the callback that says that the link is down is still to come."""
        if self._client:
            self._ended(self._client)

    # The link

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """Connect through the best radio of this moment, or else through the next one.

        A radio that has failed is not tried again. All that is done shares `timeout` seconds, but
        for a retry loop, whose attempts are made through one radio, and begin when they have it.

        Raises:
            BleakNotFoundError: no radio hears the device.
            UnsupportedError: the fleet only looks.
            BleakError, TimeoutError: what the last radio raised.
        """
        if self.is_connected:
            raise BleakError(f"{self.address}: already connected through {self._source}")
        if self._connecting:
            raise LinkError(f"{self.address}: already connecting", kind=ErrorKind.IN_USE)
        if not self._leaving:
            self.let_go()
        now, task = asyncio.get_running_loop().time(), asyncio.current_task()
        self._asked_at, self._asked_by = now, task.get_name() if task else ""
        self._given_up, self._connecting = False, True
        limit = kwargs.pop("timeout", None)
        timeout = self._timeout if limit is None else limit
        try:
            if self._retries and CACHE_ARGUMENT in kwargs:
                radio = await self._take(pair, now + timeout)
                await self._attempt(radio, pair, timeout=timeout, **kwargs)
            else:
                await self._connect_by_any(pair, now + timeout, **kwargs)
        finally:
            self._connecting = False

    async def _connect_by_any(self, pair: bool, deadline: float, **kwargs: Any) -> None:
        loop = asyncio.get_running_loop()
        failed: dict[Radio, Exception] = {}
        while True:
            try:
                radio = await self._take(pair, deadline, failed)
            except NO_WAY:
                if not failed:
                    raise
                raise list(failed.values())[-1] from None
            try:
                left = max(deadline - loop.time(), 0.0)
                async with asyncio.timeout_at(deadline + TIDY_TIME):
                    await self._attempt(radio, pair, timeout=left, **kwargs)
            except Exception as exc:
                failed[radio] = exc
                late = loop.time() > deadline - SHORTEST_ATTEMPT
                if self._given_up or late or not self._choice.has_other_way(exc, pair, failed):
                    raise
                _LOGGER.debug("%s: failed through %s: %r", self.address, radio.name, exc)
            else:
                return

    async def _take(self, pair: bool, deadline: float, failed: Collection[Radio] = ()) -> Radio:
        """Wait for a radio, and first for another client that is just letting the device go."""
        queue, loop = self._hub.queue, asyncio.get_running_loop()
        self._waiting = True
        try:
            while leaving := queue.holders.leaving(self.address):
                self._patience = leaving
                try:
                    async with asyncio.timeout_at(deadline):
                        await leaving
                except TimeoutError:
                    break
            if self._hub.closed:
                raise self._hub.closed_error(self.address)
            self._hub.require_listening()
            await self._hub.neighbours.ask(self.address, self._only, deadline - loop.time())
            if self._given_up:
                raise self._given_up_error()
            return await queue.take(
                self.address,
                max(deadline - loop.time(), 0.0),
                known=self._device is not None,
                pairing=pair,
                party=self.party,
                only=self._only,
                failed=failed,
                holder=self,
            )
        finally:
            self._waiting, self._patience = False, None

    async def _attempt(self, radio: Radio, pair: bool, **kwargs: Any) -> None:
        """Open the link through a radio that was taken, or give the radio back."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        asked = False
        try:
            limit = kwargs.get("timeout", self._timeout)
            await self._hub.neighbours.hold(self.address, radio, limit)
            if self._given_up:
                raise self._given_up_error()
            asked = True
            await self._open(radio, pair, **kwargs)
        except BaseException as exc:
            self._hub.queue.journal.failed(self.address, radio.name, exc, loop.time())
            self._hub.link_ended(self.address)
            if asked and isinstance(exc, Exception) and not self._given_up:
                self._hub.attempt_ended(self.address, radio, exc)
                self._security.link_failed(radio, exc)
            raise
        radio.release(self.address)
        self._hub.routing.holding(radio).connected(loop.time() - started)
        self._hub.attempt_ended(self.address, radio, None)
        device = self._choice.known_device()
        self._hub.routing.connected(
            self.address, radio, device.name, device.details["address_type"]
        )
        if pair:
            try:
                await self._hub.bonded(self.address, radio)
            except asyncio.CancelledError:
                await self.disconnect()
                raise

    async def _open(self, radio: Radio, pair: bool, **kwargs: Any) -> None:
        client = radio.create_client(
            self._choice.device_for(radio), timeout=self._timeout, services=self._wanted_services
        )
        client.set_disconnected_callback(end_told(self, client))
        self._opening = client
        try:
            await client.connect(pair, **kwargs)
        except TimeoutError as exc:
            raise AttemptTimeoutError(
                str(exc) or f"{self.address}: {radio.name} took too long", radio.name
            ) from exc
        finally:
            self._opening = None
        self._client, self._radio = client, radio
        self.services = client.services
        self._call_off_watch = self._hub.dropped.watch(self, self.address, client)

    def lost(self, client: BaseBleakClient) -> None:
        """Take note that a link has ended, and tell the user."""
        end = client.link_end if isinstance(client, LinkedClient) else None
        self._ended(client, end or f"the link through {self._source} was lost")
        if self._disconnected_callback:
            self._disconnected_callback()

    def _ended(self, client: BaseBleakClient, why: str = CLOSED) -> None:
        if self._client is client:
            self._client = None
            self.end_services(why)
            self._subscriptions.clear()
            if self._call_off_watch:
                self._call_off_watch()
            self._hub.link_ended(self.address)

    async def disconnect(self) -> None:
        """Close the link, or end the attempt to open one; harmless if there is neither."""
        self._given_up = True
        if self._patience and not self._patience.done():
            self._patience.set_exception(self._given_up_error())
        elif self._waiting:
            self._hub.queue.end_wait(self.address, self._given_up_error())
        elif self._opening:
            await self._leave(self._opening)
        else:
            await self.close_once(self._close)

    async def _close(self) -> None:
        if self._client:
            self._leaving = True
            await self._leave(self._client)

    async def _leave(self, client: BaseBleakClient) -> None:
        try:
            await client.disconnect()
        finally:
            self._leaving = False
            self._ended(client)

    def _given_up_error(self) -> LinkError:
        text = f"{self.address}: Disconnected while connecting"
        return LinkError(text, kind=ErrorKind.DISCONNECTED)

    def _up(self) -> BaseBleakClient:
        if self._client is None:
            raise self.not_connected(self._source)
        return self._client

    async def _secured(self, operation: Callable[[BaseBleakClient], Awaitable[T]]) -> T:
        """Do something over the link; a bond that it asks for is used, if the radio has one."""
        return await self._security.do(operation, self._up, self._radio)

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        """Pair over the present link."""
        await self._up().pair(*args, **kwargs)
        if self._radio:
            await self._hub.bonded(self.address, self._radio)

    async def unpair(self) -> None:
        """Remove the bond from the radio that holds the link or would be taken."""
        radio = self._radio if self._client else self._choice.best_radio()
        await (self._client or self._choice.idle_client()).unpair()
        if radio:
            self._hub.routing.unbonded(self.address, radio)

    async def clear_cache(self) -> bool:
        """Forget the services, on the radio that holds the link or would be taken.

        Without a radio that can be used they are forgotten here, and by a proxy before it is
        connected through again.

        Returns:
            Whether they were there and no radio still keeps them.
        """
        client = self._client or self._choice.any_client()
        return await self._extended(client).clear_cache() if client else False
