"""One slot's link: opening it, discovering it, and its queue of operations."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from proxyconn_virtual.firmware.slots import Slot
from proxyconn_virtual.peripheral import Outcome
from proxyconn_virtual.radio import AttError, OpenError, Radio, RadioLink, Service

REASON_NO_ANSWER: Final = 256
"""The stack cancelled the attempt (ESP_GATT_CONN_CONN_CANCEL)."""

REASON_LOCAL_HOST: Final = 0x16
"""This side ended the link (HCI)."""

MAX_REGISTRATIONS: Final = 12
"""Notify registrations per link (Bluedroid BTA_GATTC_NOTIF_REG_MAX in ESPHome's build)."""

Operation = Callable[[RadioLink], Awaitable[None]]


class LinkOwner(Protocol):
    """Who is told about a link."""

    def link_connected(self, run: LinkRun) -> None:
        """There is a link (CONNECT_EVT)."""

    def link_opened(self, run: LinkRun) -> None:
        """The radio opened it (OPEN_EVT)."""

    def link_failed(self, run: LinkRun, reason: int) -> None:
        """The radio did not open it."""

    def link_mtu(self, run: LinkRun, mtu: int) -> None:
        """Its MTU is known."""

    def link_mtu_not_asked(self, run: LinkRun) -> None:
        """Its MTU cannot be asked for."""

    def link_discovered(self, run: LinkRun, status: int) -> None:
        """Its services are known, or with another status than 0 they are not."""

    def link_lost(self, run: LinkRun, reason: int) -> None:
        """It dropped."""

    def link_closed(self, run: LinkRun) -> None:
        """It is closed as asked."""

    def link_aborted(self, run: LinkRun) -> None:
        """It is over, as asked, and nobody is to be told."""

    def link_wants_security(self, run: LinkRun) -> None:
        """The peripheral asks for encryption."""

    def link_notified(self, run: LinkRun, handle: int, value: bytes) -> None:
        """A notification came for a registered handle."""


class LinkRun:
    """One attempt to open a link, and the link it becomes; never reused.

    Attributes:
        slot: the slot it belongs to.
        address: 48-bit device address.
        link: the radio's link, once it is open.
        services: what discovery found; empty with cache.
        served: the services were asked for already.
        paired: this link is paired.
        registered: handles with a notify registration.
    """

    def __init__(
        self,
        slot: Slot,
        owner: LinkOwner,
        radio: Radio,
        *,
        open_limit: float,
        att_limit: float,
        outcome: Outcome | None = None,
    ) -> None:
        self.slot = slot
        self.address = slot.address
        self.link: RadioLink | None = None
        self.services: tuple[Service, ...] = ()
        self.served = False
        self.paired = False
        self.registered: set[int] = set()
        self._owner = owner
        self._radio = radio
        self._open_limit = open_limit
        self._att_limit = att_limit
        self._outcome = outcome
        self._with_cache = slot.with_cache
        self._queue: asyncio.Queue[Operation] = asyncio.Queue()
        self._over = False
        self._closing: asyncio.Task[None] | None = None
        self._task = asyncio.create_task(self._run())

    @property
    def over(self) -> bool:
        """Whether the link is lost or being closed."""
        return self._over

    def search(self) -> None:
        """Search the services; `link_discovered` follows."""

    def submit(self, operation: Operation) -> None:
        """Queue an operation; the link does one at a time."""
        self._queue.put_nowait(operation)

    def close(self) -> None:
        """Close the link from this side; `link_closed` follows."""
        if self._closing is None:
            self._over = True
            self._cancel()
            self._closing = asyncio.create_task(self._close())

    def abort(self) -> None:
        """End the attempt, or the link; `link_aborted` follows."""
        self._over = True
        self._cancel()
        self._closing = asyncio.create_task(self._abort())

    def drop(self, reason: int) -> None:
        """Lose the link, or the attempt, for an HCI reason that did not come from the radio."""
        if not self._over:
            self._over = True
            self._cancel()
            self._closing = asyncio.create_task(self._drop(reason))

    def abandon(self) -> list[asyncio.Task[None]]:
        """Stop at once, telling nobody; return the tasks to wait for."""
        self._over = True
        tasks = [self._task] if self._closing is None else [self._task, self._closing]
        for task in tasks:
            task.cancel()
        return tasks

    def _cancel(self, *, spare: asyncio.Task[Any] | None = None) -> None:
        """Ask everything that is under way to end, but for the task to spare."""
        if self._task is not spare:
            self._task.cancel()

    async def _abort(self) -> None:
        if self.link is not None:
            await self.link.close()
        self._owner.link_aborted(self)

    async def _close(self) -> None:
        if self.link is not None:
            await self.link.close()
        self._owner.link_closed(self)

    async def _drop(self, reason: int) -> None:
        if self.link is None:
            self._owner.link_failed(self, reason)
            return
        await self.link.close()
        self._owner.link_lost(self, reason)

    async def _open(self) -> RadioLink:
        """Open the link. Raises OpenError, and TimeoutError at the limit."""
        outcome = self._outcome
        if outcome is not None:
            await _pass(outcome.after or 0.0)
            if outcome.reason:
                raise OpenError(outcome.reason)
        async with asyncio.timeout(self._open_limit):
            return await self._radio.connect(self.slot.address, self.slot.address_type)

    async def _run(self) -> None:
        try:
            link = await self._open()
        except TimeoutError:
            self._owner.link_failed(self, REASON_NO_ANSWER)
            return
        except OpenError as error:
            self._owner.link_failed(self, error.reason)
            return
        self.link = link
        link.on_disconnect = self._dropped
        link.on_notify = self._notified
        link.on_security_request = self._wants_security
        self._owner.link_connected(self)
        self._owner.link_opened(self)
        try:
            await self._serve(link)
        except TimeoutError:
            self._dropped(REASON_LOCAL_HOST)
            await link.close()

    async def _serve(self, link: RadioLink) -> None:
        """Prepare the link, then do its operations. Raises TimeoutError when ATT goes silent."""
        await self._exchange_mtu(link)
        if not self._with_cache:
            await self._discover(link)
        await self._operate(link)

    async def _exchange_mtu(self, link: RadioLink) -> None:
        try:
            async with asyncio.timeout(self._att_limit):
                mtu = await link.exchange_mtu()
        except AttError:
            self._owner.link_mtu_not_asked(self)
        else:
            self._owner.link_mtu(self, mtu)

    async def _discover(self, link: RadioLink) -> None:
        status = 0
        try:
            async with asyncio.timeout(self._att_limit):
                self.services = await link.discover()
        except AttError as error:
            self.services = ()
            status = error.code
        self._owner.link_discovered(self, status)

    async def _operate(self, link: RadioLink) -> None:
        while True:
            operation = await self._queue.get()
            async with asyncio.timeout(self._att_limit):
                await operation(link)

    def _dropped(self, reason: int) -> None:
        if self._over:
            return
        self._over = True
        self._cancel(spare=asyncio.current_task())
        self._owner.link_lost(self, reason)

    def _wants_security(self) -> None:
        if not self._over:
            self._owner.link_wants_security(self)

    def _notified(self, handle: int, value: bytes) -> None:
        if handle in self.registered:
            self._owner.link_notified(self, handle, value)


class OverlappingLinkRun(LinkRun):
    """A link whose MTU exchange and search for services overlap, as from 2026.8 on."""

    _side: tuple[asyncio.Task[None], ...] = ()

    def _cancel(self, *, spare: asyncio.Task[Any] | None = None) -> None:
        super()._cancel(spare=spare)
        for task in self._side:
            if task is not spare:
                task.cancel()

    def abandon(self) -> list[asyncio.Task[None]]:
        """Stop at once, telling nobody; return the tasks to wait for."""
        tasks = [*super().abandon(), *self._side]
        for task in self._side:
            task.cancel()
        return tasks

    def search(self) -> None:
        """Search the services; `link_discovered` follows."""
        if self.link is not None:
            self._begin(self._discover, self.link)

    async def _serve(self, link: RadioLink) -> None:
        """Do the operations; the rest goes on beside them. Raises TimeoutError."""
        self._begin(self._exchange_mtu, link)
        await self._operate(link)

    def _begin(self, step: Operation, link: RadioLink) -> None:
        running = (task for task in self._side if not task.done())
        self._side = (*running, asyncio.create_task(self._watched(step, link)))

    async def _watched(self, step: Operation, link: RadioLink) -> None:
        """End the link when a step meets silence."""
        try:
            await step(link)
        except TimeoutError:
            self._dropped(REASON_LOCAL_HOST)
            await link.close()


async def _pass(seconds: float) -> None:
    """Let seconds pass, `math.inf` for ever."""
    if math.isinf(seconds):
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)
