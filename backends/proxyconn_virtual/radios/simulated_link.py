"""A link to a simulated peripheral."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Final, Protocol

from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties
from proxyconn_virtual.radio import AttError, LinkParameters, PairingError, Service
from proxyconn_virtual.radios.attributes import NOTIFYING, AttributeTable

ATT_INVALID_HANDLE: Final = 0x01
ATT_READ_NOT_PERMITTED: Final = 0x02
ATT_WRITE_NOT_PERMITTED: Final = 0x03
ATT_INSUFFICIENT_AUTHENTICATION: Final = 0x05

PAIRING_NOT_ALLOWED: Final = 85
"""What a proxy reports when the peripheral does not pair."""

REASON_LOCAL_HOST: Final = 0x16

_TICK: Final = 0.001
_MAX_BACKLOG: Final = 0.25
"""Seconds of notifications that are caught up with after the loop was busy; older ones are lost."""

_DISCOVERY_ROUNDS: Final = 4
_PAIRING_ROUNDS: Final = 3


class LinkEnd(Protocol):
    """Who is told that a link is gone, and that it made a bond."""

    def link_gone(self, link: SimulatedLink) -> None:
        """The link is gone."""

    def bonded(self, address: int) -> None:
        """The link was paired."""


class SimulatedLink:
    """A link; see RadioLink."""

    def __init__(self, peripheral: Peripheral, table: AttributeTable, end: LinkEnd) -> None:
        self.on_notify: Callable[[int, bytes], None] | None = None
        self.on_disconnect: Callable[[int], None] | None = None
        self.on_security_request: Callable[[], None] | None = None
        self.peripheral = peripheral
        self.parameters: LinkParameters | None = None
        self._table = table
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._paired = False
        self._subscribed: dict[int, CharacteristicSpec] = {}
        self._due: list[tuple[float, int, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        for handle, attribute in table.attributes.items():
            spec = attribute.spec
            if handle == attribute.value_handle and spec.properties & NOTIFYING and not spec.cccd:
                self._configure(handle, spec, enabled=True)

    async def exchange_mtu(self) -> int:
        """Return the MTU that the peripheral takes."""
        await self._delay()
        return self.peripheral.mtu

    async def discover(self) -> tuple[Service, ...]:
        """Return the table."""
        await self._delay(_DISCOVERY_ROUNDS)
        return self._table.services

    async def read(self, handle: int) -> bytes:
        """Read a value, or a CCCD. Raises AttError."""
        await self._delay()
        attribute = self._table.attributes.get(handle)
        if attribute is None:
            raise AttError(ATT_INVALID_HANDLE)
        if attribute.is_cccd:
            return b"\1\0" if attribute.value_handle in self._subscribed else b"\0\0"
        if attribute.text is not None:
            return attribute.text
        spec = attribute.spec
        if not spec.properties & Properties.READ:
            raise AttError(ATT_READ_NOT_PERMITTED)
        self._check_paired(spec)
        return spec.value if spec.on_read is None else spec.on_read()

    async def write(self, handle: int, value: bytes, *, response: bool) -> None:
        """Write a value, or a CCCD. Raises AttError; without response the peripheral cannot."""
        await self._delay()
        try:
            self._write(handle, value, response=response)
        except AttError:
            if response:
                raise

    async def pair(self) -> None:
        """Pair, Just Works. Raises PairingError if the peripheral refuses."""
        await self._delay(_PAIRING_ROUNDS)
        if not self.peripheral.pairable:
            raise PairingError(PAIRING_NOT_ALLOWED)
        self._paired = True
        self._end.bonded(self.peripheral.address_int)

    async def update_parameters(self, parameters: LinkParameters) -> None:
        """Take the parameters."""
        await self._delay()
        self.parameters = parameters

    async def close(self) -> None:
        """Drop the link from this side."""
        self.drop(REASON_LOCAL_HOST)

    def drop(self, reason: int) -> None:
        """Drop the link for an HCI reason; idempotent."""
        if not self._open:
            return
        self._open = False
        self._subscribed.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._end.link_gone(self)
        if self.on_disconnect is not None:
            self.on_disconnect(reason)

    def notify(self, handle: int, value: bytes) -> bool:
        """Notify a value; False if the client has not subscribed to the value handle."""
        if handle not in self._subscribed:
            return False
        if self.on_notify is not None:
            self.on_notify(handle, value)
        return True

    def _write(self, handle: int, value: bytes, *, response: bool) -> None:
        attribute = self._table.attributes.get(handle)
        if attribute is None:
            raise AttError(ATT_INVALID_HANDLE)
        spec = attribute.spec
        if attribute.text is not None:
            raise AttError(ATT_WRITE_NOT_PERMITTED)
        self._check_paired(spec)
        if attribute.is_cccd:
            self._configure(attribute.value_handle, spec, enabled=any(value))
            return
        wanted = Properties.WRITE if response else Properties.WRITE_WITHOUT_RESPONSE
        if not spec.properties & wanted:
            raise AttError(ATT_WRITE_NOT_PERMITTED)
        spec.value = value
        answer = None if spec.on_write is None else spec.on_write(value)
        if answer is not None:
            self._loop.call_soon(self.notify, handle, answer)

    def _check_paired(self, spec: CharacteristicSpec) -> None:
        if spec.encrypted and not self._paired:
            raise AttError(ATT_INSUFFICIENT_AUTHENTICATION)

    def _configure(self, handle: int, spec: CharacteristicSpec, *, enabled: bool) -> None:
        if not enabled:
            self._subscribed.pop(handle, None)
            self._due = [due for due in self._due if due[1] != handle]
            heapq.heapify(self._due)
            return
        fresh = handle not in self._subscribed
        self._subscribed[handle] = spec
        if fresh and spec.notify_every is not None:
            heapq.heappush(self._due, (self._loop.time() + spec.notify_every, handle, 0))
            self._arm()

    def _arm(self) -> None:
        """Set the one timer of this link to the next notification."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._open and self._due:
            when = max(self._due[0][0], self._loop.time() + _TICK)
            self._timer = self._loop.call_at(when, self._notify_due)

    def _notify_due(self) -> None:
        now = self._loop.time()
        while self._open and self._due and self._due[0][0] <= now:
            due, handle, number = self._due[0]
            spec = self._subscribed[handle]
            following = max(due + (spec.notify_every or _TICK), now - _MAX_BACKLOG)
            heapq.heapreplace(self._due, (following, handle, number + 1))
            self.notify(handle, spec.notify_value(number))
        self._arm()

    async def _delay(self, rounds: int = 1) -> None:
        await asyncio.sleep(self.peripheral.att_latency * rounds)
